//! A program that fails at once: for `scripts/bench.sh`.
//!
//! `bench-crasher FILE` appends two moments to FILE, 16 bytes in one write: when its `main` began
//! and when it ends, in nanoseconds since 1970, native byte order. Then it exits with 1.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let begun = now();
    match std::env::args_os().nth(1).map(|file| note(begun, file)) {
        Some(Ok(())) => ExitCode::FAILURE,
        _ => ExitCode::from(125),
    }
}

fn note(begun: i64, file: std::ffi::OsString) -> io::Result<()> {
    let mut moments = OpenOptions::new().create(true).append(true).open(file)?;
    let mut both = [0; 16];
    both[..8].copy_from_slice(&begun.to_ne_bytes());
    both[8..].copy_from_slice(&now().to_ne_bytes());
    moments.write_all(&both)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |length| {
        i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)
    })
}
