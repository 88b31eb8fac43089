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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn stat(pid: i32, ppid: i32, is_kernel_thread: bool) -> Stat {
        Stat {
            identity: Identity { pid, start: 1 },
            comm: b"x".to_vec(),
            state: b'S',
            ppid,
            pgrp: pid,
            session: pid,
            has_terminal: false,
            is_kernel_thread,
        }
    }

    #[test]
    fn who_is_never_signalled() {
        let me = nix::unistd::getpid().as_raw();
        let (shell, login) = (900_001, 900_002);
        let table = [(me, shell), (shell, login), (login, 1), (1, 0)];
        let guard = Guard::new(&table.iter().map(|&(p, pp)| stat(p, pp, false)).collect());
        let refusal = |pid, is_kernel_thread| guard.refusal(&stat(pid, 1, is_kernel_thread));
        assert_eq!(refusal(me, false), Some(Refusal::Ourselves));
        assert_eq!(refusal(shell, false), Some(Refusal::OurAncestor));
        assert_eq!(refusal(login, false), Some(Refusal::OurAncestor));
        assert_eq!(refusal(1, false), Some(Refusal::Init));
        assert_eq!(refusal(900_003, true), Some(Refusal::KernelThread));
        assert_eq!(refusal(900_003, false), None);
    }
}
