//! `--pid` and `--pidfile`: waiting ends with the process that is waited for.

use std::fs;
use std::time::{Duration, Instant};

use testkit::{Running, Tool, scratch};

use crate::kit::{answers, refused, response, url, waithealth};

/// Runs waithealth, kills the process meanwhile, and returns how long it took from then on.
fn seen_after(options: &[&str], process: Running) -> Duration {
    let target = format!(":{}", refused());
    let all: Vec<&str> = [&["-v", "-t", "60", &target][..], options].concat();
    let mut waiting = Running::start(waithealth(&all));
    testkit::wait_until("it waits", || waiting.output().contains("refused"));
    process.signal(nix::sys::signal::Signal::SIGKILL);
    let killed = Instant::now();
    assert_eq!(waiting.wait(), 1);
    let elapsed = killed.elapsed();
    assert!(waiting.output().contains("is gone"), "{}", waiting.output());
    let zombie = testkit::process::look(process.pid()).expect("nobody has reaped it");
    assert!(zombie.is_dead());
    elapsed
}

fn sleeper() -> Running {
    Running::start(Tool::named("sleep").arg("1000"))
}

#[test]
fn the_death_of_a_watched_process_ends_the_wait_at_once() {
    let process = sleeper();
    let pid = process.pid().to_string();
    let elapsed = seen_after(&["--pid", &pid], process);
    assert!(
        elapsed < Duration::from_secs(2),
        "50 ms, on a machine that is not loaded: {elapsed:?}"
    );
}

#[test]
fn a_pid_file_names_the_process() {
    let folder = scratch();
    let file = folder.path().join("run.pid");
    let process = sleeper();
    fs::write(&file, format!("{}\n", process.pid())).unwrap();
    let elapsed = seen_after(&["-p", file.to_str().unwrap()], process);
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

#[test]
fn the_kernel_names_who_holds_a_pidlock() {
    let folder = scratch();
    let file = folder.path().join("run.pid");
    let process = Running::start(
        Tool::named("pidlock")
            .arg(&file)
            .args(["--", "sleep", "1000"]),
    );
    testkit::wait_until("the lock is held", || {
        Tool::named("pidlock")
            .arg("--status")
            .arg(&file)
            .run()
            .code()
            == Some(0)
    });
    let path = file.to_str().unwrap().to_owned();
    let target = format!(":{}", refused());
    let mut waiting = Running::start(waithealth(["-v", "-t", "60", "-p", &path, &target]));
    testkit::wait_until("it waits", || waiting.output().contains("refused"));
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(waiting.wait(), 1);
}

#[test]
fn what_is_gone_already_is_1_at_once() {
    let folder = scratch();
    let missing = folder.path().join("missing.pid");
    let stale = folder.path().join("stale.pid");
    fs::write(&stale, "4194303\n").unwrap();
    // Another process that got the number: it started after the file was written.
    let reused = folder.path().join("reused.pid");
    let process = sleeper();
    fs::write(&reused, process.pid().to_string()).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options()
        .write(true)
        .open(&reused)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let good = url(answers(response("200 OK", "")));
    for file in [&missing, &stale, &reused] {
        let ran = waithealth(["-p", file.to_str().unwrap(), &good])
            .run()
            .expect_code(1);
        assert!(ran.elapsed < Duration::from_secs(5), "{:?}", ran.elapsed);
    }
    waithealth(["-P", "4194303", &good]).run().expect_code(1);
}

#[test]
fn a_watched_process_that_lives_changes_nothing() {
    let process = sleeper();
    let good = url(answers(response("200 OK", "")));
    waithealth(["-P", &process.pid().to_string(), &good])
        .run()
        .expect_code(0);
}
