//! The health command and the memory limit.

mod common;

use std::time::Duration;

use common::{file, procwatch, says};
use nix::sys::signal::Signal;
use testkit::{Running, Tool, in_namespace, needs, process, scratch, wait_until};

fn watched(health: &str, options: &str) -> Tool {
    procwatch([
        "-v",
        "-b",
        "0",
        "--health-interval",
        "50ms",
        "--health-cmd",
        health,
    ])
    .args(options.split_whitespace())
    .args(["--", "sh", "-c", "echo run; exec sleep 1000"])
}

#[test]
fn so_many_failures_in_a_row_restart_command() {
    in_namespace!();
    let folder = scratch();
    let flag = file(&folder, "sick");
    let health = format!("! test -e '{}'", flag.display());
    let server = Running::start(watched(&health, "--health-retries 3"));
    says(&server, "is healthy");
    std::fs::write(&flag, "").unwrap();
    says(&server, "is unhealthy: 3 health checks failed");
    std::fs::remove_file(&flag).unwrap();
    wait_until("it runs again", || {
        server.output().matches("run\n").count() >= 2
    });
    assert!(server.output().contains("(1 in a row)"));
    assert!(server.output().contains("(2 in a row)"));
}

#[test]
fn an_unhealthy_command_that_ends_well_is_restarted_all_the_same() {
    in_namespace!();
    let polite = "trap 'exit 0' TERM; echo run; while :; do sleep 0.01; done";
    let tool = procwatch([
        "-b",
        "0",
        "-m",
        "2",
        "--health-interval",
        "20ms",
        "--health-cmd",
    ]);
    let tool = tool.args(["false", "--", "bash", "-c", polite]);
    let ran = tool.run().expect_code(1);
    assert_eq!(ran.stdout, "run\nrun\nrun\n");
}

#[test]
fn a_check_that_hangs_has_failed_and_is_killed() {
    in_namespace!();
    let health = "sleep 7777 & sleep 7777";
    let tool = watched(
        health,
        "--health-timeout 100ms --health-retries 2 --startup-restarts 0",
    );
    let ran = tool.run();
    assert_eq!(ran.signal(), Some(libc::SIGTERM), "{ran:?}");
    ran.expect_words("is unhealthy: 2 health checks failed");
    assert_eq!(process::others(), []);
}

#[test]
fn failures_in_the_start_period_do_not_count() {
    in_namespace!();
    let folder = scratch();
    let checks = file(&folder, "checks");
    let health = format!("echo check >> '{}'; exit 1", checks.display());
    let options = "--health-start-period 1000s --health-retries 1";
    let mut server = Running::start(watched(&health, options));
    wait_until("there were checks", || {
        std::fs::read_to_string(&checks)
            .unwrap_or_default()
            .lines()
            .count()
            >= 5
    });
    assert!(!server.output().contains("unhealthy"));
    server.signal(Signal::SIGTERM);
    server.wait();
}

#[test]
fn what_a_check_prints_goes_nowhere() {
    let tool = procwatch([
        "--health-interval",
        "10ms",
        "--health-cmd",
        "echo a; echo b >&2",
    ]);
    let ran = tool.args(["--", "sh", "-c", "sleep 0.3; echo done"]).run();
    ran.expect_stdout("done\n").expect_stderr("");
}

/// Holds so many megabytes and shares them with three children.
const HOLD: &str = "import os, sys, time
x = bytearray(int(sys.argv[1]) << 20)
x[::4096] = b'x' * len(x[::4096])
for i in range(3):
    if os.fork() == 0:
        time.sleep(1000)
print('full', flush=True)
time.sleep(1000)";

fn holding(megabytes: &str, limit: &str) -> Tool {
    procwatch([
        "-v",
        "-r",
        "never",
        "--max-memory",
        limit,
        "--",
        "python3",
        "-c",
        HOLD,
    ])
    .arg(megabytes)
}

#[test]
fn too_much_memory_ends_the_run() {
    needs!("python3");
    in_namespace!();
    let ran = holding("200", "100M").run();
    assert_eq!(ran.signal(), Some(libc::SIGTERM));
    ran.expect_words("of memory, 100.0M are allowed");
    assert_eq!(process::others(), []);
}

#[test]
fn shared_pages_are_counted_once() {
    needs!("python3");
    in_namespace!();
    // Four processes with 60M resident each, which are the same 60M.
    let mut server = Running::start(holding("60", "120M"));
    says(&server, "full");
    says(&server, "resident");
    assert!(!server.output().contains("are allowed"));
    server.signal(Signal::SIGTERM);
    server.wait();
}

#[test]
fn a_kill_by_somebody_else_is_looked_into() {
    let ran = common::run("-r never", "kill -9 $$");
    assert_eq!(ran.signal(), Some(libc::SIGKILL));
    let ran = ran.expect_words("was ended by KILL after");
    // Only where a memory cgroup counts does it say so.
    assert!(!ran.stderr.contains("probably out of memory"), "{ran:?}");
    assert!(ran.elapsed < Duration::from_secs(20));
}

#[test]
fn a_check_that_is_under_way_when_command_ends_ends_with_it() {
    in_namespace!();
    let check = ["--health-interval", "10ms", "--health-timeout", "100"];
    let tool = procwatch(["-r", "never", "-g", "100", "--health-cmd", "sleep 1234"]);
    let script = "until ps -eo args= | grep -q '^sleep 123[4]'; do sleep 0.01; done; exit 3";
    let ran = tool.args(check).args(["--", "sh", "-c", script]).run();
    let _ = ran.expect_code(3);
    assert_eq!(process::others(), []);
}
