//! `/proc/PID/{status,cmdline}`, `/proc/locks` and `/etc/passwd`.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../treekill/src/describe.rs"]
mod describe;
#[path = "../../../../treekill/src/duration.rs"]
mod duration;
#[path = "../../../../treekill/src/exec.rs"]
mod exec;
#[path = "../../../../treekill/src/identity.rs"]
mod identity;
#[path = "../../../../treekill/src/pidfile.rs"]
mod pidfile;
#[path = "../../../../treekill/src/record.rs"]
mod record;
#[path = "../../../../treekill/src/signal.rs"]
mod signal;
#[path = "../../../../treekill/src/sys.rs"]
mod sys;
#[path = "../../../../treekill/src/table.rs"]
mod table;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(line) = table::line_behind(bytes, "Uid:") {
        let _ = describe::effective_user(line);
    }
    // A name is one line: the kernel escapes the newlines in it.
    let name: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|&byte| byte != b'\n')
        .collect();
    let status = [b"Name:\t", &name[..], b"\nUid:\t1\t7\t1\t1\n"].concat();
    let user = table::line_behind(&status, "Uid:").and_then(describe::effective_user);
    assert_eq!(user, Some(7));

    let line = describe::joined(bytes);
    assert!(line.len() <= bytes.len() && !line.contains(&0));

    let text = String::from_utf8_lossy(bytes);
    if let Some(pid) = pidfile::flock_in(&text, "08:01:13") {
        let is_ours = |line: &str| line.contains("FLOCK") && line.contains("08:01:13");
        let mut words = text
            .lines()
            .filter(|line| is_ours(line))
            .flat_map(str::split_whitespace);
        assert!(words.any(|word| word.parse() == Ok(pid)));
    }
    if let Some(name) = describe::passwd_name(&text, 7) {
        assert!(!name.contains([':', '\n']) && text.contains(&format!("{name}:")));
    }
});
