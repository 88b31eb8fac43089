//! The processes that no tool ever signals.

use std::fmt;

use crate::table::{Stat, Table};

/// Why a process is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is PID 1, on which the machine or the container stands.
    Init,
    /// It is a kernel thread.
    KernelThread,
    /// It is this very process.
    Ourselves,
    /// It started this process, or a parent of it.
    OurAncestor,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "it is PID 1",
            Self::KernelThread => "it is a kernel thread",
            Self::Ourselves => "it is this very process",
            Self::OurAncestor => "it is an ancestor of this process",
        })
    }
}

/// Knows who we are and who our ancestors are.
#[derive(Clone, Debug)]
pub struct Guard {
    ourselves: i32,
    ancestors: Vec<i32>,
}

impl Guard {
    /// The guard of this process, as the table shows its ancestors.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let ourselves = nix::unistd::getpid().as_raw();
        Self {
            ourselves,
            ancestors: table.ancestors(ourselves),
        }
    }

    /// Why this process must not be signalled; `None` where nothing speaks against it.
    #[must_use]
    pub fn refusal(&self, stat: &Stat) -> Option<Refusal> {
        let pid = stat.pid();
        if pid == self.ourselves {
            Some(Refusal::Ourselves)
        } else if pid == 1 {
            Some(Refusal::Init)
        } else if stat.is_kernel_thread {
            Some(Refusal::KernelThread)
        } else if self.ancestors.contains(&pid) {
            Some(Refusal::OurAncestor)
        } else {
            None
        }
    }
}
