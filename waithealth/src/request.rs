//! What is asked of an HTTP target, and how its answer is judged.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use regex_lite::Regex;
use ureq::http::{HeaderName, HeaderValue, Method};

use crate::answer::Answer;
use crate::field::{Path, Wanted};

/// The request, and what makes its answer good.
#[derive(Debug)]
pub(crate) struct Request {
    /// GET unless `--method` says otherwise.
    pub method: Method,
    /// `--header`, in their order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `NAME:PASS` of `--basic-auth`.
    pub basic_auth: Option<String>,
    /// Follows redirects.
    pub location: bool,
    /// Takes any certificate.
    pub insecure: bool,
    /// Trusts these certificates instead of the system's.
    pub cacert: Option<PathBuf>,
    /// The good statuses.
    pub codes: Codes,
    body: Option<Regex>,
    fields: Vec<Wanted>,
    print: Option<Path>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: Method::GET,
            headers: Vec::new(),
            basic_auth: None,
            location: false,
            insecure: false,
            cacert: None,
            codes: Codes(vec![200..=299]),
            body: None,
            fields: Vec::new(),
            print: None,
        }
    }
}

impl Request {
    /// Takes a `--body`.
    pub(crate) fn set_body(&mut self, pattern: &str) -> Result<(), String> {
        let regex = Regex::new(pattern).map_err(|error| format!("--body {pattern:?}: {error}"))?;
        self.body = Some(regex);
        Ok(())
    }

    /// Takes a `--field`.
    pub(crate) fn add_field(&mut self, text: &str) -> Result<(), String> {
        self.fields
            .push(Wanted::parse(text).map_err(|why| format!("--field {text:?}: {why}"))?);
        Ok(())
    }

    /// Takes a `--print`.
    pub(crate) fn set_print(&mut self, text: &str) -> Result<(), String> {
        self.print = Some(Path::parse(text).map_err(|why| format!("--print {text:?}: {why}"))?);
        Ok(())
    }

    /// Takes a `--header`; its value is not repeated in the error, it may be a secret.
    pub(crate) fn add_header(&mut self, text: &str) -> Result<(), String> {
        let wrong = || "--header: 'Name: value' is wanted".to_owned();
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let name = name.trim().parse().map_err(|_| wrong())?;
        let value = value.trim().parse().map_err(|_| wrong())?;
        self.headers.push((name, value));
        Ok(())
    }

    /// Takes a `--method`.
    pub(crate) fn set_method(&mut self, text: &str) -> Result<(), String> {
        self.method = text
            .parse()
            .map_err(|_| format!("--method {text:?}: no HTTP method"))?;
        if self.method == Method::CONNECT {
            return Err("--method CONNECT: opens a tunnel, says nothing about health".into());
        }
        Ok(())
    }

    /// Takes a `--basic-auth`.
    pub(crate) fn set_basic_auth(&mut self, text: String) -> Result<(), String> {
        if !text.contains(':') {
            return Err("--basic-auth: NAME:PASS is wanted".into());
        }
        self.basic_auth = Some(text);
        Ok(())
    }

    /// An option that only an HTTP target can satisfy, if one was given.
    pub(crate) fn asked_for(&self) -> Option<&'static str> {
        let plain = Self::default();
        [
            (self.codes != plain.codes, "--code"),
            (self.body.is_some(), "--body"),
            (!self.fields.is_empty(), "--field"),
            (self.print.is_some(), "--print"),
            (!self.headers.is_empty(), "--header"),
            (self.method != plain.method, "--method"),
            (self.basic_auth.is_some(), "--basic-auth"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }

    /// Whether the body has to be read to judge the answer.
    pub(crate) fn wants_body(&self) -> bool {
        self.body.is_some() || !self.fields.is_empty() || self.print.is_some()
    }

    /// Judges a body whose status is good.
    pub(crate) fn judge_body(&self, body: &[u8]) -> Answer {
        let passed = self.body_matches(body);
        match passed
            .and_then(|()| self.fields_hold(body))
            .and_then(|()| self.printed(body))
        {
            Ok(printed) => Answer {
                printed,
                ..Answer::healthy("")
            },
            Err(why) => Answer::unhealthy(why),
        }
    }

    fn body_matches(&self, body: &[u8]) -> Result<(), String> {
        match &self.body {
            Some(regex) if !regex.is_match(&String::from_utf8_lossy(body)) => {
                Err("body does not match".into())
            }
            _ => Ok(()),
        }
    }

    fn fields_hold(&self, body: &[u8]) -> Result<(), String> {
        self.fields.iter().try_for_each(|field| field.holds(body))
    }

    fn printed(&self, body: &[u8]) -> Result<Option<String>, String> {
        self.print.as_ref().map(|path| path.shown(body)).transpose()
    }
}

/// Good statuses, as `--code` lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codes(Vec<RangeInclusive<u16>>);

impl Codes {
    /// Reads `200,204`, `2xx`, `200-399`.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let wrong =
            || format!("--code {list:?}: statuses are wanted, as in 200,204 or 2xx or 200-399");
        let ranges: Option<Vec<_>> = list.split(',').map(|item| range(item.trim())).collect();
        ranges.map(Self).ok_or_else(wrong)
    }

    /// Whether this status is one of them.
    pub(crate) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn range(item: &str) -> Option<RangeInclusive<u16>> {
    if let Some(class) = item.strip_suffix("xx").or_else(|| item.strip_suffix("XX")) {
        let class = status(&format!("{class}00"))?;
        return Some(class..=class + 99);
    }
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}

/// Three digits, as a status line carries them.
fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&code| digits && code >= 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_in_their_spellings() {
        for (list, good, bad) in [
            ("200,204", vec![200, 204], vec![201, 404]),
            ("2xx", vec![200, 299], vec![199, 300]),
            ("200-399", vec![200, 301, 399], vec![400]),
            ("2xx, 401", vec![250, 401], vec![403]),
        ] {
            let codes = Codes::parse(list).unwrap();
            assert!(good.iter().all(|&code| codes.contain(code)), "{list}");
            assert!(!bad.iter().any(|&code| codes.contain(code)), "{list}");
        }
    }

    #[test]
    fn what_is_no_code() {
        for list in [
            "", "20", "2000", "abc", "200-", "399-200", "x", "xx", "2x", "200,,204", "099", "+20",
            "-",
        ] {
            assert!(Codes::parse(list).is_err(), "{list:?} was taken");
        }
    }

    #[test]
    fn a_header_can_smuggle_in_nothing() {
        let mut request = Request::default();
        for text in ["", "novalue", ": x", "a b: c", "X: a\r\nY: b", "X: a\nb"] {
            assert!(request.add_header(text).is_err(), "{text:?} was taken");
        }
        assert!(request.add_header("Host: other").is_ok());
    }

    proptest! {
        #[test]
        fn no_list_of_codes_makes_the_parser_panic(random: String, near in "[0-9xX,  -]{0,20}") {
            for list in [random, near] {
                let _ = Codes::parse(&list);
            }
        }

        #[test]
        fn a_range_of_codes_reads_back(first in 100_u16..600, length in 0_u16..50, other in 100_u16..600) {
            let last = (first + length).min(599);
            let codes = Codes::parse(&format!("{first}-{last}")).unwrap();
            prop_assert_eq!(codes.contain(other), (first..=last).contains(&other));
        }
    }
}
