//! A process tree: what descends from its roots, as far as the kernel can prove it.
//!
//! Descent is proved in three ways. A child names its parent. A session is entered only by
//! birth, so all of it descends from its leader, dead or alive; the kernel gives a number to no
//! new process while it still names a session or a group (credentials(7), setsid(2)). And an
//! orphan in a process group that a member leads was started by that job; a process in it whose
//! parent lives is somebody's pipe neighbour and is left alone.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use crate::guard::{Guard, Refusal};
use crate::identity::Identity;
use crate::table::{Stat, Table};

/// How much of a tree is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The roots and everything below them.
    Tree,
    /// Everything below the roots, not the roots.
    Below,
    /// The roots alone.
    Alone,
}

/// A process of the tree.
#[derive(Clone, Debug)]
pub struct Member {
    /// What the table said when it was found.
    pub stat: Stat,
    /// Steps below a root, 0 for a root itself.
    pub depth: usize,
}

/// A process of the tree that must not be signalled.
#[derive(Clone, Debug)]
pub struct Spared {
    /// What the table said when it was found.
    pub stat: Stat,
    /// Why.
    pub refusal: Refusal,
}

/// A number whose children, session and group belong to the tree.
#[derive(Clone, Debug)]
struct Followed {
    pid: i32,
    /// `None` for a root that was dead already: only its session and group can be left of it.
    start: Option<u64>,
    depth: usize,
    /// For such a root: a process that started by then must be left, or it is another's number.
    witness_by: Option<SystemTime>,
    /// Since when no search has found a process that has or names this number.
    unused: Option<Instant>,
}

/// The tree below some roots. It can be searched again with a newer table and remembers its
/// dead, whose sessions and groups still belong to it.
#[derive(Clone, Debug)]
pub struct Tree {
    scope: Scope,
    followed: Vec<Followed>,
    known: HashSet<Identity>,
    spared: Vec<Spared>,
    left_out: HashSet<Identity>,
}

/// Start times have ticks of 10 ms, and the kernel stamps files with a clock as coarse.
const CLOCK_SLACK: Duration = Duration::from_millis(20);

/// A number that nothing names for so long is nobody's. No machine gives out all its numbers in
/// less.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);

/// Whether a process started after that moment, for sure: for comparing with a file's mtime.
#[must_use]
pub fn started_after(identity: Identity, moment: SystemTime) -> bool {
    let latest = moment.checked_add(CLOCK_SLACK).unwrap_or(moment);
    identity.started().is_some_and(|started| started > latest)
}

impl Tree {
    /// A tree without roots.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            followed: Vec::new(),
            known: HashSet::new(),
            spared: Vec::new(),
            left_out: HashSet::new(),
        }
    }

    /// Leaves a process and what descends from it by parent out of the tree.
    pub fn leave_out(&mut self, identity: Identity) {
        self.left_out.insert(identity);
    }

    /// Adds a living root and returns it as a member, unless the scope is only what is below it,
    /// or it is a member already.
    ///
    /// # Errors
    /// Why it must not be signalled; it and what is below it is no part of the tree then.
    pub fn add_root(&mut self, stat: &Stat, guard: &Guard) -> Result<Option<Member>, Refusal> {
        if self.scope != Scope::Below {
            if let Some(refusal) = guard.refusal(stat) {
                return Err(refusal);
            }
        }
        if !self.known.insert(stat.identity) {
            return Ok(None);
        }
        self.follow(stat, 0);
        let member = Member {
            stat: stat.clone(),
            depth: 0,
        };
        Ok((self.scope != Scope::Below).then_some(member))
    }

    /// Adds a root that is dead already, of which a session or a group may be left. Where its
    /// number was found in a file, only if something in it started by the time the file was
    /// written.
    pub fn add_dead_root(&mut self, pid: i32, written: Option<SystemTime>) {
        self.followed.push(Followed {
            pid,
            start: None,
            depth: 0,
            witness_by: written,
            unused: None,
        });
    }

    /// Finds what belongs to the tree and was not known yet, nearest to the roots first.
    pub fn search(&mut self, table: &Table, guard: &Guard) -> Vec<Member> {
        if self.scope == Scope::Alone {
            return Vec::new();
        }
        let index = Index::of(table);
        self.followed
            .retain_mut(|followed| followed.keeps_its_number(table, &index));
        self.leave_out_children(&index);
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(followed) = self.followed.get(at).cloned() {
            for stat in index.below(&followed, table) {
                let depth = followed.depth + 1;
                if self.left_out.contains(&stat.identity) || !self.known.insert(stat.identity) {
                    continue;
                }
                match guard.refusal(stat) {
                    None => found.push(Member {
                        stat: stat.clone(),
                        depth,
                    }),
                    Some(refusal) => self.spared.push(Spared {
                        stat: stat.clone(),
                        refusal,
                    }),
                }
                self.follow(stat, depth);
            }
            at += 1;
        }
        found.sort_by_key(|member| member.depth);
        found
    }

    /// Members that were found and must not be signalled: ourselves and our ancestors.
    #[must_use]
    pub fn spared(&self) -> &[Spared] {
        &self.spared
    }

    /// What descends by parent from something left out is left out, whatever session it is in.
    fn leave_out_children(&mut self, index: &Index<'_>) {
        let mut parents: Vec<Identity> = self.left_out.iter().copied().collect();
        while let Some(parent) = parents.pop() {
            for child in index.children.get(&parent.pid).into_iter().flatten() {
                if self.left_out.insert(child.identity) {
                    parents.push(child.identity);
                }
            }
        }
    }

    fn follow(&mut self, stat: &Stat, depth: usize) {
        self.followed.push(Followed {
            pid: stat.pid(),
            start: Some(stat.identity.start),
            depth,
            witness_by: None,
            unused: None,
        });
    }
}

impl Followed {
    /// Whether the number still stands for the process that was followed. It does not when
    /// another process has it, nor once nothing has or names it any more: then the kernel is free
    /// to give it away. A few searches may have missed a chain of short-lived processes.
    fn keeps_its_number(&mut self, table: &Table, index: &Index<'_>) -> bool {
        if let Some(stat) = table.get(self.pid) {
            self.unused = None;
            return self.start == Some(stat.identity.start);
        }
        let is_named =
            index.sessions.contains_key(&self.pid) || index.groups.contains_key(&self.pid);
        if is_named {
            self.unused = None;
            if self.has_witness(index) {
                // Seen once is enough: what names a number keeps it from others.
                self.witness_by = None;
            }
            return true;
        }
        let since = *self.unused.get_or_insert_with(Instant::now);
        since.elapsed() < GIVEN_UP_AFTER
    }

    /// Whether something that names the number was there when the file was written.
    fn has_witness(&self, index: &Index<'_>) -> bool {
        let of = |map: &HashMap<i32, Vec<&Stat>>, written| {
            let stats = map.get(&self.pid).into_iter().flatten();
            stats
                .map(|stat| stat.identity)
                .any(|identity| !started_after(identity, written))
        };
        self.witness_by
            .is_none_or(|written| of(&index.sessions, written) || of(&index.groups, written))
    }
}

/// The table by parent, session and group.
struct Index<'a> {
    children: HashMap<i32, Vec<&'a Stat>>,
    sessions: HashMap<i32, Vec<&'a Stat>>,
    groups: HashMap<i32, Vec<&'a Stat>>,
}

impl<'a> Index<'a> {
    fn of(table: &'a Table) -> Self {
        let mut index = Self {
            children: HashMap::new(),
            sessions: HashMap::new(),
            groups: HashMap::new(),
        };
        for stat in table.iter() {
            index.children.entry(stat.ppid).or_default().push(stat);
            index.sessions.entry(stat.session).or_default().push(stat);
            index.groups.entry(stat.pgrp).or_default().push(stat);
        }
        index
    }

    /// What is directly below a followed number, the lowest PID first.
    fn below(&self, followed: &Followed, table: &Table) -> Vec<&'a Stat> {
        if followed.witness_by.is_some() {
            return Vec::new();
        }
        let at =
            |map: &HashMap<i32, Vec<&'a Stat>>| map.get(&followed.pid).cloned().unwrap_or_default();
        let mut below = at(&self.sessions);
        below.extend(at(&self.groups).into_iter().filter(|s| is_orphan(s, table)));
        below.extend(at(&self.children));
        below.sort_by_key(|stat| stat.pid());
        below
    }
}

/// Whether the process that started this one is dead, as far as that can be seen: its parent is
/// PID 1, or stands in another session, where it can only have adopted it.
///
/// PID 1 adopts, but as an interactive shell of a container it also starts: what shares its
/// session and its terminal is taken for its own child.
fn is_orphan(stat: &Stat, table: &Table) -> bool {
    let Some(parent) = table.get(stat.ppid) else {
        return false;
    };
    let same_session = parent.session == stat.session;
    if parent.pid() == 1 {
        return !(same_session && parent.has_terminal);
    }
    !same_session && stat.session != stat.pid()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// pid, ppid, pgrp, session; start is the pid.
    fn table(rows: &[(i32, i32, i32, i32)]) -> Table {
        rows.iter()
            .map(|&(pid, ppid, pgrp, session)| Stat {
                identity: identity(pid),
                comm: b"x".to_vec(),
                state: b'S',
                ppid,
                pgrp,
                session,
                has_terminal: false,
                is_kernel_thread: false,
            })
            .collect()
    }

    fn identity(pid: i32) -> Identity {
        Identity {
            pid,
            start: pid.unsigned_abs().into(),
        }
    }

    fn guard() -> Guard {
        Guard::new(&Table::default())
    }

    fn pids(members: &[Member]) -> Vec<i32> {
        members.iter().map(|m| m.stat.pid()).collect()
    }

    const INIT: (i32, i32, i32, i32) = (1, 0, 1, 1);

    #[test]
    fn children_sessions_and_orphans_of_the_group() {
        let table = table(&[
            INIT,
            (900_010, 1, 900_010, 900_010),
            (900_011, 900_010, 900_011, 900_010),
            (900_012, 900_011, 900_012, 900_012),
            (900_013, 1, 900_012, 900_012),
            (900_014, 1, 900_011, 900_010),
            (900_020, 1, 900_020, 900_020),
        ]);
        let mut tree = Tree::new(Scope::Tree);
        tree.add_root(table.get(900_011).unwrap(), &guard())
            .unwrap();
        assert_eq!(
            pids(&tree.search(&table, &guard())),
            [900_012, 900_014, 900_013]
        );
        assert!(tree.search(&table, &guard()).is_empty());
    }

    #[test]
    fn a_pipe_neighbour_is_left_alone() {
        let table = table(&[
            INIT,
            (900_010, 1, 900_010, 900_010),
            (900_011, 900_010, 900_011, 900_010),
            (900_012, 900_010, 900_011, 900_010),
        ]);
        let mut tree = Tree::new(Scope::Tree);
        tree.add_root(table.get(900_011).unwrap(), &guard())
            .unwrap();
        assert!(tree.search(&table, &guard()).is_empty());
    }

    #[test]
    fn the_session_of_a_dead_root_is_found_by_its_number() {
        let left = table(&[INIT, (900_012, 1, 900_011, 900_010)]);
        let mut tree = Tree::new(Scope::Tree);
        tree.add_dead_root(900_010, None);
        assert_eq!(pids(&tree.search(&left, &guard())), [900_012]);
        let reused = table(&[
            INIT,
            (900_010, 1, 900_010, 900_010),
            (900_013, 900_010, 1, 1),
        ]);
        assert!(tree.search(&reused, &guard()).is_empty());
    }

    #[test]
    fn a_dead_root_of_a_file_needs_a_witness_of_its_time() {
        let left = table(&[INIT, (900_012, 1, 900_010, 900_010)]);
        let started = identity(900_012).started().unwrap();
        for (written, expected) in [
            (started + Duration::from_secs(60), vec![900_012]),
            (started - Duration::from_secs(60), vec![]),
        ] {
            let mut tree = Tree::new(Scope::Tree);
            tree.add_dead_root(900_010, Some(written));
            assert_eq!(pids(&tree.search(&left, &guard())), expected);
        }
    }

    #[test]
    fn a_witness_is_needed_once() {
        let left = table(&[INIT, (900_012, 1, 900_010, 900_010)]);
        let written = identity(900_012).started().unwrap() + Duration::from_secs(1);
        let mut tree = Tree::new(Scope::Tree);
        tree.add_dead_root(900_010, Some(written));
        assert_eq!(pids(&tree.search(&left, &guard())), [900_012]);
        // What the witness left behind was started long after the file was written.
        let later = table(&[INIT, (990_000, 1, 900_010, 900_010)]);
        assert_eq!(pids(&tree.search(&later, &guard())), [990_000]);
    }

    #[test]
    fn a_number_that_nothing_names_any_more_is_given_up() {
        let rows = [INIT, (900_010, 1, 900_010, 900_010)];
        let (alive, gone) = (table(&rows), table(&[INIT]));
        let stranger = table(&[INIT, (900_050, 1, 900_010, 900_010)]);
        let mut tree = Tree::new(Scope::Tree);
        tree.add_root(alive.get(900_010).unwrap(), &guard())
            .unwrap();
        assert!(tree.search(&alive, &guard()).is_empty());
        assert!(tree.search(&gone, &guard()).is_empty());
        let long_ago = Instant::now().checked_sub(GIVEN_UP_AFTER);
        tree.followed.first_mut().unwrap().unused = long_ago;
        assert!(tree.search(&gone, &guard()).is_empty());
        assert!(tree.search(&stranger, &guard()).is_empty());
    }

    #[test]
    fn below_and_alone() {
        let table = table(&[INIT, (900_010, 1, 1, 1), (900_011, 900_010, 1, 1)]);
        let root = table.get(900_010).unwrap();
        let mut below = Tree::new(Scope::Below);
        assert!(below.add_root(root, &guard()).unwrap().is_none());
        assert_eq!(pids(&below.search(&table, &guard())), [900_011]);
        let mut alone = Tree::new(Scope::Alone);
        assert!(alone.add_root(root, &guard()).unwrap().is_some());
        assert!(alone.search(&table, &guard()).is_empty());
        let mut tree = Tree::new(Scope::Tree);
        let refusal = tree.add_root(table.get(1).unwrap(), &guard()).unwrap_err();
        assert_eq!(refusal, Refusal::Init);
    }
}
