//! Properties of what the library reads and writes: no input makes it panic, what is written
//! reads back, and no field can forge a record.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use treekill::duration::{self, FOREVER};
use treekill::pidfile::{self, Contents};
use treekill::record::{Field, escape, json_line, rfc3339};
use treekill::signal::Signal;
use treekill::table::Stat;

/// Text of the words and signs that a parser looks for, mixed at random: closer to what it takes
/// than any random text.
fn near(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 0..8).prop_map(|words| words.concat())
}

const TIMES: &[&str] = &[
    "1",
    "9",
    "0",
    ".",
    "99999999999999999999",
    "ms",
    "s",
    "m",
    "h",
    "d",
    "inf",
    "-",
    "+",
    " ",
    "e",
    "5x",
    "\u{b5}s",
];
const SIGNALS: &[&str] = &[
    "SIG", "sig", "TERM", "kill", "RTMIN", "RTMAX", "+", "-", "1", "9", "64", "999", " ", "IO",
];

proptest! {
    #[test]
    fn no_stat_line_makes_the_reader_panic(line: Vec<u8>) {
        let _ = Stat::parse(&line);
    }

    #[test]
    fn a_stat_line_cut_or_changed_makes_no_panic(
        comm: [u8; 15], at in 0_usize..120, byte: u8, end in 0_usize..160,
    ) {
        let mut line = [b"42 (", &comm[..], b") S 7 40 30 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 0"].concat();
        line.truncate(end);
        if let Some(there) = line.get_mut(at) {
            *there = byte;
        }
        let _ = Stat::parse(&line);
    }

    #[test]
    fn a_stat_line_reads_back_whatever_the_name(
        comm in prop::collection::vec(1_u8.., 0..16),
        pid in 1_i32.., ppid in 0_i32.., pgrp in 0_i32.., session in 0_i32.., tty: i32, start: u64,
        state in prop::sample::select(b"RSDTtZXI".to_vec()), flags: u32,
    ) {
        let tail = format!(
            ") {} {ppid} {pgrp} {session} {tty} -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 {start} 0 0\n",
            char::from(state)
        );
        let line = [format!("{pid} (").as_bytes(), &comm, tail.as_bytes()].concat();
        let stat = Stat::parse(&line).unwrap();
        prop_assert_eq!(stat.comm, comm);
        prop_assert_eq!((stat.identity.pid, stat.identity.start), (pid, start));
        prop_assert_eq!((stat.state, stat.ppid), (state, ppid));
        prop_assert_eq!((stat.pgrp, stat.session), (pgrp, session));
        prop_assert_eq!(stat.has_terminal, tty != 0);
    }

    #[test]
    fn no_text_makes_the_duration_parser_panic(random: String, near in near(TIMES)) {
        for text in [random, near] {
            if let Ok(length) = duration::parse(&text) {
                prop_assert!(!text.starts_with('-'));
                prop_assert!(length < FOREVER || text.starts_with("inf"));
            }
        }
    }

    #[test]
    fn a_duration_reads_back(days in 0_u64..50_000, hours: u8, seconds: u16, millis in 0_u64..1000) {
        let text = format!("{days}d{hours}h{seconds}s{millis}ms");
        let whole = days * 86_400 + u64::from(hours) * 3600 + u64::from(seconds);
        let length = Duration::from_secs(whole) + Duration::from_millis(millis);
        prop_assert_eq!(duration::parse(&text), Ok(length));
        let decimal = format!("{whole}.{millis:03}");
        prop_assert_eq!(duration::parse(&decimal), Ok(length));
        prop_assert_eq!(u128::from(duration::millis(length)), length.as_millis());
    }

    #[test]
    fn no_text_makes_the_signal_parser_panic(random: String, near in near(SIGNALS)) {
        for text in [random, near] {
            if let Ok(signal) = text.parse::<Signal>() {
                prop_assert!((1..=64).contains(&signal.number()), "{text}");
                prop_assert_eq!(signal.to_string().parse(), Ok(signal));
            }
        }
    }

    #[test]
    fn a_pid_file_is_judged_by_every_byte(content: Vec<u8>, digits in "[0-9 \n\t]{0,20}") {
        for content in [&content[..], digits.as_bytes()] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content).unwrap();
            let judged = pidfile::contents(&file).unwrap();
            let is_space = |b: &u8| b.is_ascii_whitespace();
            let is_other = content.iter().any(|b| !is_space(b) && !b.is_ascii_digit());
            prop_assert_eq!(judged == Contents::Other, is_other);
            prop_assert_eq!(judged == Contents::Blank, content.iter().all(is_space));
            if let Some(pid) = pidfile::first_pid(&file).unwrap() {
                prop_assert!(pid > 0);
                let line = content.split(|&b| b == b'\n').next().unwrap();
                let text = std::str::from_utf8(line).unwrap().trim();
                prop_assert_eq!(text.trim_start_matches('0'), pid.to_string());
            }
        }
    }

    #[test]
    fn a_pid_file_reads_back(pid in 1_i32.., blanks in "[ \t\n]{0,10}") {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "{pid}{blanks}").unwrap();
        prop_assert_eq!(pidfile::first_pid(&file).unwrap(), Some(pid));
        prop_assert_eq!(pidfile::contents(&file).unwrap(), Contents::Digits);
    }

    #[test]
    fn an_escaped_field_forges_nothing_and_reads_back(bytes: Vec<u8>, text: String) {
        for bytes in [bytes, text.into_bytes()] {
            let escaped = escape(&bytes);
            prop_assert!(!escaped.chars().any(char::is_control), "{escaped:?}");
            prop_assert_eq!(unescape(&escaped), bytes);
        }
    }

    #[test]
    fn a_json_record_reads_back(text: String, bytes: Vec<u8>, number: i64) {
        let named = [
            ("text", Field::from(text.as_str())),
            ("bytes", Field::from(&bytes[..])),
            ("number", Field::Number(number)),
            ("flag", Field::Flag(true)),
            ("unknown", Field::Unknown),
        ];
        let line = json_line(&named);
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        if !text.is_empty() {
            prop_assert_eq!(read["text"].as_str(), Some(&*text));
        }
        prop_assert_eq!(read["number"].as_i64(), Some(number));
        prop_assert_eq!(&read["flag"], &serde_json::Value::Bool(true));
        prop_assert!(read["unknown"].is_null());
    }

    #[test]
    fn times_sort_as_their_text_does(a in 0_u64..253_402_300_800_000, b in 0_u64..253_402_300_800_000) {
        let text = |millis| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        prop_assert_eq!(text(a).len(), "1970-01-01T00:00:00.000Z".len());
        prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
    }
}

/// Reads `\t`, `\n`, `\r`, `\\` and `\xNN` back.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [escape, tail @ ..] = tail else { break };
        rest = tail;
        match escape {
            b't' => bytes.push(b'\t'),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b'x' => {
                let (hex, tail) = rest.split_at(2);
                rest = tail;
                let hex = std::str::from_utf8(hex).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
            }
            other => bytes.push(*other),
        }
    }
    bytes
}
