//! The system fails pidlock under way: no COMMAND runs behind a 125, and the next start succeeds.

use std::fs;

use nix::sys::signal::Signal;
use testkit::{Running, Tool, faults, in_namespace, needs, process, wait_until};

use crate::world::{World, send};

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

#[test]
fn a_child_whose_keeper_was_killed_runs_nothing_under_a_file_that_others_removed() {
    in_namespace!();
    needs!("strace");
    let world = World::new();
    // The child is stopped between its fork and its lock: setsid(2) is its own alone.
    let strace = Tool::named("strace").args(["-f", "-qq", "-o", "/dev/null"]);
    let strace = strace.args(["-e", "trace=setsid", "-e", "inject=setsid:signal=STOP"]);
    let command = ["-d", "-F", "run.pid", "touch", "ran"];
    let mut traced = Running::start(world.pidlock(command).run_by(strace));
    let mut child = None;
    wait_until("the child is stopped in its session", || {
        let of_child = |seen: &process::Seen| {
            seen.session == seen.pid && seen.state == 't' && seen.cmdline.ends_with("touch ran")
        };
        child = process::all().into_iter().find(of_child);
        child.is_some()
    });
    let child = child.unwrap();
    send(child.ppid, Signal::SIGKILL);
    wait_until("the keeper is gone", || process::gone(child.ppid));
    // Another one comes and goes, and FILE with it.
    world.pidlock(["run.pid", "true"]).run().expect_code(0);
    assert!(!world.file().exists());
    send(child.pid, Signal::SIGCONT);
    traced.wait();
    assert!(!world.path("ran").exists(), "COMMAND ran without a lock");
}
