//! The exit codes of `pidlock`, each with its one meaning.

use std::io;

use treekill::exec::{self, Ending};

/// How this program ends, when it is not COMMAND that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for holds: COMMAND was started (`-d`), or somebody holds the lock.
    Done,
    /// `--holder`: nobody holds the lock.
    NobodyHolds,
    /// Another process holds the lock: 75, or what `-E` says.
    Held(u8),
    /// The time to wait for the lock ran out.
    TimedOut,
    /// Wrong usage, or the tool could not do its work: nothing was started.
    Failed,
    /// COMMAND could not be executed: 126 or 127.
    NotExecuted(u8),
    /// `--status`, which has codes of its own.
    Status(State),
    /// COMMAND ended like this.
    Command(Ending),
}

/// What another process holding the lock returns, unless `-E` says otherwise (sysexits.h,
/// EX_TEMPFAIL; lckdo's choice too).
pub(crate) const HELD: u8 = 75;

/// The states of `--status` with the codes that the Linux Standard Base gives to init scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// COMMAND runs (0).
    Running,
    /// COMMAND is gone and its `pidlock` is cleaning up, or one is just starting (0).
    Ending,
    /// Nobody holds FILE, which is there (1).
    Stale,
    /// There is no FILE (3).
    Free,
    /// It cannot be told (4).
    Unknown,
}

impl State {
    /// The word for it in records.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ending => "ending",
            Self::Stale => "stale",
            Self::Free => "free",
            Self::Unknown => "unknown",
        }
    }
}

impl Exit {
    /// The exit of a COMMAND whose exec failed.
    #[must_use]
    pub(crate) fn not_executed(error: &io::Error) -> Self {
        Self::NotExecuted(exec::failure_code(error))
    }

    /// Ends this process so.
    pub(crate) fn end(self) -> ! {
        let code = match self {
            Self::Done | Self::Status(State::Running | State::Ending) => 0,
            Self::NobodyHolds | Self::Status(State::Stale) => 1,
            Self::Status(State::Free) => 3,
            Self::Status(State::Unknown) => 4,
            Self::TimedOut => 124,
            Self::Failed => 125,
            Self::Held(code) | Self::NotExecuted(code) => code,
            Self::Command(ending) => ending.repeat(),
        };
        std::process::exit(code.into())
    }
}
