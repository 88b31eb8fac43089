//! PID files: what counts as one, and the PID in its first line.
#![no_main]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use libfuzzer_sys::fuzz_target;
use treekill::pidfile::{Contents, contents, first_pid};

thread_local! {
    static FILE: io::Result<File> = tempfile::tempfile();
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with(|file| judge(file.as_ref().expect("a temporary file"), bytes));
});

fn judge(file: &File, bytes: &[u8]) {
    write(file, bytes);
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let is_short = bytes.len() <= 4096;
    let is_plain = |byte: &u8| is_space(byte) || byte.is_ascii_digit();
    let expected = match () {
        () if bytes.iter().take(4097).all(is_space) => Contents::Blank,
        () if is_short && bytes.iter().all(is_plain) => Contents::Digits,
        () => Contents::Other,
    };
    assert_eq!(contents(file).ok(), Some(expected));

    let Ok(Some(pid)) = first_pid(file) else {
        return;
    };
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let digits = std::str::from_utf8(line.trim_ascii()).unwrap_or_default();
    assert_eq!(digits.trim_start_matches('0'), pid.to_string());
    write(file, format!("{pid}\n").as_bytes());
    assert_eq!(first_pid(file).ok(), Some(Some(pid)));
}

fn write(file: &File, bytes: &[u8]) {
    file.set_len(0).expect("an empty file");
    file.write_all_at(bytes, 0).expect("a written file");
}
