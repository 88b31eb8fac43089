//! `--detach`: a second keeper takes over in the background, the first returns to its caller.

use std::os::fd::AsRawFd as _;

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
    let (reader, writer) = sys::pipe()?;
    lock::unset(locked.keeper.file(), KEEPER_BYTE)?;
    if sys::fork()?.is_some() {
        drop(writer);
        // A keeper that was killed before it could say anything has started nothing.
        return start::hear(reader).unwrap_or(Err(Failure::Locked));
    }
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
