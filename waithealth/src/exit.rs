//! The exit codes of waithealth.

use std::process::ExitCode;

use treekill::common::USAGE;

/// How a run of waithealth ends when it does not become COMMAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every target (with `--any` one) is healthy, or with `--down` down.
    Healthy,
    /// It cannot become healthy any more, or whatever goes wrong under `--once`.
    Unhealthy,
    /// The time given ran out first.
    TimeOut,
    /// Wrong usage; nothing was probed.
    Usage,
    /// COMMAND could not be executed: 126 or 127.
    Exec(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Healthy => Self::SUCCESS,
            Exit::Unhealthy => Self::from(1),
            Exit::TimeOut => Self::from(124),
            Exit::Usage => Self::from(USAGE),
            Exit::Exec(code) => Self::from(code),
        }
    }
}
