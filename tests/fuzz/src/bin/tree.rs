//! A table of processes whose numbers may contradict each other, as those read one after the other
//! do: a search ends, finds nothing twice, nobody who is no relative, and nobody who is spared.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use treekill::guard::Guard;
use treekill::identity::Identity;
use treekill::table::{Stat, Table};
use treekill::tree::{Scope, Tree};

/// So few numbers that they meet, and none that a process here has.
const NUMBERS: u8 = 24;
const FIRST: i32 = 2_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((&root, rest)) = bytes.split_first() else {
        return;
    };
    let table: Table = rest.chunks_exact(6).map(stat).collect();
    let guard = Guard::new(&table);
    let mut tree = Tree::new(Scope::Tree);
    let mut known = HashSet::from([pid(root)]);
    match table.get(pid(root)) {
        Some(stat) if tree.add_root(stat, &guard).is_err() => return,
        Some(_) => {}
        None => tree.add_dead_root(pid(root), None),
    }
    let members = tree.search(&table, &guard);
    known.extend(members.iter().map(|member| member.stat.pid()));
    assert!(members.len() <= table.iter().count());
    let identities: HashSet<_> = members.iter().map(|member| member.stat.identity).collect();
    assert_eq!(identities.len(), members.len());
    known.extend(tree.spared().iter().map(|spared| spared.stat.pid()));
    for member in &members {
        let Stat {
            ppid,
            pgrp,
            session,
            ..
        } = member.stat;
        assert!(
            [ppid, pgrp, session]
                .iter()
                .any(|number| known.contains(number))
        );
        assert!(guard.refusal(&member.stat).is_none());
        assert!(table.ancestors(member.stat.pid()).len() <= usize::from(NUMBERS));
    }
    assert!(tree.search(&table, &guard).is_empty());
});

/// PID 1 is among them.
fn pid(byte: u8) -> i32 {
    match byte % NUMBERS {
        0 => 1,
        other => FIRST + i32::from(other),
    }
}

fn stat(bytes: &[u8]) -> Stat {
    Stat {
        identity: Identity {
            pid: pid(bytes[0]),
            start: bytes[4].into(),
        },
        comm: b"x".to_vec(),
        state: b'S',
        ppid: pid(bytes[1]),
        pgrp: pid(bytes[2]),
        session: pid(bytes[3]),
        has_terminal: bytes[5] & 1 != 0,
        is_kernel_thread: bytes[5] & 0x60 == 0x60,
    }
}
