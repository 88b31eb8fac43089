//! Exit codes, records, and when they come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::{in_namespace, scratch, wait_until};

use crate::kit::{answers, refused, response, server, silence, url, waithealth};

#[test]
fn healthy_is_0_with_one_record() {
    let url = url(answers(response("200 OK", "")));
    let ran = waithealth([url.as_str()])
        .run()
        .expect_code(0)
        .expect_stderr("");
    let record = &ran.records()[0];
    assert_eq!(
        (record[0], record[1], record[3], record[4]),
        (url.as_str(), "healthy", "1", "200")
    );
    assert!(record[2].parse::<u64>().is_ok());
    let ran = waithealth(["--json", &url]).run().expect_code(0);
    let object = &ran.json()[0];
    assert_eq!(object["target"], url.as_str());
    assert_eq!(object["healthy"], true);
    assert_eq!(object["status"], 200);
    assert_eq!(object["attempts"], 1);
    assert_eq!(object["detail"], "200");
    assert!(object["elapsed_ms"].is_u64());
}

#[test]
fn time_running_out_is_124_and_the_last_thing_said_is_the_detail() {
    let slow_after_the_first = AtomicUsize::new(0);
    let port = server(move |mut stream| {
        crate::kit::request(&mut stream);
        if slow_after_the_first.fetch_add(1, Ordering::SeqCst) > 0 {
            silence(&stream);
        }
        use std::io::Write as _;
        let _ = stream.write_all(response("503 Service Unavailable", "").as_bytes());
    });
    let ran = waithealth(["-t", "0.5", &url(port)]).run().expect_code(124);
    assert_eq!(ran.records()[0][1..2], ["unhealthy"]);
    assert_eq!(
        ran.records()[0][4],
        "503",
        "not the cut-off of the last attempt"
    );
    assert!(
        ran.stderr.contains("503: not healthy in 0.5"),
        "{}",
        ran.stderr
    );
}

#[test]
fn timeout_0_tries_once() {
    let port = refused();
    let ran = waithealth(["-t", "0", &format!(":{port}")])
        .run()
        .expect_code(124);
    assert_eq!(ran.records()[0][3..], ["1", "refused"]);
}

#[test]
fn once_returns_0_or_1_whatever_happens() {
    let good = url(answers(response("200 OK", "")));
    let bad = url(answers(response("503 Unavailable", "")));
    waithealth(["--once", &good]).run().expect_code(0);
    waithealth(["--once", "--help"]).run().expect_code(0);
    let silent = format!(":{}", server(|stream| silence(&stream)));
    let silent = format!("http://127.0.0.1{silent}/");
    let gone = format!(":{}", refused());
    for arguments in [
        vec![bad.as_str()],
        vec![&good, &bad],
        vec![&gone],
        vec!["-a", "0.2", &silent],
        vec!["-t", "0.2", &silent],
        vec![],
        vec!["nonsense://x"],
        vec!["-t", "x", &good],
        vec!["--no-such-option"],
        vec!["--cacert", "/nonexistent", &good],
        vec!["-p", "/nonexistent/pid", &good],
        vec![&good, "--", "sh", "-c", "exit 7"],
        vec!["exec:exit 9"],
        vec!["exec:kill -KILL $$"],
    ] {
        let all: Vec<&str> = [&["--once"][..], &arguments].concat();
        waithealth(&all).run().expect_code(1);
    }
}

#[test]
fn wrong_usage_is_125_at_once_in_one_line() {
    let folder = scratch();
    let trace = folder.path().join("run");
    let probe = format!("exec:touch '{}'", trace.display());
    let long_socket = format!("unix:///{}", "x".repeat(108));
    for arguments in [
        vec![],
        vec!["--"],
        vec![":80", "--"],
        vec!["--no-such-option"],
        vec!["-t", "-1", ":80"],
        vec!["-t", "", ":80"],
        vec!["-a", "0", ":80"],
        vec!["-i", "nan", ":80"],
        vec!["--successes", "0", ":80"],
        vec!["-4", "-6", ":80"],
        vec!["htp://localhost/"],
        vec!["localhost"],
        vec!["localhost:99999"],
        vec!["http://local host/"],
        vec!["--body", "(", "http://localhost/"],
        vec!["-X", "CONNECT", "http://localhost/"],
        vec!["--down", "--body", "x", "http://localhost/"],
        vec!["-t"],
        vec![&long_socket],
        vec!["--code", "2x", "http://localhost/"],
        vec!["--field", "", "http://localhost/"],
        vec!["--body", "x", ":80"],
        vec!["-H", "nocolon", "http://localhost/"],
        vec!["--basic-auth", "nocolon", "http://localhost/"],
        vec!["--down", "exec:true"],
        vec!["--down", "--field", "x", "http://localhost/"],
        vec!["-P", "0", ":80"],
        vec!["-P", "x", ":80"],
        vec!["--cacert", "/nonexistent", "https://localhost/"],
        vec!["--cacert", "/dev/null", "https://localhost/"],
    ] {
        let all: Vec<&str> = [&[probe.as_str()][..], &arguments].concat();
        let all = if arguments.is_empty() {
            &all[1..]
        } else {
            &all[..]
        };
        let ran = waithealth(all).run().expect_code(125);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("waithealth: "), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        assert!(ran.elapsed < Duration::from_secs(10));
    }
    // With --once it is 1: Docker reserves the others.
    let ran = waithealth(["--once", "--successes", "2", &probe]).run();
    ran.expect_code(1)
        .expect_words("--successes cannot be reached");
    assert!(!trace.exists(), "something was probed");
}

#[test]
fn help_fits_one_screen_and_help_has_codes_and_examples() {
    let short = waithealth(["-h"]).run().expect_code(0).stdout;
    assert!(
        short.lines().count() <= 24 && short.lines().all(|line| line.chars().count() <= 80 + 8),
        "{short}"
    );
    let long = waithealth(["--help"]).run().expect_code(0).stdout;
    assert!(long.contains("124") && long.contains("Examples:"), "{long}");
    assert!(
        waithealth(["-V"])
            .run()
            .expect_code(0)
            .stdout
            .starts_with("waithealth 0.")
    );
}

#[test]
fn all_targets_are_wanted_and_with_any_one() {
    let good = url(answers(response("200 OK", "")));
    let bad = format!(":{}", refused());
    let ran = waithealth(["-t", "0.3", &good, &bad])
        .run()
        .expect_code(124);
    let words: Vec<_> = ran
        .records()
        .iter()
        .map(|record| record[1].to_owned())
        .collect();
    assert_eq!(words, ["healthy", "unhealthy"]);
    let ran = waithealth(["--any", &bad, &good]).run().expect_code(0);
    assert_eq!(ran.records().len(), 1);
    assert_eq!(ran.records()[0][0], good);
}

#[test]
fn a_hundred_targets_side_by_side() {
    let port = server(|mut stream| {
        crate::kit::request(&mut stream);
        std::thread::sleep(Duration::from_millis(300));
        use std::io::Write as _;
        let _ = stream.write_all(response("200 OK", "").as_bytes());
    });
    let targets: Vec<String> = (0..100)
        .map(|number| format!("http://127.0.0.1:{port}/{number}"))
        .collect();
    let arguments: Vec<&str> = targets.iter().map(String::as_str).collect();
    let ran = waithealth(&arguments).run().expect_code(0);
    assert_eq!(ran.records().len(), 100);
    assert!(
        ran.elapsed < Duration::from_secs(10),
        "one after the other takes 30 s: {:?}",
        ran.elapsed
    );
}

#[test]
fn down_waits_for_refusal_or_absence() {
    let port = refused();
    let ran = waithealth([
        "--down",
        &format!(":{port}"),
        "file:///nonexistent",
        "unix:///nonexistent",
    ])
    .run();
    let ran = ran.expect_code(0);
    assert!(
        ran.records().iter().all(|record| record[1] == "unhealthy"),
        "{}",
        ran.stdout
    );
    let bad = url(answers(response("503 Unavailable", "")));
    waithealth(["--down", "-t", "0.2", &bad])
        .run()
        .expect_code(124);
    waithealth(["--down", "-t", "0.2", "tcp://name.invalid:80"])
        .run()
        .expect_code(124);
}

#[test]
fn successes_in_a_row_start_anew_after_a_failure() {
    let count = AtomicUsize::new(0);
    let port = server(move |mut stream| {
        crate::kit::request(&mut stream);
        let turn = count.fetch_add(1, Ordering::SeqCst);
        let status = if turn == 1 { "503 No" } else { "200 OK" };
        use std::io::Write as _;
        let _ = stream.write_all(response(status, "").as_bytes());
    });
    let ran = waithealth(["--successes", "3", &url(port)])
        .run()
        .expect_code(0);
    assert_eq!(ran.records()[0][3], "5", "good, bad, good, good, good");
}

#[test]
fn the_interval_is_a_fixed_pause() {
    let ran = waithealth(["-t", "1", "-i", "400ms", &format!(":{}", refused())])
        .run()
        .expect_code(124);
    let attempts: u32 = ran.records()[0][3].parse().unwrap();
    assert!((2..=3).contains(&attempts), "{attempts}");
}

#[test]
fn command_is_executed_in_place_and_has_standard_output_to_itself() {
    let good = url(answers(response("200 OK", "")));
    let ran = waithealth([&good, "--", "sh", "-c", "echo $$ --json; exit 7"])
        .run()
        .expect_code(7);
    assert!(
        ran.stdout.ends_with(" --json\n") && ran.stdout.lines().count() == 1,
        "{}",
        ran.stdout
    );
    waithealth([&good, "--", "/nonexistent/command"])
        .run()
        .expect_code(127);
    waithealth([&good, "--", "/"]).run().expect_code(126);
    let ran = waithealth(["-t", "0", &format!(":{}", refused()), "--", "echo", "ran"]).run();
    ran.expect_code(124).expect_stdout("");
}

#[test]
fn command_has_the_signals_it_would_have_had() {
    // Blocked for the sake of exec: targets, which COMMAND must not notice.
    let ran = waithealth(["exec:true", "--", "grep", "SigBlk", "/proc/self/status"])
        .run()
        .expect_code(0);
    assert!(ran.stdout.ends_with("0000000000000000\n"), "{}", ran.stdout);
}

#[test]
fn told_to_end_it_ends_by_that_signal_and_takes_its_commands_along() {
    in_namespace!();
    let running = testkit::Running::start(waithealth(["-t", "60", "exec:sleep 4321"]));
    let sleeps = || {
        testkit::process::others()
            .iter()
            .any(|seen| seen.cmdline.contains("4321") && seen.cmdline.starts_with("sleep"))
    };
    wait_until("the command runs", sleeps);
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let mut running = running;
    assert_eq!(running.wait(), 128 + 15);
    wait_until("the command is gone", || !sleeps());
}

#[test]
fn a_closed_standard_output_changes_no_verdict() {
    let good = url(answers(response("200 OK", "")));
    let binary = env!("CARGO_BIN_EXE_waithealth");
    let line = format!("{{ '{binary}' '{good}'; echo \"code $?\" >&2; }} | true");
    let ran = testkit::Tool::named("sh").args(["-c", &line]).run();
    assert_eq!(ran.stderr, "code 0\n");
}

#[test]
fn records_that_cannot_be_written_are_125() {
    let waithealth = env!("CARGO_BIN_EXE_waithealth");
    let script = format!("'{waithealth}' file:/// >/dev/full");
    let ran = testkit::Tool::named("sh").args(["-c", &script]).run();
    let said = "waithealth: standard output: No space left on device\n";
    ran.expect_code(125).expect_stderr(said);
}

#[test]
fn what_cannot_be_watched_or_begun_is_125() {
    let ran = waithealth(["file:///", "-p", "/"]).run().expect_code(125);
    ran.expect_stderr("waithealth: the process of /: it is a directory, not a regular file\n");
    for option in ["--body", "--code"] {
        let line = ["--down", option, "200", "http://localhost/"];
        waithealth(line)
            .run()
            .expect_code(125)
            .expect_words("nothing is asked of a server that is down");
    }
    testkit::needs!("strace");
    let faulty = testkit::faults::run(waithealth(["file:///"]), "clone3", "EAGAIN", 1);
    let _ = faulty
        .ran
        .expect_code(125)
        .expect_words("waithealth: cannot start a thread: ");
}

#[test]
fn a_command_without_a_shell_is_unhealthy() {
    let ran = waithealth(["--once", "exec:true"]).env("PATH", "/no").run();
    assert_eq!(ran.expect_code(1).records()[0][4], "no sh to run it");
}
