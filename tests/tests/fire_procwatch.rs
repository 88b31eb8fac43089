//! Random lives of COMMAND, crashes, stops and kills against procwatch: nothing is left when the
//! next life begins or procwatch ends, and its exit status is right.
#![allow(clippy::unwrap_used)] // The failure of a helper is the failure of the test.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::NamedTempFile;
use testkit::fire::life::{End, Life};
use testkit::fire::tree::Temper;
use testkit::fire::{Fire, Rng};
use testkit::process;
use testkit::{Running, Tool, in_namespace, wait_until};

const COMMAND: &str = env!("CARGO_BIN_EXE_fire-tree");

#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown")]
struct Sum {
    lives: u64,
    left_alone: usize,
    stopped: usize,
    killed: usize,
}

#[test]
fn nothing_is_left_and_the_exit_status_is_right() {
    let fire = Fire::new("procwatch", 12);
    in_namespace!(fire.namespace(Duration::from_secs(8)));
    fire.run(round);
}

/// What happens to procwatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is left alone: the lives end by themselves.
    LeftAlone,
    /// It is told to stop.
    Stopped(Signal),
    /// It is killed.
    Killed,
}

/// After which ends COMMAND is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    OnFailure,
    Always,
    Never,
}

fn round(rng: &mut Rng, sum: &mut Sum) {
    let fate = match rng.below(10) {
        0..=4 => Fate::LeftAlone,
        5..=8 => Fate::Stopped(*rng.pick(&[Signal::SIGTERM, Signal::SIGINT])),
        _ => Fate::Killed,
    };
    let may_stay = fate != Fate::LeftAlone;
    let seed = rng.number();
    let when = *rng.pick(&[When::OnFailure, When::OnFailure, When::Always, When::Never]);
    let restarts = u64::try_from(1 + rng.below(4)).unwrap();
    let record = NamedTempFile::new().unwrap();
    let word = match when {
        When::OnFailure => "on-failure",
        When::Always => "always",
        When::Never => "never",
    };
    let tool = Tool::named("procwatch")
        .args(["-r", word, "-m", &restarts.to_string(), "--stable", "1h"])
        .args(["-b", *rng.pick(&["0", "1ms..5ms", "30ms"])])
        .args(["-g", *rng.pick(&["30ms", "150ms"])])
        .arg(COMMAND)
        .arg(if may_stay { "--life-or-stay" } else { "--life" })
        .arg(seed.to_string())
        .arg(record.path());
    let mut procwatch = Running::start(tool);
    let begun = || fs::read_to_string(record.path()).unwrap();

    match fate {
        Fate::LeftAlone => sum.left_alone += 1,
        Fate::Stopped(signal) => {
            sleep(rng.micros(60_000));
            procwatch.signal(signal);
            if rng.percent(30) {
                sleep(rng.micros(5_000));
                procwatch.signal(signal);
            }
            sum.stopped += 1;
        }
        Fate::Killed => {
            sleep(rng.micros(60_000));
            procwatch.signal(Signal::SIGKILL);
            sum.killed += 1;
        }
    }
    let mut status = None;
    wait_until(
        &format!("procwatch ends ({fate:?}, {when:?}, seed {seed})"),
        || {
            status = procwatch.ended();
            status.is_some()
        },
    );
    let status = status.unwrap();
    let lives = begun();
    let count = u64::try_from(lives.lines().count()).unwrap();
    sum.lives += count;
    let about = || {
        format!(
            "{status} after {count} lives, {fate:?}, restarts {when:?} at most {restarts}, seed {seed}\n{lives}{}",
            procwatch.output()
        )
    };
    assert!(
        !lives.contains("LEFT"),
        "an earlier life was still there; {}",
        about()
    );
    if fate == Fate::Killed {
        // COMMAND goes with it; what COMMAND started is nobody's any more.
        let last = lives
            .lines()
            .last()
            .and_then(|line| line.split(' ').next()?.parse::<i32>().ok());
        wait_until("COMMAND is dead", || last.is_none_or(process::gone));
        wait_until("the world is empty again", || {
            for seen in process::living() {
                let pid = nix::unistd::Pid::from_raw(seen.pid);
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            }
            process::living().is_empty()
        });
        return;
    }
    let left = process::living();
    assert!(left.is_empty(), "left {left:?}; {}", about());
    let right = match fate {
        Fate::LeftAlone => {
            let (number, wanted) = foreseen(seed, when, restarts);
            assert_eq!(count, number, "the lives; {}", about());
            vec![wanted]
        }
        _ => after_a_stop(seed, count, when, fate),
    };
    assert!(
        right.contains(&End::from_status(status)),
        "{right:?} is right; {}",
        about()
    );
}

/// How many lives there will be, and what comes out of it.
fn foreseen(seed: u64, when: When, restarts: u64) -> (u64, End) {
    let mut number = 0;
    loop {
        let end = Life::of(seed, number, false).end;
        number += 1;
        match when {
            When::Never => return (number, end),
            When::OnFailure if end == End::Code(0) => return (number, end),
            _ if number > restarts => {
                let failure = if end == End::Code(0) {
                    End::Code(1)
                } else {
                    end
                };
                return (number, failure);
            }
            _ => {}
        }
    }
}

/// What may come out after a stop: what the last life came to by itself or by the stop.
fn after_a_stop(seed: u64, count: u64, when: When, fate: Fate) -> Vec<End> {
    let Fate::Stopped(asked) = fate else {
        return Vec::new();
    };
    let Some(last) = count.checked_sub(1) else {
        // It was told before the first life had begun.
        return vec![End::Signal(asked), End::Signal(Signal::SIGTERM)];
    };
    let life = Life::of(seed, last, true);
    let mut right = vec![
        // It may have been told while it still prepared for its life.
        End::Signal(Signal::SIGTERM),
        End::Signal(Signal::SIGKILL),
    ];
    match life.end {
        End::Never if life.tree.temper == Temper::Lingers => right.push(End::Code(0)),
        End::Never => {}
        end => right.push(end),
    }
    if when != When::OnFailure && life.end == End::Code(0) {
        // It gave up just before.
        right.push(End::Code(1));
    }
    right
}

trait FromStatus {
    fn from_status(status: ExitStatus) -> Self;
}

impl FromStatus for End {
    fn from_status(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (_, Some(signal)) => Self::Signal(Signal::try_from(signal).unwrap()),
            _ => Self::Never,
        }
    }
}
