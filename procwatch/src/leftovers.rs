//! What COMMAND started and left behind, and how it is ended.

use std::io;
use std::time::Duration;

use nix::unistd::{getpgrp, getpid, getsid};
use treekill::guard::Guard;
use treekill::identity::{Identity, Pinned};
use treekill::signal::Signal;
use treekill::table::{Proc, Table};
use treekill::terminate::{Outcome, Policy, terminate};
use treekill::tree::{Member, Scope, Tree};

/// Knows which processes are below us and which of those are none of ours.
#[derive(Debug)]
pub(crate) struct Leftovers {
    proc: Proc,
    /// In our session or group before anything was started: not below us, though a session that
    /// we lead would count as ours.
    strangers: Vec<Identity>,
}

/// The tree below us as far as it has been asked to end.
#[derive(Debug)]
pub(crate) struct Asked {
    tree: Tree,
}

impl Leftovers {
    /// To be made before anything is started.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub(crate) fn new() -> io::Result<Self> {
        let proc = Proc::open()?;
        let us = getpid();
        let leads = getsid(None) == Ok(us) || getpgrp() == us;
        let strangers = if leads {
            strangers(&proc.table()?, us.as_raw())
        } else {
            Vec::new()
        };
        Ok(Self { proc, strangers })
    }

    /// The processes as they are now.
    pub(crate) fn proc(&self) -> &Proc {
        &self.proc
    }

    /// Everything below us.
    ///
    /// # Errors
    /// Where `/proc` cannot be listed.
    pub(crate) fn members(&self) -> io::Result<Vec<Member>> {
        let mut asked = self.nobody_asked();
        Ok(self.search(&mut asked)?.1)
    }

    /// Nobody has been asked to end yet.
    pub(crate) fn nobody_asked(&self) -> Asked {
        let mut tree = Tree::new(Scope::Below);
        for stranger in &self.strangers {
            tree.leave_out(*stranger);
        }
        Asked { tree }
    }

    fn search(&self, asked: &mut Asked) -> io::Result<(Table, Vec<Member>)> {
        let table = self.proc.table()?;
        let guard = Guard::new(&table);
        if let Some(us) = table.get(getpid().as_raw()) {
            // Only what is below us is meant, so nothing speaks against ourselves as a root.
            let _ = asked.tree.add_root(us, &guard);
        }
        let members = asked.tree.search(&table, &guard);
        Ok((table, members))
    }

    /// Sends the signal to each process that has not been asked yet, then CONT so that a stopped
    /// one can act on it; returns who they were.
    ///
    /// # Errors
    /// Where `/proc` cannot be listed.
    pub(crate) fn ask(&self, asked: &mut Asked, signal: Signal) -> io::Result<Vec<Member>> {
        let (_, members) = self.search(asked)?;
        for member in &members {
            if let Some(pinned) = Pinned::open(&self.proc, member.stat.identity)? {
                let _ = pinned.signal(signal);
                let _ = pinned.signal(Signal::CONT);
            }
        }
        Ok(members)
    }

    /// Freezes and kills everything below us, to the last fork.
    ///
    /// # Errors
    /// Where `/proc` cannot be listed, or the kernel has no pidfds.
    pub(crate) fn kill(&self) -> io::Result<Vec<Outcome>> {
        let mut asked = self.nobody_asked();
        let found = self.search(&mut asked)?;
        let policy = Policy {
            signal: Signal::KILL,
            grace: Duration::ZERO,
            escalate: true,
            leader_first: false,
        };
        terminate(&self.proc, &mut asked.tree, found, policy, &mut |_| {})
    }
}

fn strangers(table: &Table, us: i32) -> Vec<Identity> {
    table
        .iter()
        .filter(|stat| stat.pid() != us && (stat.session == us || stat.pgrp == us))
        .map(|stat| stat.identity)
        .collect()
}
