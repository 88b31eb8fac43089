//! The system fails pidlock under way: no COMMAND runs behind a 125, and the next start succeeds.

use std::fs;

use testkit::{faults, in_namespace, needs};

use crate::world::World;

/// Starts a COMMAND while this system call fails from its first, second, … time on.
fn start_while_failing(option: &str, call: &str, error: &str) {
    let world = World::new();
    for nth in 1.. {
        let command = ["run.pid", "sh", "-c", ": >ran; exit 7"];
        let tool = world.pidlock([option]).args(command);
        let faulty = faults::run(tool, call, error, nth);
        let what = format!("{option} {call} {nth}: {faulty:?}");
        assert!(!faulty.ran.stderr.contains("panicked"), "{what}");
        let has_run = world.path("ran").exists();
        match faulty.ran.code() {
            Some(125) => assert!(!has_run, "{what}"),
            Some(0) => assert!(has_run && option == "-d", "{what}"),
            Some(7) => assert!(has_run && option != "-d", "{what}"),
            // COMMAND itself could not load its library, or make its file.
            Some(127 | 2) => {}
            _ => panic!("{what}"),
        }
        let _ = fs::remove_file(world.path("ran"));
        // A keeper in the background may still be at its end.
        world.pidlock(["run.pid", "true"]).run().expect_code(0);
        if !faulty.is_struck() {
            return;
        }
    }
}

#[test]
fn what_fails_before_command_runs_is_125_and_blocks_no_later_start() {
    in_namespace!();
    needs!("strace");
    for option in ["-v", "-d", "-F"] {
        for (call, error) in [
            ("openat", "EMFILE"),
            ("pipe2", "EMFILE"),
            ("clone", "EAGAIN"),
            ("fcntl", "ENOLCK"),
            ("flock", "ENOLCK"),
            ("pwrite64", "ENOSPC"),
            ("setsid", "EPERM"),
            ("dup2", "EBUSY"),
            ("unlink", "EROFS"),
        ] {
            start_while_failing(option, call, error);
        }
    }
}
