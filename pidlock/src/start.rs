//! Starting COMMAND: between fork and exec it takes its own lock and writes its own PID.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use treekill::exec;
use treekill::pidfile::COMMAND_BYTE;

use crate::background::Background;
use crate::cli::Run;
use crate::lock;
use crate::lockfile::LockFile;
use crate::sys::{self, Signals};

/// FILE, locked, under two descriptions (open(2)).
#[derive(Debug)]
pub(crate) struct Locked {
    /// The keeper's, which flock(2) is on. COMMAND must not inherit it: its children would pin
    /// that lock.
    pub keeper: LockFile,
    /// COMMAND's, which it inherits. The keeper has it open too and must never close it: that
    /// would drop its own lock.
    pub command: LockFile,
}

/// Why COMMAND does not run.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another process has COMMAND's lock.
    Locked,
    /// FILE, or the log, cannot be used: what and why.
    Unfit(String),
    /// The system failed us before exec.
    System(io::Error),
    /// The PID could not be written.
    Write(io::Error),
    /// exec(3) failed.
    Exec(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// Starts COMMAND, in the background or here, and returns its PID once its exec has succeeded.
///
/// # Errors
/// See [`Failure`]; the child is gone then, and its lock with it.
pub(crate) fn start(
    run: &Run,
    locked: Locked,
    signals: &Signals,
    background: Option<&Background>,
) -> (Locked, Result<i32, Failure>) {
    let (reader, writer) = match sys::pipe() {
        Ok(ends) => ends,
        Err(error) => return (locked, Err(error.into())),
    };
    match sys::fork() {
        Ok(None) => {
            drop(reader);
            let failure = become_command(run, locked, signals, background, &writer);
            tell(writer, Err(failure));
            std::process::exit(125)
        }
        Ok(Some(pid)) => {
            drop(writer);
            let told = hear(reader);
            if told.is_some() {
                // Not before its lock is gone may we say that it failed.
                sys::reap(pid);
            }
            (locked, told.unwrap_or(Ok(pid)))
        }
        Err(error) => (locked, Err(error.into())),
    }
}

/// What the child does; returns only when it failed.
fn become_command(
    run: &Run,
    locked: Locked,
    signals: &Signals,
    background: Option<&Background>,
    writer: &OwnedFd,
) -> Failure {
    let ready = || -> Result<LockFile, Failure> {
        let Locked { keeper, command } = locked;
        // Everything that may be FILE is closed before the lock is taken, never after.
        drop(keeper);
        let command = command.moved_up();
        if let Some(background) = background {
            background.enter(&[command.file().as_raw_fd(), writer.as_raw_fd()])?;
        }
        lock_as_command(&command)?;
        signals.restore()?;
        Ok(command)
    };
    match ready() {
        // Open until exec, which leaves it open.
        Ok(_command) => Failure::Exec(exec::become_command(&run.program, &run.arguments)),
        Err(failure) => failure,
    }
}

/// Takes COMMAND's lock for this process, which becomes COMMAND, and writes its PID.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn lock_as_command(file: &LockFile) -> Result<(), Failure> {
    match lock::set(file.file(), COMMAND_BYTE) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return Err(Failure::Locked),
        Err(error) => return Err(error.into()),
    }
    // A keeper that was killed just now protected FILE no more: others may have come, gone, and
    // removed it.
    if !file.in_place() {
        return Err(Failure::Locked);
    }
    file.write_pid(std::process::id()).map_err(Failure::Write)?;
    Ok(sys::keep_on_exec(file.file())?)
}

/// Tells the parent through a pipe what became of COMMAND.
pub(crate) fn tell(writer: OwnedFd, news: Result<i32, Failure>) {
    let code = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    let (kind, number) = match news {
        Ok(pid) => (0, pid),
        Err(Failure::Locked) => (1, 0),
        // Nothing that is told through a pipe is of this kind.
        Err(Failure::Unfit(_)) => (2, libc::EIO),
        Err(Failure::System(error)) => (2, code(error)),
        Err(Failure::Write(error)) => (3, code(error)),
        Err(Failure::Exec(error)) => (4, code(error)),
    };
    let [a, b, c, d] = number.to_le_bytes();
    // A parent that is gone needs no news.
    let _ = File::from(writer).write_all(&[kind, a, b, c, d]);
}

/// What [`tell`] told; `None` where the other side closed the pipe without a word, as exec does.
pub(crate) fn hear(reader: OwnedFd) -> Option<Result<i32, Failure>> {
    let mut news = [0; 5];
    File::from(reader).read_exact(&mut news).ok()?;
    let [kind, number @ ..] = news;
    let number = i32::from_le_bytes(number);
    let error = io::Error::from_raw_os_error(number);
    Some(match kind {
        0 => Ok(number),
        1 => Err(Failure::Locked),
        2 => Err(Failure::System(error)),
        3 => Err(Failure::Write(error)),
        _ => Err(Failure::Exec(error)),
    })
}
