//! MySQL's answers: healthy only after a greeting, by an OK or a refusal that is about us.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../waithealth/src/answer.rs"]
mod answer;
#[path = "../../../../waithealth/src/probe/mysql.rs"]
mod mysql;

use answer::Health;
use libfuzzer_sys::fuzz_target;

/// The longest packet is 64 KiB; the name of the plugin goes back, its words may be copied.
const MEMORY: usize = 512 * 1024;
/// Errors without a class that are about our login.
const ABOUT_US: [u16; 9] = [1044, 1130, 1251, 1524, 1820, 1862, 3118, 3159, 4151];

fuzz_target!(|bytes: &[u8]| {
    let answer = fuzz::however_cut(bytes, MEMORY, mysql::speak);
    if answer.health == Health::Healthy {
        let packets: Vec<&[u8]> = packets(bytes).collect();
        let refuses = packets.iter().any(|packet| is_about_us(packet));
        let is_ok = |packet: &&[u8]| packet.first() == Some(&0);
        let welcomes = packets[0][0] == 10 && packets.iter().skip(1).any(is_ok);
        assert!(refuses || welcomes);
    }
});

/// The payload of each whole packet.
fn packets(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let &[a, b, c, _, ref tail @ ..] = rest else {
            return None;
        };
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let payload = tail.get(..length)?;
        rest = &tail[length..];
        Some(payload)
    })
}

fn is_about_us(packet: &[u8]) -> bool {
    let &[0xff, low, high, ref rest @ ..] = packet else {
        return false;
    };
    rest.starts_with(b"#28") || ABOUT_US.contains(&u16::from_le_bytes([low, high]))
}
