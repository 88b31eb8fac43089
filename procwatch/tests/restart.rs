//! When COMMAND is started again, and when no more.

mod common;

use std::time::Duration;

use common::{run, says, start};
use nix::sys::signal::Signal;

#[test]
fn the_limit_is_a_number_of_restarts() {
    for (limit, runs) in [(1, 2), (3, 4)] {
        let ran = run(&format!("-m {limit} -b 0"), "echo run; exit 3").expect_code(3);
        assert_eq!(ran.stdout.lines().count(), runs, "{ran:?}");
        ran.expect_words("gave up after ");
    }
}

#[test]
fn giving_up_on_success_is_a_failure() {
    let ran = run("-r always -m 2 -b 0", "echo run").expect_code(1);
    assert_eq!(ran.stdout.lines().count(), 3);
    ran.expect_words("gave up after 2 restarts in a row: it ended with 0");
}

#[test]
fn giving_up_on_a_signal_ends_by_that_signal() {
    let ran = run("-m 1 -b 0", "kill -SEGV $$");
    assert_eq!(ran.signal(), Some(libc::SIGSEGV), "{ran:?}");
}

#[test]
fn the_tenth_restart_is_the_last_by_default() {
    let ran = run("-b 0", "echo run; exit 1").expect_code(1);
    assert_eq!(ran.stdout.lines().count(), 11);
}

#[test]
fn zero_never_gives_up() {
    let mut endless = start("-m 0 -b 0", "echo run; exit 1");
    testkit::wait_until("it runs 30 times", || {
        endless.output().matches("run\n").count() >= 30
    });
    endless.signal(Signal::SIGTERM);
    endless.wait();
}

#[test]
fn a_start_script_hears_early() {
    let ran = run("--startup-restarts 0 -b 100", "exit 4").expect_code(4);
    ran.expect_words("before it was stable");
    // Once it was stable, the other limit holds.
    let folder = testkit::scratch();
    let flag = common::file(&folder, "was stable").display().to_string();
    let script = format!("echo run; [ -e '{flag}' ] || {{ touch '{flag}'; sleep 4; }}; exit 4");
    let ran = run("--startup-restarts 0 -m 2 --stable 3 -b 0", &script).expect_code(4);
    assert_eq!(ran.stdout.lines().count(), 1 + 2, "{ran:?}");
}

#[test]
fn a_stable_run_starts_the_count_anew() {
    let folder = testkit::scratch();
    let count = common::file(&folder, "count");
    // Two short runs, a stable one, then short ones: with a limit of 2 there are 3 more.
    let script = format!(
        "echo run | tee -a '{0}'; [ $(wc -l < '{0}') = 3 ] && sleep 4; exit 1",
        count.display()
    );
    let ran = run("-m 2 --stable 3 -b 0", &script).expect_code(1);
    assert_eq!(ran.stdout.lines().count(), 5, "{ran:?}");
}

#[test]
fn pauses_double_up_to_the_cap() {
    let folder = testkit::scratch();
    let events = common::file(&folder, "events");
    let tool = common::procwatch(["-m", "4", "-b", "20ms..60ms", "--events"]).arg(&events);
    let ran = tool.arg("false").run().expect_code(1);
    let text = std::fs::read_to_string(events).unwrap();
    let pauses: Vec<i64> = text
        .lines()
        .filter(|line| line.contains("\"backoff\""))
        .map(|line| line.split("pause_ms\":").nth(1).unwrap())
        .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
        .collect();
    for (pause, nominal) in pauses.iter().zip([20, 40, 60, 60]) {
        assert!(
            (nominal * 9 / 10 - 1..=nominal * 11 / 10 + 1).contains(pause),
            "{pauses:?}"
        );
    }
    assert_eq!(pauses.len(), 4);
    assert!(ran.elapsed >= Duration::from_millis(160));
}

#[test]
fn a_restart_says_when_and_how_often() {
    let server = start("-b 100", "exit 2");
    says(&server, "ended with 2 after ");
    says(&server, "starting bash again in 1m40s (restart 1 of 10)");
}
