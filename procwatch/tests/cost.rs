//! What it costs: nothing while it waits, and no more after ten thousand restarts.

mod common;

use std::fs;
use std::time::Duration;

use common::{file, procwatch, says, start};
use testkit::{Running, Tool, needs, scratch, wait_within};

/// How often the process has been scheduled (proc_pid_status(5)).
fn switches(pid: u32) -> u64 {
    numbers_of(pid, "ctxt_switches").sum()
}

/// Starts one with a COMMAND that goes on, and waits until it has nothing more to do.
fn asleep() -> Running {
    let server = start("", "echo ready; exec sleep 1000");
    says(&server, "ready");
    testkit::wait_until("it sleeps", || {
        let before = switches(server.pid());
        std::thread::sleep(Duration::from_millis(100));
        before == switches(server.pid())
    });
    server
}

#[test]
fn asleep_it_makes_no_system_call() {
    let server = asleep();
    let before = switches(server.pid());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(switches(server.pid()), before, "it woke up");
}

#[test]
fn strace_sees_nothing_of_it_asleep() {
    needs!("strace");
    let server = asleep();
    let pid = server.pid().to_string();
    let ran = Tool::named("timeout")
        .args(["3", "strace", "-f", "-p", &pid])
        .run();
    // The call that it was found in, which never returned.
    let calls = ran.stderr.lines().filter(|line| line.contains('('));
    let calls: Vec<&str> = calls.filter(|line| !line.contains("ppoll([")).collect();
    assert_eq!(calls, [""; 0], "{ran:?}");
    assert_eq!(ran.stderr.matches("ppoll([").count(), 1, "{ran:?}");
}

fn resident_kilobytes(pid: u32) -> u64 {
    numbers_of(pid, "RssAnon").sum()
}

/// The numbers of these lines of `/proc/PID/status`.
fn numbers_of(pid: u32, key: &str) -> impl Iterator<Item = u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let lines: Vec<&str> = status.lines().filter(|line| line.contains(key)).collect();
    let numbers = lines.into_iter().map(|line| line.split_whitespace().nth(1));
    let numbers: Vec<u64> = numbers.flatten().flat_map(str::parse).collect();
    assert!(!numbers.is_empty(), "no {key}");
    numbers.into_iter()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

#[test]
fn ten_thousand_restarts_leak_nothing() {
    let folder = scratch();
    let events = file(&folder, "events");
    let log = file(&folder, "log");
    let tool = procwatch(["-q", "-m", "0", "-b", "0", "--events"]).arg(&events);
    let tool = tool.arg("-o").arg(&log).args(["--", "false"]);
    let server = Running::start(tool);
    let restarts = || {
        let text = fs::read(&events).unwrap_or_default();
        text.windows(8).filter(|w| w == b"\"start\",").count()
    };
    let wait_for = |count| {
        wait_within(Duration::from_secs(300), "it restarts", || {
            std::thread::sleep(Duration::from_millis(100));
            restarts() >= count
        });
    };
    wait_for(1_000);
    let (memory, fds) = (resident_kilobytes(server.pid()), descriptors(server.pid()));
    wait_for(10_000);
    assert!(
        resident_kilobytes(server.pid()) <= memory + 64,
        "memory grows"
    );
    // A start under way has a pipe open.
    assert!(descriptors(server.pid()) <= fds + 3, "descriptors leak");
}
