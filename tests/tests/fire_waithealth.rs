//! Hostile servers against waithealth: whatever they send, it ends in time, in bounded memory,
//! with an exit code of its own and records that nobody forged.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use testkit::fire::hostile::{Hostile, Kind};
use testkit::fire::{Fire, Rng};
use testkit::sys::reap_with_peak;
use testkit::{Tool, in_namespace, scratch};

/// What a loaded machine may add to the time given.
const PATIENCE: Duration = Duration::from_secs(3);
/// Six targets, each with a body of up to 1 MiB and what is made of it.
const MEMORY_KIB: i64 = 48 * 1024;

#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown")]
struct Sum {
    answers: u64,
    runs: usize,
    healthy: usize,
    unhealthy: usize,
    timed_out: usize,
    latest_ms: u128,
    peak_kib: i64,
}

#[test]
fn whatever_a_server_sends_it_ends_in_time_and_in_bounded_memory() {
    let fire = Fire::new("waithealth", 150);
    in_namespace!(fire.namespace(Duration::from_secs(1)));
    let folder = scratch();
    fire.run_counting(|rng, sum: &mut Sum| round(rng, sum, folder.path()));
}

fn round(rng: &mut Rng, sum: &mut Sum, folder: &std::path::Path) -> u64 {
    let servers: Vec<Hostile> = (0..=rng.below(6))
        .map(|place| {
            // Some options need a target that speaks HTTP.
            let is_http = place == 0 || rng.percent(50);
            let kind = if is_http {
                Kind::Http
            } else {
                *rng.pick(&Kind::ALL)
            };
            Hostile::start(kind, rng.number())
        })
        .collect();
    let timeout = Duration::from_millis(*rng.pick(&[0, 50, 300, 600]));
    let attempt = Duration::from_millis(*rng.pick(&[50, 100, 1000]));
    let mut words = vec![
        "-t".to_owned(),
        format!("{}ms", timeout.as_millis()),
        "-a".to_owned(),
        format!("{}ms", attempt.as_millis()),
    ];
    let once = rng.percent(15);
    let any = rng.percent(20);
    let mut add = |chance: usize, option: &str| {
        let chosen = rng.percent(chance);
        words.extend(option.split(' ').filter(|_| chosen).map(str::to_owned));
    };
    add(30, "-i 1ms");
    add(20, "-L");
    add(20, "--body o.*k");
    add(20, "--field status=ok");
    add(10, "--field /checks/db/status");
    add(10, "--code 2xx,302");
    add(15, "--successes 2");
    add(10, "-v");
    add(if once { 100 } else { 0 }, "--once");
    add(if any { 100 } else { 0 }, "--any");
    let json = rng.percent(30);
    if json {
        words.push("--json".to_owned());
    }
    for server in &servers {
        words.push(format!(
            "{}://127.0.0.1:{}/",
            server.kind.scheme(),
            server.port
        ));
    }

    let (out, err) = (folder.join("out"), folder.join("err"));
    let mut command = Tool::named("waithealth").args(&words).into_command();
    command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&err).unwrap());
    let started = Instant::now();
    #[allow(clippy::zombie_processes, reason = "reaped below, with what it used")]
    let child = command.spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let watchdog = thread::spawn(move || {
        thread::park_timeout(timeout + attempt + 4 * PATIENCE);
        // Not reaped before this thread has ended, so the number is still its own.
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    });
    let ended = ended_within(pid);
    let elapsed = started.elapsed();
    watchdog.thread().unpark();
    watchdog.join().unwrap();
    let (status, peak) = reap_with_peak(pid).unwrap();
    assert!(ended);

    let (out, err) = (fs::read(&out).unwrap(), fs::read(&err).unwrap());
    let about = || {
        format!(
            "waithealth {}: {status} after {elapsed:?}, {peak} KiB\n{}\n{}",
            words.join(" "),
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(&err)
        )
    };
    // A timeout of 0 is one attempt.
    let time = if once || timeout.is_zero() {
        attempt.max(timeout)
    } else {
        timeout
    };
    assert!(elapsed < time + PATIENCE, "late; {}", about());
    assert!(peak < MEMORY_KIB, "too much memory; {}", about());
    let is_good = |code: i32| match code {
        0 => {
            let mut good = servers.iter().map(Hostile::was_good);
            if any {
                good.any(|good| good)
            } else {
                good.all(|good| good)
            }
        }
        1 => once,
        124 => !once,
        _ => false,
    };
    assert!(
        status.code().is_some_and(is_good),
        "the exit code; {}",
        about()
    );
    for (text, tabs) in [(&out, true), (&err, false)] {
        let is_forged =
            |&byte: &u8| byte != b'\n' && !(tabs && byte == b'\t') && byte.is_ascii_control();
        assert!(
            !text.iter().any(is_forged),
            "control characters; {}",
            about()
        );
    }
    for line in String::from_utf8(out.clone()).unwrap().lines() {
        if json {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(record.get("target").is_some(), "{}", about());
        } else {
            assert_eq!(line.split('\t').count(), 5, "a record; {}", about());
        }
    }

    let answers = servers.iter().map(Hostile::answers).sum::<u64>();
    sum.answers += answers;
    sum.runs += 1;
    match status.code() {
        Some(0) => sum.healthy += 1,
        Some(1) => sum.unhealthy += 1,
        _ => sum.timed_out += 1,
    }
    sum.latest_ms = sum.latest_ms.max(elapsed.saturating_sub(time).as_millis());
    sum.peak_kib = sum.peak_kib.max(peak);
    answers
}

/// Waits for the end of a child, and leaves it to be reaped.
fn ended_within(pid: i32) -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(nix::unistd::Pid::from_raw(pid)), flags).is_ok()
}
