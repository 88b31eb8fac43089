//! MongoDB's answers: healthy only where the reply says ok, and what it is ready for.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/answer.rs"]
mod answer;
#[path = "../../../../waithealth/src/probe/mongodb.rs"]
mod mongodb;

use answer::Health;
use libfuzzer_sys::fuzz_target;

/// The longest reply is 1 MiB; the words of an error may be copied, bad UTF-8 three times as long.
const MEMORY: usize = 6 * 1024 * 1024;
const READY: [&[u8]; 4] = [
    b"isWritablePrimary\0",
    b"ismaster\0",
    b"secondary\0",
    b"isdbgrid",
];

fuzz_target!(|bytes: &[u8]| {
    let answer = fuzz::however_cut(bytes, MEMORY, mongodb::speak);
    if answer.health == Health::Healthy {
        assert!(holds(bytes, &2013_i32.to_le_bytes()) && holds(bytes, b"ok\0"));
        assert!(READY.iter().any(|word| holds(bytes, word)));
    }
    // The same bytes as the elements of a whole reply.
    let reply = reply(bytes);
    let answer = fuzz::however_cut(&reply, MEMORY, mongodb::speak);
    if answer.health == Health::Healthy {
        assert!(holds(bytes, b"ok\0"));
    }
});

fn reply(elements: &[u8]) -> Vec<u8> {
    let size = |extra: usize| i32::try_from(elements.len() + extra).unwrap_or(i32::MAX);
    let numbers = [size(26), 7, 1, 2013, 0];
    let head = numbers.map(i32::to_le_bytes).concat();
    [&head, &[0][..], &size(5).to_le_bytes(), elements, &[0]].concat()
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
