//! `--detach`: a second keeper takes over in the background, the first returns to its caller.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use treekill::pidfile::KEEPER_BYTE;
use treekill::words::Words;

use crate::background::Background;
use crate::cli::Run;
use crate::keep::keep;
use crate::lock;
use crate::run::{clean_up, roll_back};
use crate::start::{self, Failure, Locked, start};
use crate::sys::{self, Signals};

/// Hands FILE to a keeper in the background that starts COMMAND; returns COMMAND's PID once it
/// runs.
///
/// Record locks do not cross a fork: this process has the keeper's byte until COMMAND has its own.
/// flock(2) does cross it, and keeps every other `pidlock` out while that byte changes hands.
///
/// # Errors
/// As [`start()`].
pub(crate) fn hand_over(
    run: &Run,
    locked: Locked,
    signals: &Signals,
    background: &Background,
    words: &mut Words,
) -> Result<i32, Failure> {
    match split() {
        Ok(Side::Caller(reader)) => {
            // A keeper that ends without a word was killed.
            let news = start::hear(reader)
                .unwrap_or_else(|| Err(io::Error::other("the keeper was killed").into()));
            // Where this fails, our end will do it, a moment later.
            let _ = lock::unset(locked.keeper.file(), KEEPER_BYTE);
            news
        }
        Ok(Side::Keeper(writer)) => stay(run, locked, signals, background, words, writer),
        Err(failure) => {
            roll_back(&locked.keeper, &failure);
            Err(failure)
        }
    }
}

/// Which of two processes this is, with its end of the pipe between them.
enum Side {
    /// The one that was called, which waits for news and returns.
    Caller(OwnedFd),
    /// The one that stays.
    Keeper(OwnedFd),
}

fn split() -> Result<Side, Failure> {
    let (reader, writer) = sys::pipe()?;
    Ok(match sys::fork()? {
        Some(_) => Side::Caller(reader),
        None => Side::Keeper(writer),
    })
}

/// The keeper's life in the background.
fn stay(
    run: &Run,
    locked: Locked,
    signals: &Signals,
    background: &Background,
    words: &mut Words,
    writer: OwnedFd,
) -> ! {
    let kept = [
        locked.keeper.file().as_raw_fd(),
        locked.command.file().as_raw_fd(),
        writer.as_raw_fd(),
    ];
    let (locked, started) = match background.enter(&kept) {
        Ok(()) => start(run, locked, signals, Some(&Background::session_only())),
        Err(error) => (locked, Err(error.into())),
    };
    match started {
        Ok(pid) => {
            start::tell(writer, Ok(pid));
            // Once it has heard this, or is gone, the other process leaves the byte to us.
            let _ = lock::set_waiting(locked.keeper.file(), KEEPER_BYTE);
            let _how = keep(pid);
            clean_up(&locked.keeper, words);
        }
        Err(failure) => {
            roll_back(&locked.keeper, &failure);
            let _ = sys::flock(locked.keeper.file(), libc::LOCK_UN);
            start::tell(writer, Err(failure));
        }
    }
    std::process::exit(0)
}
