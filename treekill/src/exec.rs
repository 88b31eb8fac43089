//! Standing in front of another program: it gets what we got, and its exec failure is said.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use crate::record::escape;
use crate::signal::Signal;
use crate::sys;

/// COMMAND was not found (POSIX: what a shell returns).
pub const NOT_FOUND: u8 = 127;
/// COMMAND was found and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;

/// A command to run with our own standard streams and environment, and with the signal mask and
/// the SIGPIPE disposition that we were started with (the Rust runtime ignores SIGPIPE, and
/// `Command` would reset both).
#[must_use]
pub fn untouched(program: &OsString, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    sys::pass_signals_through(&mut command);
    command
}

/// Becomes the command; returns only when that failed.
#[must_use]
pub fn become_command(program: &OsString, arguments: &[OsString]) -> io::Error {
    untouched(program, arguments).exec()
}

/// The exit code for a failed exec: 127 when there is no such program, else 126.
#[must_use]
pub fn failure_code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

/// A failed exec in words: the program, and why.
#[must_use]
pub fn failure_words(program: &OsString, error: &io::Error) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let why = match error.kind() {
        io::ErrorKind::NotFound => "not found".to_owned(),
        _ => os_words(error),
    };
    format!("{}: cannot run: {why}", escape(program.as_bytes()))
}

/// An error of the system in the system's words, without Rust's `(os error N)`.
#[must_use]
pub fn os_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned this code.
    Code(u8),
    /// This signal ended it.
    Signal(Signal),
}

impl Ending {
    /// Reads what wait(2) said; `None` while the process only stopped or went on.
    #[must_use]
    pub fn of(status: ExitStatus) -> Option<Self> {
        match (status.code(), status.signal().and_then(Signal::from_number)) {
            (Some(code), _) => Some(Self::Code(code.to_le_bytes()[0])),
            (None, Some(signal)) => Some(Self::Signal(signal)),
            (None, None) => None,
        }
    }

    /// The exit code a shell would show: the code itself, or 128+N.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128_u8.saturating_add(signal.number().to_le_bytes()[0]),
        }
    }

    /// Ends this process the same way: by the same signal, without a core of our own, or with
    /// the same code. As PID 1, which no signal of its own can end, it exits with 128+N.
    pub fn repeat(self) -> ! {
        if let Self::Signal(signal) = self {
            if std::process::id() != 1 {
                sys::die_by(signal);
            }
        }
        std::process::exit(self.shell_code().into())
    }
}
