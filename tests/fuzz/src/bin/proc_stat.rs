//! `/proc/PID/stat`: whatever a process calls itself, its numbers stay its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use treekill::table::Stat;

fuzz_target!(|bytes: &[u8]| {
    if let Some(stat) = Stat::parse(bytes) {
        let _ = stat.identity.age();
        let terminal = i32::from(stat.has_terminal);
        let flags = u32::from(stat.is_kernel_thread) << 21;
        let line = line(&stat, terminal, flags);
        assert_eq!(Stat::parse(&line).as_ref(), Some(&stat));
    }
    // The same bytes as a name.
    let honest = Stat::parse(b"42 () S 7 40 30 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 0");
    let named = honest.map(|stat| Stat {
        comm: bytes.to_vec(),
        ..stat
    });
    let line = named.as_ref().map(|stat| line(stat, 34816, 0));
    assert_eq!(Stat::parse(&line.unwrap_or_default()), named);
});

/// The line as the kernel writes it.
fn line(stat: &Stat, terminal: i32, flags: u32) -> Vec<u8> {
    let Stat {
        identity,
        ppid,
        pgrp,
        session,
        ..
    } = stat;
    let (pid, start) = (identity.pid, identity.start);
    let head = format!("{pid} (");
    let tail = format!(
        " {ppid} {pgrp} {session} {terminal} -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 {start} 0 0\n"
    );
    [
        head.as_bytes(),
        &stat.comm,
        b") ",
        &[stat.state],
        tail.as_bytes(),
    ]
    .concat()
}
