//! treekill and pidlock on one PID file.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::fs;

use nix::sys::signal::Signal;
use testkit::{Running, Tool, in_namespace, process, scratch, wait_until};

/// COMMAND under pidlock, once it stands.
fn locked(file: &std::path::Path, script: &str) -> Running {
    let tool = Tool::named("pidlock").arg(file).args(["--", "sh", "-c"]);
    let running = Running::start(tool.arg(script));
    wait_until("COMMAND stands", || running.output().contains("up"));
    running
}

#[test]
fn treekill_returns_when_the_file_is_unlocked() {
    in_namespace!();
    let folder = scratch();
    let file = folder.path().join("run.pid");
    for round in 0..10 {
        let mut keeper = locked(&file, "sleep 1001 & setsid sleep 1002 & echo up; wait");
        let grace = ["5", "0"][round % 2];
        let stop = Tool::named("treekill").args(["-g", grace, "-p"]).arg(&file);
        stop.run().expect_code(0);
        let status = Tool::named("pidlock").arg("--status").arg(&file);
        status.run().expect_code(3);
        let next = Tool::named("pidlock").arg(&file).args(["--", "true"]);
        next.run().expect_code(0);
        keeper.wait();
        assert_eq!(process::others(), []);
    }
}

#[test]
fn the_kernel_says_who_is_meant_whatever_the_file_says() {
    in_namespace!();
    let folder = scratch();
    let file = folder.path().join("run.pid");
    let bystander = Running::start(Tool::named("sleep").arg("1003"));
    let mut keeper = locked(&file, "echo up; exec sleep 1001");
    fs::write(&file, format!("{}\n", bystander.pid())).unwrap();
    let stop = Tool::named("treekill").arg("-p").arg(&file);
    let ran = stop.run().expect_code(0);
    assert_eq!(ran.records().len(), 1, "{ran:?}");
    keeper.wait();
    assert!(!process::gone(bystander.pid()));
}

#[test]
fn a_file_held_outside_this_pid_namespace_is_said_and_nobody_is_signalled() {
    in_namespace!();
    let folder = scratch();
    let file = folder.path().join("run.pid");
    let mut keeper = locked(&file, "echo up; exec sleep 1001");
    let below = || Tool::named("unshare").args(["--pid", "--fork", "--mount-proc"]);
    let stop = Tool::named("treekill").arg("-p").arg(&file);
    stop.run_by(below())
        .run()
        .expect_code(1)
        .expect_words("held by a process outside this PID namespace");
    // Nor is it gone for who watches it from there.
    let wait = Tool::named("waithealth").args(["-t", "0.3", "file:///no", "-p"]);
    wait.arg(&file).run_by(below()).run().expect_code(124);
    assert!(keeper.ended().is_none());
}

#[test]
fn a_file_that_stays_locked_when_command_is_dead_is_said_and_makes_it_1() {
    in_namespace!();
    let folder = scratch();
    let file = folder.path().join("run.pid");
    let keeper = locked(&file, "echo up; exec sleep 1001");
    keeper.signal(Signal::SIGSTOP);
    let stop = Tool::named("treekill").arg("-p").arg(&file);
    let ran = stop.run().expect_code(1).expect_words("is still locked");
    assert_eq!(ran.records()[0][1], "term", "{ran:?}");
}
