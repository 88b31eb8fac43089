//! Whom freeing would signal: the holders and their descendants, less those that are spared.

use std::collections::HashSet;
use std::io;

use treekill::guard::{Guard, Refusal};
use treekill::identity::Identity;
use treekill::table::{Proc, Table};
use treekill::tree::{Member, Tree};

use crate::forwarder::{self, Engine};
use crate::holders::{self, Found, Holder};
use crate::plan::Plan;
use crate::sockets::{Socket, Sockets, Wanted};

/// Why a holder is not signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spared {
    /// No tool ever signals it.
    Guarded(Refusal),
    /// It forwards a container's port, and there was no `--force`.
    Forwarder(Engine),
}

/// The holders of some sockets, and what is to be done about them.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Those to be ended.
    pub(crate) holders: Vec<Holder>,
    /// Those that are spared.
    pub(crate) spared: Vec<(Holder, Spared)>,
    /// The sockets of which no process was seen.
    pub(crate) unseen: Vec<Socket>,
    /// How many processes did not let us look at their descriptors.
    pub(crate) closed_to_us: usize,
    /// The processes as they were.
    pub(crate) table: Table,
    /// The holders as roots of a tree.
    pub(crate) tree: Tree,
    /// All that would be signalled, holders first.
    pub(crate) members: Vec<Member>,
}

/// The sockets whose owners freeing would end.
///
/// # Errors
/// Where the kernel does not answer.
pub(crate) fn meant(plan: &Plan, sockets: &mut Sockets) -> io::Result<Vec<Socket>> {
    let mut found = sockets.holding(&plan.targets)?;
    if plan.established {
        let all = sockets.look(&plan.targets, Wanted::All)?;
        found.extend(
            all.into_iter()
                .filter(|socket| !socket.holds() && socket.inode != 0),
        );
    }
    Ok(found)
}

/// Finds who has these sockets and decides about each, passing over whom `known` has.
///
/// # Errors
/// Where `/proc` cannot be listed.
pub(crate) fn select(
    plan: &Plan,
    proc: &Proc,
    sockets: &[Socket],
    known: &HashSet<Identity>,
) -> io::Result<Selection> {
    let (found, table) = find_beside_table(proc, sockets)?;
    let guard = Guard::new(&table);
    let mut selection = Selection {
        holders: Vec::new(),
        spared: Vec::new(),
        unseen: found.unseen,
        closed_to_us: found.closed_to_us,
        table,
        tree: Tree::new(plan.scope),
        members: Vec::new(),
    };
    for holder in found.holders {
        if known.contains(&holder.stat.identity) {
            continue;
        }
        let engine = forwarder::engine_of(&holder.stat).filter(|_| !plan.force);
        if let Some(engine) = engine {
            selection.spared.push((holder, Spared::Forwarder(engine)));
            continue;
        }
        match selection.tree.add_root(&holder.stat, &guard) {
            Err(refusal) => selection.spared.push((holder, Spared::Guarded(refusal))),
            Ok(member) => {
                selection.members.extend(member);
                selection.holders.push(holder);
            }
        }
    }
    let below = selection.tree.search(&selection.table, &guard);
    selection.members.extend(below);
    Ok(selection)
}

/// Both passes over `/proc` at the same time, where a thread is to be had.
fn find_beside_table(proc: &Proc, sockets: &[Socket]) -> io::Result<(Found, Table)> {
    std::thread::scope(|scope| {
        let beside = std::thread::Builder::new().spawn_scoped(scope, || proc.table());
        let found = holders::find(proc, sockets)?;
        let table = match beside.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(table)) => table?,
            _ => proc.table()?,
        };
        Ok((found, table))
    })
}
