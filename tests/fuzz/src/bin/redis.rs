//! Redis's answers: healthy only by the first line, which is PONG or asks for a login.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/answer.rs"]
mod answer;
#[path = "../../../../waithealth/src/probe/redis.rs"]
mod redis;

use answer::Health;
use libfuzzer_sys::fuzz_target;

/// The longest line is 1 KiB; its words may be copied.
const MEMORY: usize = 16 * 1024;
const GOOD: [&[u8]; 5] = [b"+PONG", b"-NOAUTH", b"-NOPERM", b"-DENIED", b"-WRONGPASS"];

fuzz_target!(|bytes: &[u8]| {
    let answer = fuzz::however_cut(bytes, MEMORY, redis::speak);
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let word = line.split(|byte| b" \r".contains(byte)).next();
    if answer.health == Health::Healthy {
        assert!(word.is_some_and(|word| GOOD.contains(&word)));
    }
    if bytes.starts_with(b"+PONG\r\n") {
        assert_eq!(answer.health, Health::Healthy);
    }
});
