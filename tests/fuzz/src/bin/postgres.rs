//! PostgreSQL's answers: healthy only where the server asks for a login, refuses ours or is ready.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/answer.rs"]
mod answer;
#[path = "../../../../waithealth/src/probe/postgres.rs"]
mod postgres;

use answer::Health;
use libfuzzer_sys::fuzz_target;

/// The longest message is 64 KiB; its words may be copied.
const MEMORY: usize = 512 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let answer = fuzz::however_cut(bytes, MEMORY, postgres::speak);
    if answer.health == Health::Healthy {
        assert!(messages(bytes).any(|(kind, body)| takes_clients(kind, body)));
    }
});

/// Kind and body of each whole message.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(rest.get(1..5)?.try_into().ok()?);
        let (kind, end) = (rest[0], usize::try_from(length).ok()? + 1);
        let body = rest.get(5..end)?;
        rest = &rest[end..];
        Some((kind, body))
    })
}

fn takes_clients(kind: u8, body: &[u8]) -> bool {
    match kind {
        b'Z' => true,
        // A request for a login has a number of four bytes, which is not 0.
        b'R' => body.len() >= 4 && body[..4] != [0; 4],
        b'E' => body.split(|&byte| byte == 0).any(|field| {
            let is_code = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
            let code = field.get(1..).unwrap_or_default();
            field.first() == Some(&b'C') && code.len() == 5 && code.iter().all(is_code)
        }),
        _ => false,
    }
}
