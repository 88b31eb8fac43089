//! The exit codes, each with its one meaning.

/// How portfree ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for holds: the ports are free, or there was something to show.
    Holds,
    /// It does not hold.
    DoesNotHold,
    /// It does not hold, and permission to see or signal a process is all that stood in the way.
    Denied,
    /// The time given ran out first.
    TimeRanOut,
    /// Wrong usage, or portfree could not do its work; nothing was done to any process.
    Failed,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::DoesNotHold => 1,
            Self::Denied => 77,
            Self::TimeRanOut => 124,
            Self::Failed => treekill::common::USAGE,
        }
    }
}
