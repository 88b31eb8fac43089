//! What is to be done, as plain data.

use std::time::Duration;

use treekill::terminate::Policy;
use treekill::tree::Scope;

use crate::ports::Target;

/// A range of more ports than this is only freed by force.
pub(crate) const MANY_PORTS: usize = 100;

/// What is done with the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are freed.
    Free,
    /// The exit code says whether they are free.
    Check,
    /// Who holds them, a record each.
    List,
    /// Whom freeing would signal, a PID each.
    Pids,
    /// The first free one.
    Next,
    /// They are waited for, at most this long.
    Wait(Duration),
    /// Whom freeing would signal, a record each.
    DryRun,
}

/// What the options ask for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The ports.
    pub(crate) targets: Vec<Target>,
    /// What is done with them.
    pub(crate) mode: Mode,
    /// How holders are ended.
    pub(crate) policy: Policy,
    /// Whether their descendants are, too.
    pub(crate) scope: Scope,
    /// Whether processes with a connection on these local ports are, too.
    pub(crate) established: bool,
    /// How long a port must stay free where a holder may be started again.
    pub(crate) settle: Duration,
    /// Whether what is refused by default is done.
    pub(crate) force: bool,
}
