//! Taking the lock: flock(2), then the keeper's byte, and COMMAND's byte must be free; always in
//! that order.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use treekill::duration::{Deadline, FOREVER};
use treekill::exec::os_words;
use treekill::pidfile::{self, COMMAND_BYTE, Held, KEEPER_BYTE, record_lock};
use treekill::sys::give_back_text;
use treekill::words::Words;

use crate::lockfile::LockFile;
use crate::report;
use crate::sys::{self, Alarm};

/// How long a holder that is just ending (or starting) may take: a start right after a stop must
/// not fail.
const ENDING: Duration = Duration::from_secs(1);
/// How long a lock may be there whose holder cannot be seen: a dying `pidlock` has it for a
/// moment after its other locks are gone, a script has it for good.
const UNSEEN: Duration = Duration::from_millis(100);
/// A wait shorter than this shows no live line.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// FILE cannot be used, or the system failed us: why.
    Unfit(String),
    /// Another process holds it, and there was no patience, or no more.
    Held(Held),
}

impl From<io::Error> for NotLocked {
    fn from(error: io::Error) -> Self {
        Self::Unfit(os_words(&error))
    }
}

/// Takes flock(2) and the keeper's byte of FILE while COMMAND's byte is free, waiting for them until
/// the deadline. From then on nobody else takes COMMAND's byte.
///
/// # Errors
/// See [`NotLocked`].
pub(crate) fn acquire(
    path: &Path,
    mode: Option<u32>,
    deadline: Deadline,
    words: &mut Words,
) -> Result<LockFile, NotLocked> {
    let mut judge = Judge::default();
    loop {
        let file = LockFile::open(path, mode).map_err(NotLocked::Unfit)?;
        let taken = take_now(file.file())? || take_until(file.file(), deadline, words)?;
        // The last holder may have removed FILE while we took the lock, or waited for it.
        if !file.in_place() {
            continue;
        }
        if taken {
            file.is_pid_file().map_err(NotLocked::Unfit)?;
            words.settle();
            return Ok(file);
        }
        let held = pidfile::holder(file.file())?;
        if !judge.is_passing(held) {
            words.settle();
            return Err(NotLocked::Held(held));
        }
        // What was taken goes with it: we are in nobody's way while we pause.
        drop(file);
        sleep(judge.pause());
    }
}

/// Takes the lock, or says that part of it is held.
fn take_now(file: &File) -> io::Result<bool> {
    let taken = sys::flock(file, libc::LOCK_EX | libc::LOCK_NB)
        .and_then(|()| set(file, KEEPER_BYTE))
        .and_then(|()| is_free(file, COMMAND_BYTE));
    match taken {
        Ok(free) => Ok(free),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes the lock, asleep in the kernel while it is held; `false` once the deadline has passed.
fn take_until(file: &File, deadline: Deadline, words: &mut Words) -> io::Result<bool> {
    let mut slice = LONG_WAIT;
    while !deadline.passed() {
        let length = deadline.remaining().min(slice);
        let alarm = match length {
            FOREVER => None,
            length => Some(Alarm::start(length)?),
        };
        let taken = sys::flock(file, libc::LOCK_EX)
            .and_then(|()| set_waiting(file, KEEPER_BYTE))
            .and_then(|()| set_waiting(file, COMMAND_BYTE))
            .and_then(|()| unset(file, COMMAND_BYTE));
        if let Some(alarm) = alarm {
            alarm.stop()?;
        }
        match taken {
            Ok(()) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if slice == LONG_WAIT {
            slice = FOREVER;
            let holder = report::holder_words(file);
            words.waiting(format_args!("waiting for the lock: {holder}"));
            give_back_text();
        }
    }
    Ok(false)
}

/// Whether no other process has a lock on this byte (`F_GETLK`).
fn is_free(file: &File, byte: i64) -> Result<bool, Errno> {
    let mut lock = record_lock(libc::F_WRLCK, byte);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) == libc::F_UNLCK)
}

/// Takes the lock on one byte, if it is free (fcntl_locking(2), `F_SETLK`).
///
/// # Errors
/// EAGAIN or EACCES: another process has it; ENOLCK.
pub(crate) fn set(file: &File, byte: i64) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&record_lock(libc::F_WRLCK, byte))).map(drop)
}

/// Takes the lock on one byte, waiting for it (`F_SETLKW`).
///
/// # Errors
/// EINTR; EDEADLK: its holder waits for a lock of ours; ENOLCK.
pub(crate) fn set_waiting(file: &File, byte: i64) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLKW(&record_lock(libc::F_WRLCK, byte))).map(drop)
}

/// Drops our lock on one byte.
///
/// # Errors
/// As fcntl(2).
pub(crate) fn unset(file: &File, byte: i64) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&record_lock(libc::F_UNLCK, byte))).map(drop)
}

/// Tells a lock that is held from one that changes hands this very moment.
#[derive(Default)]
struct Judge {
    changing_since: Option<Instant>,
    unseen_since: Option<Instant>,
    looks: u32,
}

impl Judge {
    /// Whether it is worth another look in a moment.
    fn is_passing(&mut self, held: Held) -> bool {
        let (since, patience) = match held {
            Held::Running { .. } | Held::Elsewhere { command: true } => return false,
            Held::Changing { .. } | Held::Elsewhere { command: false } => {
                (&mut self.changing_since, ENDING)
            }
            Held::Foreign { .. } | Held::Nobody => (&mut self.unseen_since, UNSEEN),
        };
        since.get_or_insert_with(Instant::now).elapsed() < patience
    }

    /// The time until the next look: short at first.
    fn pause(&mut self) -> Duration {
        self.looks += 1;
        Duration::from_millis(self.looks.min(10).into())
    }
}
