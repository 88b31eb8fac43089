//! What the tests of treekill share.
#![allow(dead_code, clippy::unwrap_used)] // Not every test uses all; a helper may fail.

use testkit::process::{self, Seen};
use testkit::{Ran, Running, Tool, wait_until};

/// treekill, about to be run.
pub(crate) fn treekill() -> Tool {
    Tool::at(env!("CARGO_BIN_EXE_treekill"))
}

/// treekill with these words, run to its end.
pub(crate) fn run(words: &[&str]) -> Ran {
    treekill().args(words).run()
}

/// A shell in the test's own session that says `up` when its tree stands.
pub(crate) fn shell(script: &str) -> Running {
    started(Tool::named("sh").args(["-c", script]))
}

/// A shell that leads a session of its own.
pub(crate) fn session(script: &str) -> Running {
    started(Tool::named("setsid").args(["sh", "-c", script]))
}

/// Starts it and waits until it says `up`.
pub(crate) fn started(tool: Tool) -> Running {
    let running = Running::start(tool);
    wait_until("the tree stands", || running.output().contains("up"));
    running
}

/// A process that does nothing, and that nobody should touch.
pub(crate) fn bystander() -> Running {
    Running::start(Tool::named("sleep").arg("7777"))
}

pub(crate) fn pid(running: &Running) -> String {
    running.pid().to_string()
}

/// Every process with this command line.
pub(crate) fn with_cmdline(cmdline: &str) -> Vec<Seen> {
    let mut seen = process::others();
    seen.retain(|seen| seen.cmdline == cmdline);
    seen
}

/// Waits until there are so many processes with this command line.
pub(crate) fn wait_for(count: usize, cmdline: &str) -> Vec<Seen> {
    let what = format!("{count} of {cmdline:?}");
    wait_until(&what, || with_cmdline(cmdline).len() == count);
    with_cmdline(cmdline)
}

/// Fails where a process lives that is not one of these.
#[track_caller]
pub(crate) fn expect_alone(bystanders: &[&Running]) {
    let pids: Vec<_> = bystanders
        .iter()
        .map(|b| i32::try_from(b.pid()).unwrap())
        .collect();
    let mut left = process::others();
    for pid in &pids {
        assert!(left.iter().any(|seen| seen.pid == *pid), "{pid} is gone");
    }
    left.retain(|seen| !pids.contains(&seen.pid));
    assert!(left.is_empty(), "survivors: {left:?}");
}

/// How often this outcome stands in the records.
pub(crate) fn count(ran: &Ran, outcome: &str) -> usize {
    ran.records()
        .iter()
        .filter(|record| record[1] == outcome)
        .count()
}

/// The outcome of one process.
pub(crate) fn outcome(ran: &Ran, pid: &str) -> String {
    let records = ran.records();
    let found: Vec<_> = records.iter().filter(|record| record[0] == pid).collect();
    assert_eq!(found.len(), 1, "records of {pid}: {ran:?}");
    found[0][1].to_owned()
}
