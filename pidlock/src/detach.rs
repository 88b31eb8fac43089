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
/// Record locks do not cross a fork, flock(2) does: it keeps every other `pidlock` out while the
/// keeper's byte changes hands.
///
/// # Errors
/// As [`start`].
pub(crate) fn hand_over(
    run: &Run,
    locked: Locked,
    signals: &Signals,
    background: &Background,
    words: &mut Words,
) -> Result<i32, Failure> {
    match split(&locked) {
        // A keeper that ends without a word was killed.
        Ok(Side::Caller(reader)) => start::hear(reader)
            .unwrap_or_else(|| Err(io::Error::other("the keeper was killed").into())),
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

/// Lets go of the keeper's byte and becomes two processes.
fn split(locked: &Locked) -> Result<Side, Failure> {
    let (reader, writer) = sys::pipe()?;
    lock::unset(locked.keeper.file(), KEEPER_BYTE)?;
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
    let taken_over = background
        .enter(&kept)
        .map_err(Failure::from)
        .and_then(|()| Ok(lock::set(locked.keeper.file(), KEEPER_BYTE)?));
    let (locked, started) = match taken_over {
        Ok(()) => start(run, locked, signals, Some(&Background::session_only())),
        Err(failure) => (locked, Err(failure)),
    };
    match started {
        Ok(pid) => {
            start::tell(writer, Ok(pid));
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
