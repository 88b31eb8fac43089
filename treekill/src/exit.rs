//! The exit codes of treekill, each with its one meaning.

use std::process::ExitCode;

use treekill::common::USAGE;

/// What treekill has to say in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Nothing of the tree is left.
    Done,
    /// Some were not ours to see or signal; the rest was done.
    Denied,
    /// Something is left.
    Left,
}

impl Exit {
    /// Both together: what is left weighs more than what was denied.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Left => 1,
            Exit::Denied => 77,
        })
    }
}

/// Why treekill could not begin: said on standard error, 125, and nobody was signalled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl From<&Refused> for ExitCode {
    fn from(_: &Refused) -> Self {
        Self::from(USAGE)
    }
}
