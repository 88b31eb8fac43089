//! Told to stop, procwatch stops COMMAND in order and returns its status.

mod common;

use std::time::{Duration, Instant};

use common::{listener, living, says, send, start};
use nix::sys::signal::Signal;
use testkit::{in_namespace, process};

const POLITE: &str =
    "trap 'sleep 0.1; echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done";

#[test]
fn it_returns_the_status_of_the_stopped_command() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut server = start("-r always", POLITE);
        says(&server, "ready");
        server.signal(signal);
        assert_eq!(server.wait(), 7, "{signal}: {}", server.output());
        assert_eq!(server.output(), "ready\nbye\n");
    }
}

#[test]
fn a_command_that_ends_by_the_signal_is_not_restarted() {
    let mut server = start("-r always -b 0", "echo ready; exec sleep 1000");
    says(&server, "ready");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
    assert_eq!(server.output(), "ready\n");
}

#[test]
fn twice_is_once_and_a_third_time_is_kill() {
    in_namespace!();
    let mut server = start("-g 100", &listener(&[10, 15]));
    says(&server, "ready");
    server.signal(Signal::SIGTERM);
    says(&server, "got 15");
    server.signal(Signal::SIGTERM);
    // USR1 arrives after what came before it.
    server.signal(Signal::SIGUSR1);
    says(&server, "got 10");
    assert_eq!(server.output().matches("got 15").count(), 1);
    assert!(server.ended().is_none());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 9);
    assert_eq!(process::others(), []);
}

#[test]
fn what_outlives_the_grace_is_killed() {
    in_namespace!();
    let script = "trap '' TERM; (trap '' TERM; exec sleep 1000) & echo ready; exec sleep 1001";
    let mut server = start("-g 300ms", script);
    says(&server, "ready");
    let told = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 9);
    assert!(told.elapsed() >= Duration::from_millis(300));
    assert_eq!(process::others(), []);
}

#[test]
fn another_stop_signal() {
    let script = "trap 'exit 9' INT; trap 'exit 8' TERM; echo ready; while :; do sleep 0.01; done";
    let mut server = start("-s INT", script);
    says(&server, "ready");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 9);
}

#[test]
fn a_stopped_command_is_continued_to_stop() {
    in_namespace!();
    let mut server = start("-g 100", POLITE);
    says(&server, "ready");
    let command = process::children(server.pid())[0].pid;
    send(u32::try_from(command).unwrap(), libc::SIGSTOP);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 7);
}

#[test]
fn during_a_pause_it_returns_at_once() {
    let mut server = start("-b 1000", "exit 3");
    says(&server, "again in");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 3);
}

#[test]
fn during_before_nothing_is_started() {
    in_namespace!();
    let before = "echo before; exec sleep 1000";
    let tool = common::procwatch(["--before", before, "--", "echo", "started"]);
    let mut server = testkit::Running::start(tool);
    says(&server, "before");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
    assert_eq!(server.output(), "before\n");
    assert_eq!(process::others(), []);
}

#[test]
fn during_after_the_hook_may_finish() {
    let after = "echo begun; sleep 0.3; echo done";
    let tool = common::procwatch(["--after", after, "-r", "always", "-b", "0", "--", "true"]);
    let mut server = testkit::Running::start(tool);
    says(&server, "begun");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 0);
    assert_eq!(server.output(), "begun\ndone\n");
}

#[test]
fn descendants_of_a_stopped_command_are_asked_before_they_are_killed() {
    in_namespace!();
    let worker = "trap 'echo worker done; exit' TERM; echo ready; while :; do sleep 0.01; done";
    let script = format!("(setsid bash -c \"{worker}\" &); exec sleep 1000");
    let mut server = start("", &script);
    says(&server, "ready");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 128 + 15);
    assert!(server.output().ends_with("worker done\n"));
    assert_eq!(process::others(), []);
}

#[test]
fn hup_usr1_usr2_winch_and_cont_go_to_command() {
    let signals = [1, 10, 12, 28, 18];
    let mut server = start("", &listener(&signals));
    says(&server, "ready");
    for signal in signals {
        send(server.pid(), signal);
        says(&server, &format!("got {signal}\n"));
    }
    assert!(server.ended().is_none());
    server.signal(Signal::SIGTERM);
    server.wait();
}

#[test]
fn what_is_for_command_does_not_end_a_hook() {
    let tool = common::procwatch(["--before", "echo before; sleep 0.5; echo done"]);
    let mut server = testkit::Running::start(tool.args(["--", "echo", "run"]));
    says(&server, "before");
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGHUP);
    assert_eq!(server.wait(), 0);
    assert_eq!(server.output(), "before\ndone\nrun\n");
}

#[test]
fn killed_itself_it_leaves_no_command_behind() {
    in_namespace!();
    let server = start("", "exec sleep 1234");
    testkit::wait_until("it runs", || living("sleep 1234").len() == 1);
    server.signal(Signal::SIGKILL);
    testkit::wait_until("COMMAND is gone", || living("sleep 1234").is_empty());
}

#[test]
fn killed_behind_its_front_it_leaves_no_command_behind() {
    in_namespace!();
    let line = format!("sleep 4321 & exec {} sleep 1234", common::PROCWATCH);
    let server = testkit::Running::start(testkit::Tool::named("sh").args(["-c", &line]));
    testkit::wait_until("it runs", || living("sleep 1234").len() == 1);
    server.signal(Signal::SIGKILL);
    testkit::wait_until("COMMAND is gone", || living("sleep 1234").is_empty());
}
