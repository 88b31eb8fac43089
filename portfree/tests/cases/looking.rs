//! Records, exit codes and usage.

use std::time::SystemTime;

use testkit::{in_namespace, needs, process};

use crate::server::{portfree, serve, tool};

#[test]
fn the_exit_codes_of_looking() {
    needs!("python3");
    in_namespace!();
    for (option, free, held) in [("--check", 0, 1), ("--list", 1, 0), ("--pids", 1, 0)] {
        let server = serve("s = listener(8000)");
        portfree(&[option, "8000"])
            .expect_code(held)
            .expect_stderr("");
        portfree(&[option, "8001"])
            .expect_code(free)
            .expect_stdout("")
            .expect_stderr("");
        assert!(!process::gone(server.pid()));
    }
}

#[test]
fn the_keys_of_a_holder() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8000, '127.0.0.1')");
    let list = portfree(&["--list", "--json", "8000"]).expect_code(0);
    let [record] = list.json().try_into().unwrap();
    let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
    let mut expected = [
        "proto",
        "address",
        "port",
        "state",
        "pid",
        "user",
        "name",
        "cmdline",
        "unit",
        "container",
        "started",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(record["address"], "127.0.0.1");
    assert_eq!(record["port"], 8000);
    assert_eq!(record["pid"], server.pid());
    assert_eq!(record["name"], "python3");
    let started = record["started"].as_str().unwrap();
    let day = treekill_date(SystemTime::now());
    assert!(
        started.starts_with(&day) && started.ends_with('Z'),
        "{started}"
    );
    let plain = portfree(&["--list", "8000"]).expect_code(0);
    assert_eq!(plain.records()[0].len(), 7);
}

/// The day of a moment, as the tools write it.
fn treekill_date(time: SystemTime) -> String {
    treekill::record::rfc3339(time)[..10].to_owned()
}

#[test]
fn the_keys_of_an_outcome() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8000)");
    let freed = portfree(&["--json", "8000"]).expect_code(0);
    let [record] = freed.json().try_into().unwrap();
    assert_eq!(record["pid"], server.pid());
    assert_eq!(record["ppid"], std::process::id());
    assert_eq!(record["outcome"], "term");
    assert_eq!(record["signal"], "TERM");
    assert!(record["elapsed_ms"].is_u64());
    assert!(
        record["cmdline"]
            .as_str()
            .unwrap()
            .contains("listener(8000)")
    );
    assert_eq!(record.as_object().unwrap().len(), 7);
}

#[test]
fn a_hostile_name_forges_nothing() {
    needs!("python3");
    in_namespace!();
    let _server = serve("s = listener(8000)\nname(b'a\\tb\\n\\x1b[2J')");
    for option in ["--list", "--dry-run"] {
        let list = portfree(&[option, "8000"]).expect_code(0);
        let records = list.records();
        assert_eq!((records.len(), records[0].len()), (1, 7), "{list:?}");
        assert_eq!(records[0][5], "a\\tb\\n\\x1b[2J");
    }
    let _no_utf8 = serve("s = listener(8001)\nname(b'\\xff\\xfe')");
    let list = portfree(&["--list", "8001"]).expect_code(0);
    assert_eq!(list.records()[0][4..6], ["root", "\\xff\\xfe"]);
    let freed = portfree(&["-v", "8000"]).expect_code(0);
    assert_eq!(freed.records()[0][2], "a\\tb\\n\\x1b[2J");
    assert!(!freed.stderr.contains('\x1b'), "{freed:?}");
}

#[test]
fn quiet_is_silent() {
    needs!("python3");
    in_namespace!();
    let _server = serve("ignore(signal.SIGTERM)\ns = listener(8000)");
    for arguments in [
        &["-q", "--list", "8000"][..],
        &["-q", "-g0.1", "--no-kill", "8000"],
    ] {
        portfree(arguments).expect_stdout("").expect_stderr("");
    }
    portfree(&["-q", "nonsense"])
        .expect_code(125)
        .expect_words("nonsense");
}

#[test]
fn waiting_signals_nobody_and_ends_when_the_port_is_free() {
    needs!("python3");
    in_namespace!();
    let mut server = serve("s = listener(8000)");
    portfree(&["--wait", "0.2", "8000"])
        .expect_code(124)
        .expect_stdout("")
        .expect_words("8000/tcp: still held by python3");
    assert!(server.ended().is_none());
    let waiting = testkit::Running::start(tool(&["-w", "inf", "8000"]));
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait();
    let mut waiting = waiting;
    assert_eq!(waiting.wait(), 0);
    portfree(&["-w", "0", "8000"]).expect_code(0);
}

#[test]
fn a_waiting_portfree_ends_by_ctrl_c() {
    needs!("python3");
    in_namespace!();
    let _server = serve("s = listener(8000)");
    let mut waiting = testkit::Running::start(tool(&["-w", "inf", "8000"]));
    testkit::wait_until("it waits", || {
        let seen = testkit::process::look(waiting.pid()).unwrap();
        seen.state == 'S' && seen.cmdline.ends_with("-w inf 8000")
    });
    waiting.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(waiting.wait(), 128 + 2);
}

#[test]
fn wrong_usage_is_one_line_and_touches_nobody() {
    needs!("python3");
    in_namespace!();
    let server = serve("s = listener(8000)");
    for arguments in [
        &[][..],
        &["x"],
        &["8000", "x"],
        &["0"],
        &["65536"],
        &["8000", "--nonsense"],
        &["--check", "--list", "8000"],
        &["--wait", "1", "--pids", "8000"],
        &["--grace", "-1", "8000"],
        &["--grace", "", "8000"],
        &["--signal", "NONE", "8000"],
        &["--wait", "8000"],
        &["192.0.2.1:8000"],
        &["::1:8000"],
        &["8010-8000"],
    ] {
        let ran = portfree(arguments).expect_code(125).expect_stdout("");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.starts_with("portfree: "), "{ran:?}");
    }
    assert!(!process::gone(server.pid()));
}

#[test]
fn options_stand_before_or_after_the_port() {
    in_namespace!();
    for arguments in [
        &["--check", "8000"][..],
        &["8000", "--check"],
        &["-c", "--", "8000"],
    ] {
        portfree(arguments).expect_code(0);
    }
    portfree(&["8000", "--grace=2s", "--signal", "HUP"]).expect_code(0);
}

#[test]
fn help_tells_the_exit_codes_and_three_examples() {
    let short = portfree(&["-h"]).expect_code(0);
    assert!(short.stdout.lines().count() <= 36, "{short:?}");
    let long = portfree(&["--help"]).expect_code(0);
    for code in ["0 ", "1 ", "77 ", "124 ", "125 "] {
        let line = format!("  {code}");
        assert!(
            long.stdout.lines().any(|l| l.starts_with(&line)),
            "{code}\n{long:?}"
        );
    }
    let (_, examples) = long.stdout.split_once("Examples:").unwrap();
    assert_eq!(examples.matches("portfree").count(), 3);
}
