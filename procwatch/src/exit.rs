//! The exit codes: COMMAND's own ending shines through, and the few that are ours.

use treekill::common::USAGE;
use treekill::exec::Ending;

/// How procwatch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As COMMAND did: with its code, or by its signal. 126 and 127 are a first start that failed.
    As(Ending),
    /// It gave up on a COMMAND whose last status was 0, or something of it could not be ended.
    DoesNotHold,
    /// Wrong usage, or the system or a FILE cannot be used; nothing was started.
    Unable,
}

impl Exit {
    /// Ends this process.
    pub(crate) fn now(self) -> ! {
        let ending = match self {
            Self::As(ending) => ending,
            Self::DoesNotHold => Ending::Code(1),
            Self::Unable => Ending::Code(USAGE),
        };
        ending.repeat()
    }
}
