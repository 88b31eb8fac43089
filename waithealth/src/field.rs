//! A field of a JSON body: found without building the document, so that no body costs more
//! memory than itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use treekill::record::escape;

/// Where a field is: the keys and indices from the top of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// As it was written.
    text: String,
    /// Empty for the whole body.
    steps: Vec<String>,
}

/// A field that has to be there, or to have a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    path: Path,
    /// The text of a scalar.
    value: Option<String>,
}

impl Wanted {
    /// Reads `PATH` or `PATH=VALUE`.
    ///
    /// # Errors
    /// Says why it is no path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (path, value) = match text.split_once('=') {
            Some((path, value)) => (path, Some(value.to_owned())),
            None => (text, None),
        };
        let path = Path::parse(path)?;
        if path.steps.is_empty() {
            return Err("a field is wanted".into());
        }
        Ok(Self { path, value })
    }

    /// Whether the field of this body is as wanted; if not, why.
    pub(crate) fn holds(&self, body: &[u8]) -> Result<(), String> {
        let name = &self.path.text;
        let found = self.path.find(body)?;
        let Some(raw) = found else {
            return Err(format!("no field {name}"));
        };
        let text = scalar(raw);
        let good = match (&self.value, &text) {
            (Some(value), Some(text)) => value == text,
            (Some(_), None) => false,
            (None, _) => !matches!(raw, "null" | "false"),
        };
        if good {
            return Ok(());
        }
        Err(match text {
            Some(_) => format!("field {name} is {}", shortened(raw)),
            None => format!("field {name} is no scalar"),
        })
    }
}

impl Path {
    /// Reads a JSON Pointer (RFC 6901, with its slash), a dotted path, or `.` for everything.
    ///
    /// # Errors
    /// Says why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let steps = if text == "." {
            Vec::new()
        } else if let Some(pointer) = text.strip_prefix('/') {
            let plain = |step: &str| step.replace("~1", "/").replace("~0", "~");
            pointer.split('/').map(plain).collect()
        } else {
            text.split('.').map(str::to_owned).collect()
        };
        if steps.iter().any(String::is_empty) && !text.starts_with('/') {
            return Err(
                "a path is wanted, as in status, checks.db.status or /checks/db/status".into(),
            );
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// What `--print` prints: a string's text as a record would carry it, any other value as
    /// JSON; the whole body as it came, but for control characters and invalid UTF-8.
    pub(crate) fn shown(&self, body: &[u8]) -> Result<String, String> {
        if self.steps.is_empty() {
            return Ok(printable(body));
        }
        let raw = self
            .find(body)?
            .ok_or_else(|| format!("no field {}", self.text))?;
        Ok(match serde_json::from_str::<String>(raw) {
            Ok(text) => escape(text.as_bytes()),
            Err(_) => printable(raw.as_bytes()),
        })
    }

    /// The JSON text of the field, if the document has it.
    fn find<'a>(&self, body: &'a [u8]) -> Result<Option<&'a str>, String> {
        let no_json = || "body is no JSON".to_owned();
        let document: &RawValue = serde_json::from_slice(body).map_err(|_| no_json())?;
        let mut here = document;
        for step in &self.steps {
            let mut reader = serde_json::Deserializer::from_str(here.get());
            let found = match here.get().as_bytes().first() {
                Some(b'{') => reader.deserialize_map(Step(step)),
                Some(b'[') => reader.deserialize_seq(Step(step)),
                _ => Ok(None),
            };
            match found.map_err(|_| no_json())? {
                Some(next) => here = next,
                None => return Ok(None),
            }
        }
        Ok(Some(here.get()))
    }
}

/// A scalar's text: a string without its quotes, a number, `true`, `false` or `null` as written.
fn scalar(raw: &str) -> Option<String> {
    match raw.as_bytes().first() {
        Some(b'{' | b'[') => None,
        Some(b'"') => serde_json::from_str(raw).ok(),
        _ => Some(raw.to_owned()),
    }
}

/// A value short enough for a record.
fn shortened(raw: &str) -> Cow<'_, str> {
    match raw.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &raw[..end]).into(),
        None => raw.into(),
    }
}

/// A body without what could drive a terminal; line ends and TABs stay.
fn printable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_end_matches(['\n', '\r']);
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if harmless(c) {
                c.to_string()
            } else {
                escape(c.encode_utf8(&mut [0; 4]).as_bytes())
            }
        })
        .collect()
}

/// One step of a path into an object or an array; everything beside it is skipped unread.
struct Step<'p>(&'p str);

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        // Where a key comes twice the last one counts, as most readers have it.
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Self::Value, S::Error> {
        // No sign and no zero in front of it (RFC 6901, 4).
        let is_index = |index: &usize| index.to_string() == self.0;
        let Some(index) = self.0.parse::<usize>().ok().filter(is_index) else {
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        for _ in 0..index {
            if sequence.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = sequence.next_element()?;
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = br#" {"status":"ok","n":3,"up":true,"off":false,"nil":null,"big":1.50,
        "checks":{"db":{"status":"degraded"},"a/b":1,"m~n":2,"":5},"list":[10,{"x":"y"}],"status2":"a\tb"} "#;

    fn holds(field: &str) -> Result<(), String> {
        Wanted::parse(field).unwrap().holds(BODY)
    }

    #[test]
    fn fields_that_hold() {
        for field in [
            "status",
            "status=ok",
            "n=3",
            "up=true",
            "up",
            "off=false",
            "nil=null",
            "big=1.50",
            "checks",
            "checks.db.status=degraded",
            "/checks/db/status=degraded",
            "/checks/a~1b=1",
            "/checks/m~0n=2",
            "/checks/=5",
            "list.0=10",
            "list.1.x=y",
            "/list/1/x",
        ] {
            assert_eq!(holds(field), Ok(()), "{field}");
        }
    }

    #[test]
    fn fields_that_do_not_say_why() {
        for (field, why) in [
            ("status=up", r#"field status is "ok""#),
            (
                "checks.db.status=ok",
                r#"field checks.db.status is "degraded""#,
            ),
            ("off", "field off is false"),
            ("nil", "field nil is null"),
            ("n=3.0", "field n is 3"),
            ("checks=1", "field checks is no scalar"),
            ("missing", "no field missing"),
            ("status.deeper", "no field status.deeper"),
            ("list.2", "no field list.2"),
            ("list.x", "no field list.x"),
            ("list.00", "no field list.00"),
            ("/list/+0", "no field /list/+0"),
        ] {
            assert_eq!(holds(field), Err(why.into()), "{field}");
        }
    }

    #[test]
    fn what_is_no_json_or_no_path() {
        for body in [
            &b""[..],
            b"<html>",
            b"{\"status\":",
            b"{\"status\":1} x",
            b"\xff",
        ] {
            let wanted = Wanted::parse("status").unwrap();
            assert_eq!(
                wanted.holds(body),
                Err("body is no JSON".into()),
                "{body:?}"
            );
        }
        for text in ["", ".", "a..b", ".a", "=x"] {
            assert!(Wanted::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn printing_a_field_or_the_whole_body() {
        for (path, shown) in [
            ("status", "ok"),
            ("n", "3"),
            ("checks.db", r#"{"status":"degraded"}"#),
            ("status2", "a\\tb"),
        ] {
            assert_eq!(
                Path::parse(path).unwrap().shown(BODY),
                Ok(shown.into()),
                "{path}"
            );
        }
        let whole = Path::parse(".").unwrap();
        assert_eq!(
            whole.shown(b"one\n\ttwo\x1b[2J\n"),
            Ok("one\n\ttwo\\x1b[2J".into())
        );
    }

    #[test]
    fn a_deep_document_is_read_without_recursion() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(
            Wanted::parse("b").unwrap().holds(deep.as_bytes()),
            Err("no field b".into())
        );
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(body: Vec<u8>, path: String, near in r#"[\[\]{}",:a1.]{0,40}"#) {
            for body in [&body[..], near.as_bytes()] {
                for path in [&*path, "a", "a.1", "/a/1", "a=1"] {
                    if let Ok(wanted) = Wanted::parse(path) {
                        let _ = wanted.holds(body);
                    }
                    if let Ok(path) = Path::parse(path) {
                        let _ = path.shown(body);
                    }
                }
            }
        }

        #[test]
        fn a_field_is_found_by_its_pointer(keys in prop::collection::vec("[^\\x00]{0,5}", 1..5), value: i64) {
            let mut body = serde_json::json!(value);
            for key in keys.iter().rev() {
                body = serde_json::json!({ key: body });
            }
            let pointer: String = keys
                .iter()
                .map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")))
                .collect();
            let body = serde_json::to_vec(&body).unwrap();
            prop_assert_eq!(Path::parse(&pointer).unwrap().shown(&body), Ok(value.to_string()));
        }
    }
}
