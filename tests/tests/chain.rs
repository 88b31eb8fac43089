//! How the tools chain: lock first, then the port, then the server; roll back only what was
//! started here.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::{Ran, Running, Tool, bin, free_port, in_namespace, process, scratch, wait_until};

/// A line of a script, with the tools on PATH.
fn line(text: &str, folder: &std::path::Path) -> Tool {
    let path = testkit::script("start.sh").into_command();
    let path = path.get_envs().find(|(key, _)| *key == "PATH");
    let path = path.and_then(|(_, value)| value).unwrap_or_default();
    Tool::named("sh")
        .args(["-c", text])
        .env("PATH", path)
        .current_dir(folder)
}

#[test]
fn a_server_is_started_and_stopped_by_two_lines() {
    in_namespace!();
    let scratch = scratch();
    let (port, server) = (free_port(), bin("demo-server"));
    let start = format!(
        "pidlock -d run.pid -- procwatch --before 'portfree {port}' -- '{}' {port} &&
         {{ waithealth -p run.pid http://localhost:{port}/health ||
            {{ treekill --leader-first -g 15 -p run.pid; exit 1; }}; }}",
        server.display()
    );
    let stop = format!("treekill --leader-first -g 15 -p run.pid && portfree {port}");
    for _ in 0..3 {
        let _ = line(&start, scratch.path()).run().expect_code(0);
        // Once more: the lock is held.
        let _ = line(&start, scratch.path()).run().expect_code(75);
        assert!(process::accepts(port));
        let _ = line(&stop, scratch.path()).run().expect_code(0);
        assert_eq!(process::others(), []);
    }
    let _ = line(&stop, scratch.path()).run().expect_code(0);
}

#[test]
fn a_server_that_fails_is_rolled_back_at_once() {
    in_namespace!();
    let scratch = scratch();
    let port = free_port();
    let start = format!(
        "pidlock -d run.pid -- procwatch --startup-restarts 0 -- false &&
         {{ waithealth -p run.pid http://localhost:{port}/health ||
            {{ treekill --leader-first -g 15 -p run.pid; exit 1; }}; }}"
    );
    let _ = line(&start, scratch.path()).run().expect_code(1);
    assert_eq!(process::others(), []);
}

/// Gave up with 1, long before the time was out.
#[track_caller]
fn expect_given_up(ran: Ran) {
    let ran = ran.expect_code(1).expect_words("is gone");
    assert!(ran.elapsed < Duration::from_secs(20), "{ran:?}");
}

#[test]
fn waithealth_gives_up_at_once_when_the_process_it_watches_is_gone() {
    in_namespace!();
    let scratch = scratch();
    let file = scratch.path().join("pid").to_string_lossy().into_owned();
    let never = |watch: [&str; 2]| Tool::named("waithealth").args(["file:///no"]).args(watch);
    let mut gone = Running::start(Tool::named("true"));
    let _ = gone.wait();
    let pid = gone.pid().to_string();
    expect_given_up(never(["-P", &pid]).run());
    expect_given_up(never(["--pidfile", &file]).run());
    assert!(fs::write(&file, &pid).is_ok());
    expect_given_up(never(["-p", &file]).run());
    // One that ends while it is waited for: under a pidlock, in a file by its number, by number.
    let locked = scratch.path().join("locked").to_string_lossy().into_owned();
    let sleep = || Running::start(Tool::named("sleep").arg("1000"));
    let lock = Running::start(Tool::named("pidlock").args([&locked, "sleep", "1000"]));
    wait_until("the lock is held", || fs::exists(&locked).unwrap_or(false));
    let (filed, numbered) = (sleep(), sleep());
    assert!(fs::write(&file, filed.pid().to_string()).is_ok());
    let pid = numbered.pid().to_string();
    let watches = [["-p", &locked], ["-p", &file], ["-P", &pid]];
    for (watch, victim) in watches.into_iter().zip([&lock, &filed, &numbered]) {
        let mut waiting = Running::start(never(watch));
        wait_until("it waits", || {
            process::look(waiting.pid()).is_some_and(|seen| seen.cmdline.contains("waithealth"))
        });
        assert!(waiting.ended().is_none());
        victim.signal(Signal::SIGTERM);
        assert_eq!(waiting.wait(), 1, "{}", waiting.output());
    }
}

#[test]
fn waithealth_does_not_take_another_ones_answer_for_the_watched_process() {
    in_namespace!();
    let mut gone = Running::start(Tool::named("true"));
    let _ = gone.wait();
    let pid = gone.pid().to_string();
    expect_given_up(
        Tool::named("waithealth")
            .args(["file:///", "-P", &pid])
            .run(),
    );
    let own = std::process::id().to_string();
    let _ = Tool::named("waithealth")
        .args(["file:///", "-P", &own])
        .run()
        .expect_code(0);
    let ran = Tool::named("waithealth")
        .args(["--once", "file:///", "-P", &pid])
        .run();
    let _ = ran.expect_code(1);
    for bad in ["", "0", "-1", "x", "99999999999"] {
        let ran = Tool::named("waithealth")
            .args(["file:///", &format!("--pid={bad}")])
            .run();
        let _ = ran.expect_code(125);
    }
}

#[test]
fn waithealth_watches_what_holds_a_file_through_flock_too() {
    in_namespace!();
    let scratch = scratch();
    let file = scratch.path().join("lock").to_string_lossy().into_owned();
    let script = Running::start(Tool::named("flock").args(["-o", &file[..], "sleep", "1000"]));
    wait_until("the lock is held", || {
        let status = Tool::named("pidlock").args(["--status", &file]).run();
        status.code() == Some(4)
    });
    let never = || Tool::named("waithealth").args(["file:///no", "-p", &file]);
    let _ = never().args(["-t", "0.3"]).run().expect_code(124);
    let mut waiting = Running::start(never());
    wait_until("it waits", || {
        process::look(waiting.pid()).is_some_and(|seen| seen.state == 'S')
    });
    script.signal(Signal::SIGTERM);
    assert_eq!(waiting.wait(), 1, "{}", waiting.output());
}
