//! What treekill is told to kill: words that are PIDs, and whole command lines.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../treekill/src/cli.rs"]
mod cli;
#[path = "../../../../treekill/src/select.rs"]
mod select;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use clap::Parser as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for word in bytes.split(u8::is_ascii_whitespace) {
        let digits = std::str::from_utf8(word).unwrap_or_default();
        match cli::pid(word) {
            Ok(pid) => assert_eq!(digits.trim_start_matches('0'), pid.to_string()),
            Err(why) => assert!(!why.contains(char::is_control)),
        }
    }
    let words = bytes.split(|&byte| byte == 0).map(OsStr::from_bytes);
    let words = [OsStr::new("treekill")].into_iter().chain(words);
    if let Ok(options) = cli::Cli::try_parse_from(words) {
        let _ = options.plan();
    }
});
