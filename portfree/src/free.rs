//! Freeing: end the holders, look again until nothing of them is left, prove the port.

use std::collections::HashSet;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use treekill::duration::Deadline;
use treekill::identity::Identity;
use treekill::table::Proc;
use treekill::terminate::{Ending, terminate};

use crate::assess::{Assessment, assess};
use crate::exit::Exit;
use crate::holders::{self, Found};
use crate::plan::Plan;
use crate::report::Report;
use crate::restart::Restarters;
use crate::run::failure;
use crate::select::{meant, select};
use crate::sockets::{Socket, Sockets, Wanted};

/// So often are processes ended that have one of the sockets and were not seen before: workers
/// that were being forked. More often than that nobody is behind by accident.
const ROUNDS: usize = 5;
/// A socket may outlive its last process for a moment, while the kernel closes it.
const CLOSING: Duration = Duration::from_secs(1);
/// How often the port is looked at meanwhile, and while it must stay free.
const PAUSE: Duration = Duration::from_millis(10);

/// Frees the ports.
pub(crate) fn free(plan: &Plan, sockets: &mut Sockets, report: &mut Report) -> io::Result<Exit> {
    let held = meant(plan, sockets)?;
    let mut job = Job {
        plan,
        sockets,
        report,
        seen: HashSet::new(),
        known: HashSet::new(),
        spared: HashSet::new(),
        denied: HashSet::new(),
        restarters: Restarters::default(),
        has_signalled: false,
        began: Instant::now(),
    };
    match job.run(held) {
        // Processes were signalled: that is no failure after which nothing was done.
        Err(error) if job.has_signalled => {
            job.report.words.say(failure(&error));
            Ok(Exit::DoesNotHold)
        }
        result => result,
    }
}

struct Job<'a> {
    plan: &'a Plan,
    sockets: &'a mut Sockets,
    report: &'a mut Report,
    /// Inodes of the sockets that were to be freed. Another one is a port taken again.
    seen: HashSet<u64>,
    /// Who was signalled or spared already.
    known: HashSet<Identity>,
    /// Who was spared, and said to be.
    spared: HashSet<Identity>,
    /// Who was not ours to signal.
    denied: HashSet<Identity>,
    restarters: Restarters,
    has_signalled: bool,
    began: Instant,
}

impl Job<'_> {
    fn run(&mut self, held: Vec<Socket>) -> io::Result<Exit> {
        if !held.is_empty() {
            let proc = holders::open_proc()?;
            if let Some(again) = self.end_holders(&proc, held)? {
                return self.taken_again(&proc, &again);
            }
        }
        self.verdict()
    }

    /// Ends the holders until none is found that was not seen before, and watches a free port
    /// for a while. Returns the sockets of whoever took one again.
    fn end_holders(&mut self, proc: &Proc, held: Vec<Socket>) -> io::Result<Option<Vec<Socket>>> {
        let mut held = held;
        for _ in 0..ROUNDS {
            self.seen.extend(held.iter().map(|socket| socket.inode));
            let mut selection = select(self.plan, proc, &held, &self.known)?;
            self.report.spared(proc, &self.plan.targets, &selection);
            let spared = selection.spared.iter().map(|(h, _)| h.stat.identity);
            self.spared.extend(spared);
            self.known.extend(&self.spared);
            if selection.members.is_empty() {
                break;
            }
            for holder in &selection.holders {
                self.report.step_holder(proc, &self.plan.targets, holder);
            }
            let holders = selection.holders.iter().map(|holder| &holder.stat);
            self.restarters.add(proc, &selection.table, holders)?;
            let mut sockets = Vec::new();
            for holder in &selection.holders {
                sockets.extend(&holder.sockets);
            }
            let found = (selection.table, selection.members);
            if !self.plan.established {
                self.sockets.remember_connections(&self.plan.targets)?;
            }
            let (report, has_signalled) = (&mut *self.report, &mut self.has_signalled);
            let outcomes = terminate(
                proc,
                &mut selection.tree,
                found,
                self.plan.policy,
                &mut |step| {
                    *has_signalled = true;
                    report.step(step);
                },
            )?;
            self.report.words.settle();
            for outcome in &outcomes {
                self.report.outcome(outcome);
                self.known.insert(outcome.member.stat.identity);
                if outcome.ending == Ending::Denied {
                    self.denied.insert(outcome.member.stat.identity);
                }
            }
            let is_left = |ending| matches!(ending, Ending::Alive(_) | Ending::Denied);
            if outcomes.iter().all(|outcome| !is_left(outcome.ending)) {
                self.await_closing(&sockets)?;
            }
            held = meant(self.plan, self.sockets)?;
            if let Some(again) = self.new_holders(&held) {
                return Ok(Some(again));
            }
            if held.is_empty() {
                return self.settle(proc);
            }
        }
        Ok(None)
    }

    /// Waits until the kernel has closed the sockets of the dead.
    fn await_closing(&mut self, dead: &[Socket]) -> io::Result<()> {
        let deadline = Deadline::after(CLOSING);
        let inodes: HashSet<u64> = dead.iter().map(|socket| socket.inode).collect();
        loop {
            let held = meant(self.plan, self.sockets)?;
            if deadline.passed() || held.iter().all(|socket| !inodes.contains(&socket.inode)) {
                return Ok(());
            }
            sleep(PAUSE);
        }
    }

    /// The sockets that hold a port and were not there before.
    fn new_holders(&self, held: &[Socket]) -> Option<Vec<Socket>> {
        let is_new =
            |socket: &&Socket| self.sockets.is_holder(socket) && !self.seen.contains(&socket.inode);
        let new: Vec<Socket> = held.iter().filter(is_new).copied().collect();
        (!new.is_empty()).then_some(new)
    }

    /// Watches the ports for as long as somebody is there who might start a holder again; as
    /// long again where something was started that may be on its way to the port. Returns the
    /// sockets of whoever took one.
    fn settle(&mut self, proc: &Proc) -> io::Result<Option<Vec<Socket>>> {
        let length = self.plan.settle;
        let mut deadline = Deadline::after(length);
        let mut is_longer = false;
        while self.restarters.are_left() && !length.is_zero() {
            if deadline.passed() {
                if is_longer || !self.restarters.have_started_something(proc, self.began)? {
                    break;
                }
                is_longer = true;
                deadline = Deadline::after(length);
            }
            self.report
                .words
                .waiting("watching whether it is started again");
            self.restarters.wait(PAUSE.min(deadline.remaining()));
            let held = self.sockets.holding(&self.plan.targets)?;
            if let Some(again) = self.new_holders(&held) {
                self.report.words.settle();
                return Ok(Some(again));
            }
        }
        self.report.words.settle();
        Ok(None)
    }

    fn taken_again(&mut self, proc: &Proc, again: &[Socket]) -> io::Result<Exit> {
        let mut found = holders::find(proc, again)?;
        let (table, targets) = (proc.table()?, &self.plan.targets);
        self.report.taken_again(proc, &table, targets, &found);
        // A server that keeps crashing may be gone already.
        let held = self.sockets.look(targets, Wanted::Holding)?;
        let (unseen, gone) = found
            .unseen
            .iter()
            .partition(|socket| held.contains(socket));
        found.unseen = unseen;
        self.report.taken_and_left(targets, &gone);
        self.report
            .unseen(targets, &found.unseen, found.closed_to_us);
        Ok(Exit::DoesNotHold)
    }

    /// Proves the ports, or says what is in the way.
    fn verdict(&mut self) -> io::Result<Exit> {
        let assessment = assess(self.sockets, &self.plan.targets)?;
        self.report
            .step_assessment(&assessment, self.sockets, &self.plan.targets)?;
        if assessment.is_free() {
            return Ok(Exit::Holds);
        }
        let proc = holders::open_proc()?;
        if let (Some(again), false) = (self.new_holders(&assessment.holding), self.seen.is_empty())
        {
            return self.taken_again(&proc, &again);
        }
        let found = holders::find(&proc, &assessment.holding)?;
        Ok(self.explain(&assessment, &found))
    }

    /// Says what still stands in the way; whether it is permission alone.
    fn explain(&mut self, assessment: &Assessment, found: &Found) -> Exit {
        let targets = &self.plan.targets;
        let denied = |holder: &holders::Holder| self.denied.contains(&holder.stat.identity);
        let mut only_permission = found.holders.iter().all(denied)
            && assessment.in_the_way.is_empty()
            && assessment.blocked.is_empty();
        let holders = found.holders.iter();
        let untold = holders.filter(|holder| !self.spared.contains(&holder.stat.identity));
        self.report.held_by(targets, untold);
        if let Some(exit) = self
            .report
            .unseen(targets, &found.unseen, found.closed_to_us)
        {
            only_permission &= exit == Exit::Denied;
        }
        self.report.in_the_way(targets, &assessment.in_the_way);
        self.report.blocked(&assessment.blocked);
        if only_permission {
            Exit::Denied
        } else {
            Exit::DoesNotHold
        }
    }
}
