//! `--before`, `--after` and `--events`.

#![allow(clippy::unwrap_used)]

mod common;

use common::{file, procwatch, says, start};
use testkit::{Running, scratch};

#[test]
fn before_runs_before_every_start() {
    let tool = procwatch(["-m", "1", "-b", "0", "--before", "echo before"]);
    let ran = tool.args(["--", "sh", "-c", "echo run; exit 1"]).run();
    ran.expect_code(1)
        .expect_stdout("before\nrun\nbefore\nrun\n");
}

#[test]
fn a_failed_before_is_a_failed_start() {
    let tool = procwatch(["-m", "2", "-b", "0", "--before", "echo before; exit 6"]);
    let ran = tool.args(["--", "echo", "run"]).run().expect_code(6);
    assert_eq!(ran.stdout, "before\nbefore\nbefore\n");
    ran.expect_words("--before: ended with 6")
        .expect_words("gave up after 2 restarts");
    let tool = procwatch(["--startup-restarts", "0", "--before", "exit 6"]);
    tool.args(["--", "echo", "run"])
        .run()
        .expect_code(6)
        .expect_stdout("");
}

#[test]
fn after_is_told_how_it_ended() {
    let show = "echo \"$PROCWATCH_EXIT $PROCWATCH_RESTARTS $PROCWATCH_REASON \
        $((PROCWATCH_UPTIME_MS >= 100)) $((PROCWATCH_PID > 1))\"";
    let after = |script: &str| {
        let tool = procwatch(["-m", "1", "-b", "0", "--after", show]);
        tool.args(["--", "sh", "-c", script]).run()
    };
    let ran = after("sleep 0.1; exit 3").expect_code(3);
    assert_eq!(ran.stdout, "3 0 exit 1 1\n3 1 exit 1 1\n");
    let ran = after("kill -9 $$");
    assert_eq!(ran.signal(), Some(9));
    assert_eq!(
        ran.stdout,
        "signal:KILL 0 exit 0 1\nsignal:KILL 1 exit 0 1\n"
    );
}

#[test]
fn after_runs_after_a_stop_too() {
    let tool = procwatch([
        "--after",
        "echo \"$PROCWATCH_REASON $PROCWATCH_EXIT\"",
        "--",
    ]);
    let mut server = Running::start(tool.args(["sh", "-c", "echo up; exec sleep 1000"]));
    says(&server, "up");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait();
    assert_eq!(server.output(), "up\nstop signal:TERM\n");
}

#[test]
fn hooks_read_nothing() {
    let tool = procwatch(["--before", "cat", "--after", "cat", "--", "cat"]);
    tool.stdin("for COMMAND\n")
        .run()
        .expect_stdout("for COMMAND\n");
}

#[test]
fn events_tell_the_whole_life() {
    let folder = scratch();
    let events = file(&folder, "events");
    let tool = procwatch(["-m", "1", "-b", "1ms..2ms", "--events"]).arg(&events);
    tool.args(["--", "sh", "-c", "exit 3"]).run().expect_code(3);
    let told = read(&events);
    let names: Vec<&str> = told.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["start", "exit", "backoff", "start", "exit", "give-up"]
    );
    assert_eq!(told[1]["code"], 3);
    assert_eq!(told[1]["pid"], told[0]["pid"]);
    assert_eq!(told[1]["reason"], "exit");
    assert_eq!(told[3]["restarts"], 1);
    assert_eq!(told[5]["restarts"], 1);
    for event in &told {
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T');
    }
}

#[test]
fn events_tell_a_stop_and_append() {
    let folder = scratch();
    let events = file(&folder, "events");
    std::fs::write(&events, "{\"event\":\"older\"}\n").unwrap();
    let options = format!("--events {}", events.display());
    assert!(
        options.contains("test kit"),
        "the folder has a space in its name"
    );
    let tool = procwatch(["--events"]).arg(&events);
    let mut server = Running::start(tool.args(["--", "sh", "-c", "echo up; exec sleep 1000"]));
    says(&server, "up");
    testkit::wait_until("the start is told", || {
        std::fs::read_to_string(&events).unwrap().contains("start")
    });
    // A file that was moved away is made anew.
    std::fs::rename(&events, file(&folder, "moved")).unwrap();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait();
    let names = |told: &[serde_json::Value]| -> Vec<String> {
        told.iter()
            .map(|e| e["event"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&read(&file(&folder, "moved"))), ["older", "start"]);
    let told = read(&events);
    assert_eq!(names(&told), ["stop", "exit"]);
    assert_eq!(told[0]["signal"], "TERM");
    assert_eq!(told[1]["signal"], "TERM");
    assert_eq!(told[1]["reason"], "stop");
}

fn read(events: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(events).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn quiet_says_nothing() {
    let ran = common::run("-q -m 1 -b 0", "exit 1").expect_code(1);
    ran.expect_stdout("").expect_stderr("");
    let mut server = start("-v", "exit 0");
    assert_eq!(server.wait(), 0);
    assert!(server.output().contains("runs as PID "));
}

#[test]
fn an_after_that_fails_is_said_and_changes_no_status() {
    let tool = procwatch([
        "-r", "never", "--after", "exit 4", "--", "sh", "-c", "exit 3",
    ]);
    tool.run()
        .expect_code(3)
        .expect_words("--after: ended with 4");
}

#[test]
fn events_that_cannot_be_written_are_said_once_and_change_no_status() {
    let events = ["-m", "1", "-b", "0", "--events", "/dev/full"];
    let ran = procwatch(events).args(["--", "false"]).run().expect_code(1);
    let said = "the events: cannot write: No space left on device";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran:?}");
}
