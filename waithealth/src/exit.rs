//! The exit codes of waithealth.

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

impl Exit {
    /// Ends this process with the code.
    pub(crate) fn end(self) -> ! {
        let code = match self {
            Self::Healthy => 0,
            Self::Unhealthy => 1,
            Self::TimeOut => 124,
            Self::Usage => USAGE,
            Self::Exec(code) => code,
        };
        std::process::exit(code.into())
    }
}
