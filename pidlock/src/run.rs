//! One COMMAND under one FILE: lock, start, keep, clean up.

use std::time::Duration;

use treekill::duration::Deadline;
use treekill::exec::{self, Ending, os_words};
use treekill::pidfile::KEEPER_BYTE;
use treekill::words::Words;

use crate::background::Background;
use crate::cli::Run;
use crate::detach;
use crate::exit::Exit;
use crate::keep::keep;
use crate::lock::{self, NotLocked};
use crate::lockfile::LockFile;
use crate::report;
use crate::start::{Failure, Locked, lock_as_command, start};
use crate::sys::{self, Signals};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// COMMAND ran here and ended so.
    Ended(Ending),
    /// COMMAND runs in the background under this PID.
    Started(i32),
    /// It did not come to run; this has been said.
    Not(Exit),
}

/// Does it all. With `--no-fork` it returns only if COMMAND cannot be executed.
pub(crate) fn run(run: &Run, words: &mut Words) -> Outcome {
    let deadline = Deadline::after(run.wait.unwrap_or(Duration::ZERO));
    let mut is_second_try = false;
    loop {
        let locked = match lock::acquire(&run.file, run.mode, deadline, words) {
            Ok(locked) => locked,
            Err(why) => return Outcome::Not(not_locked(run, &why, words)),
        };
        words.step(format_args!("{}: locked", report::name(&run.file)));
        match as_planned(run, locked, words) {
            Ok(outcome) => return outcome,
            // Its pidlock was killed as it forked, and then a COMMAND took its lock after all: the
            // next look finds it there.
            Err(Failure::Locked) if !is_second_try => is_second_try = true,
            Err(failure) => return Outcome::Not(not_started(run, failure, words)),
        }
    }
}

fn as_planned(run: &Run, locked: LockFile, words: &mut Words) -> Result<Outcome, Failure> {
    if run.no_fork && !run.detach {
        return Err(become_command(run, &locked));
    }
    let signals = Signals::put_aside()?;
    let outcome = if run.detach {
        in_background(run, locked, &signals, words).map(Outcome::Started)
    } else {
        in_foreground(run, locked, &signals, words).map(Outcome::Ended)
    };
    if outcome.is_err() {
        signals.restore()?;
    }
    outcome
}

/// Starts COMMAND, waits for it and removes FILE.
fn in_foreground(
    run: &Run,
    locked: LockFile,
    signals: &Signals,
    words: &mut Words,
) -> Result<Ending, Failure> {
    let locked = second_description(locked, run)?;
    let (locked, started) = start(run, locked, signals, None);
    match started {
        Ok(pid) => {
            words.step(format_args!("COMMAND is process {pid}"));
            let ending = keep(pid);
            clean_up(&locked.keeper, words);
            Ok(ending)
        }
        Err(failure) => {
            roll_back(&locked.keeper, &failure);
            Err(failure)
        }
    }
}

/// Starts COMMAND in the background, where its keeper stays with it, or with `--no-fork` nobody.
fn in_background(
    run: &Run,
    locked: LockFile,
    signals: &Signals,
    words: &mut Words,
) -> Result<i32, Failure> {
    let background = Background::open(run.log.as_deref(), &locked).map_err(|why| {
        roll_back_unstarted(&locked);
        Failure::Unfit(why)
    })?;
    let locked = second_description(locked, run)?;
    if run.no_fork {
        let (locked, started) = start(run, locked, signals, Some(&background));
        return started.inspect_err(|failure| roll_back(&locked.keeper, failure));
    }
    detach::hand_over(run, locked, signals, &background, words)
}

/// Becomes COMMAND; returns only if that failed.
fn become_command(run: &Run, locked: &LockFile) -> Failure {
    let failure = match lock_as_command(locked).and_then(|()| let_go(locked)) {
        Ok(()) => Failure::Exec(exec::become_command(&run.program, &run.arguments)),
        Err(failure) => failure,
    };
    roll_back(locked, &failure);
    failure
}

/// Lets go of what must not go with COMMAND: its children would pin a lock of flock(2).
fn let_go(locked: &LockFile) -> Result<(), Failure> {
    lock::unset(locked.file(), KEEPER_BYTE)?;
    sys::flock(locked.file(), libc::LOCK_UN)?;
    Ok(())
}

/// Opens FILE again for COMMAND.
fn second_description(keeper: LockFile, run: &Run) -> Result<Locked, Failure> {
    let opened = keeper
        .again()
        .map_err(|why| Failure::Unfit(format!("{}: {why}", report::name(&run.file))));
    match opened {
        Ok(command) => Ok(Locked { keeper, command }),
        Err(failure) => {
            roll_back(&keeper, &failure);
            Err(failure)
        }
    }
}

/// Removes FILE and lets go of it. What cannot be removed is emptied: no number outlives its
/// process.
pub(crate) fn clean_up(keeper: &LockFile, words: &mut Words) {
    if let Err(error) = keeper.remove() {
        words.step(format_args!("cannot remove FILE: {}", os_words(&error)));
        keeper.empty();
    }
    // Before the record locks, which go with this process: a newcomer that met flock(2) alone
    // would take us for a script.
    let _ = sys::flock(keeper.file(), libc::LOCK_UN);
}

/// Undoes what was done to FILE for a COMMAND that does not run. A number of old stays where ours
/// was never written.
pub(crate) fn roll_back(keeper: &LockFile, failure: &Failure) {
    match failure {
        Failure::Locked => {}
        Failure::Exec(_) => drop(keeper.remove()),
        Failure::Unfit(_) | Failure::System(_) | Failure::Write(_) => roll_back_unstarted(keeper),
    }
}

fn roll_back_unstarted(keeper: &LockFile) {
    if keeper.is_blank() {
        let _ = keeper.remove();
    }
}

fn not_locked(run: &Run, why: &NotLocked, words: &mut Words) -> Exit {
    let file = report::name(&run.file);
    match why {
        NotLocked::Unfit(why) => {
            words.fail(format_args!("{file}: {why}"));
            Exit::Failed
        }
        NotLocked::Held(held) => {
            words.say(format_args!("{file}: {}", report::held_words(*held)));
            match run.wait {
                Some(_) => Exit::TimedOut,
                None => Exit::Held(run.held_code),
            }
        }
    }
}

fn not_started(run: &Run, failure: Failure, words: &mut Words) -> Exit {
    let file = report::name(&run.file);
    match failure {
        Failure::Locked => {
            words.say(format_args!("{file}: held by another process"));
            Exit::Held(run.held_code)
        }
        Failure::Unfit(why) => {
            words.fail(why);
            Exit::Failed
        }
        Failure::System(error) => {
            words.fail(format_args!(
                "{file}: cannot start COMMAND: {}",
                os_words(&error)
            ));
            Exit::Failed
        }
        Failure::Write(error) => {
            words.fail(format_args!(
                "{file}: cannot write the PID: {}",
                os_words(&error)
            ));
            Exit::Failed
        }
        Failure::Exec(error) => {
            words.say(exec::failure_words(&run.program, &error));
            Exit::not_executed(&error)
        }
    }
}
