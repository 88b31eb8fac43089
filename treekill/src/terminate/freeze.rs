//! The kill: freeze, search to a fixpoint, kill, and look whether anything got away.

use std::collections::{HashMap, HashSet};
use std::io;

use nix::sys::signal::{SigSet, Signal as Named, killpg};
use nix::unistd::Pid;

use super::target::Pin;
use super::{AFTER_KILL, FREEZE_LIMIT, Job, Step};
use crate::duration::Deadline;
use crate::identity::Identity;
use crate::signal::Signal;

impl Job<'_> {
    /// Freezes and kills until a look at the tree afterwards finds nothing new.
    ///
    /// One time is not always enough: where a death orphans a process group with stopped members,
    /// the kernel sends them HUP and CONT (setpgid(2)), and what is thawed so may fork before its
    /// own KILL has come.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        let limit = Deadline::after(FREEZE_LIMIT);
        loop {
            self.freeze_and_kill()?;
            let end = Deadline::after(AFTER_KILL);
            while self.left() > 0 && !end.passed() {
                self.wait(end)?;
            }
            if self.search()? == 0 || limit.passed() {
                return Ok(());
            }
        }
    }

    /// Our own end is put off meanwhile, so that nothing stays frozen.
    fn freeze_and_kill(&mut self) -> io::Result<()> {
        let before = SigSet::thread_get_mask()?;
        SigSet::all().thread_block()?;
        let mut groups = HashSet::new();
        let result = self.freeze(&mut groups);
        if result.is_ok() {
            self.send_kill();
        }
        self.thaw_unreached(&groups);
        before.thread_set_mask()?;
        result
    }

    /// Better thawed than frozen for good: what KILL was not sent to, or could not be, because
    /// the system has no descriptor left to hold it by.
    fn thaw_unreached(&mut self, groups: &HashSet<i32>) {
        for target in self.targets.iter_mut() {
            if !target.is_left() || target.was_sent(Signal::KILL) {
                continue;
            }
            if target.send_quietly(self.proc, Signal::CONT) {
                continue;
            }
            let stat = self.table.find(target.member.stat.identity);
            if let Some(stat) = stat.filter(|stat| groups.contains(&stat.pgrp)) {
                let _ = killpg(Pid::from_raw(stat.pgrp), Named::SIGCONT);
            }
        }
    }

    /// Stops all, noting the groups stopped as a whole, and searches until two looks in a row find
    /// nothing new.
    fn freeze(&mut self, groups: &mut HashSet<i32>) -> io::Result<()> {
        let limit = Deadline::after(FREEZE_LIMIT);
        let mut stopped = 0;
        let mut empty_looks = 0;
        let left = self.left();
        (self.watch)(Step::Freezing(left));
        while empty_looks < 2 && !limit.passed() {
            groups.extend(self.stop_from(stopped));
            stopped = self.targets.len();
            let new = self.search()?;
            empty_looks = if new == 0 { empty_looks + 1 } else { 0 };
        }
        self.thaw_strangers(groups);
        Ok(())
    }

    /// STOP to the members from this index on: to the whole group where it holds members only,
    /// which also catches what is being forked in it, and to each member itself, wherever it is
    /// by now. Returns those groups.
    fn stop_from(&mut self, first: usize) -> HashSet<i32> {
        let ours = self.groups_of_members();
        let new = self.targets.iter().skip(first).filter(|t| t.is_left());
        let groups: HashSet<i32> = new
            .filter_map(|target| self.table.find(target.member.stat.identity))
            .map(|stat| stat.pgrp)
            .filter(|group| ours.contains(group))
            .collect();
        for group in &groups {
            let _ = killpg(Pid::from_raw(*group), Named::SIGSTOP);
        }
        for target in self.targets.iter_mut().skip(first) {
            if target.is_left() {
                target.send_quietly(self.proc, Signal::STOP);
            }
        }
        groups
    }

    /// The process groups in which every process is a member that we may signal.
    fn groups_of_members(&self) -> HashSet<i32> {
        let members = self.members();
        let mut groups: HashMap<i32, bool> = HashMap::new();
        for stat in self.table.iter() {
            let wholly = groups.entry(stat.pgrp).or_insert(stat.pgrp > 1);
            *wholly &= members.contains(&stat.identity);
        }
        groups
            .into_iter()
            .filter_map(|(group, wholly)| wholly.then_some(group))
            .collect()
    }

    /// A process that joined a group just before the group was stopped goes on.
    fn thaw_strangers(&self, groups: &HashSet<i32>) {
        let members = self.members();
        for stat in self.table.iter() {
            let is_stopped = groups.contains(&stat.pgrp) && stat.state == b'T';
            if is_stopped && !members.contains(&stat.identity) {
                if let Ok(Pin::Held(pinned)) = Pin::of(self.proc, stat.identity) {
                    let _ = pinned.signal(Signal::CONT);
                }
            }
        }
    }

    fn members(&self) -> HashSet<Identity> {
        let ours = self.targets.iter().filter(|target| !target.is_denied);
        ours.map(|target| target.member.stat.identity).collect()
    }

    /// KILL to all, the deepest first: a death that orphans a group thaws its stopped members, and
    /// those have their own KILL then.
    fn send_kill(&mut self) {
        self.describe();
        let mut order: Vec<usize> = (0..self.targets.len()).collect();
        order.sort_by_key(|&index| {
            let depth = self.targets.get(index).map_or(0, |t| t.member.depth);
            std::cmp::Reverse(depth)
        });
        let mut killed = 0;
        for index in order {
            if let Some(target) = self.targets.get_mut(index).filter(|t| t.is_left()) {
                killed += usize::from(target.send(self.proc, Signal::KILL));
            }
        }
        (self.watch)(Step::Killed(killed));
    }
}
