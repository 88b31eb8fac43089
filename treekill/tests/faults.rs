//! The system fails treekill under way: what the exit code says is true, and nothing stays stopped.
#![allow(clippy::unwrap_used, clippy::panic)] // The failure of a helper is the failure of the test.

mod common;

use common::{pid, session, treekill};
use testkit::{faults, in_namespace, needs, process};

/// Ends a tree that does not mind TERM while this system call fails from its first, second, … time
/// on. Returns the exit codes.
fn codes_when_failing(call: &str, error: &str) -> Vec<Option<i32>> {
    let mut codes = Vec::new();
    for nth in 1.. {
        let root = session("trap '' TERM; (sleep 1001; :) & echo up; while :; do sleep 1002; done");
        let tool = treekill().args(["-g", "0.1", &pid(&root)]);
        let faulty = faults::run(tool, call, error, nth);
        let what = format!("{call} {nth}: {faulty:?}");
        assert!(!faulty.ran.stderr.contains("panicked"), "{what}");
        let is_signalled = faulty.calls.contains("SIG");
        let is_left = !process::gone(root.pid());
        match faulty.ran.code() {
            Some(0) => assert!(!is_left, "{what}"),
            // Perhaps all is dead, and only the look that would prove it has failed.
            Some(1) => assert!(is_signalled, "{what}"),
            Some(125) => assert!(!is_signalled, "{what}"),
            _ => panic!("{what}"),
        }
        for seen in process::others() {
            assert_ne!(seen.state, 'T', "{what}");
        }
        let _ = treekill().args(["-q", "-g0", &pid(&root)]).run();
        if !faulty.is_struck() {
            return codes;
        }
        codes.push(faulty.ran.code());
    }
    unreachable!("the calls of a run come to an end");
}

#[test]
fn what_fails_before_the_first_signal_is_125_and_what_fails_after_it_is_1() {
    in_namespace!();
    needs!("strace");
    for (call, error, first) in [("getdents64", "ENOMEM", 125), ("pidfd_open", "ENFILE", 1)] {
        let codes = codes_when_failing(call, error);
        assert_eq!(codes.first(), Some(&Some(first)), "{call}: {codes:?}");
        assert!(codes.contains(&Some(1)), "{call}: {codes:?}");
    }
}
