//! Waiting for a child's end, for a pause's end, and for the end of all that is left.

use std::time::Duration;

use treekill::duration::{Deadline, FOREVER};
use treekill::exec::{self, Ending};
use treekill::terminate;

use crate::child::Child;
use crate::health::{Finding, Health};
use crate::memory::Memory;
use crate::report::Reason;
use crate::stop::Target;
use crate::supervise::Supervisor;
use crate::wait::Event;

/// What a kill has left alive is tried again after this long, and this often.
const AGAIN: Duration = Duration::from_secs(1);
const FUTILE: u32 = 3;
/// A hook that runs while we stop gets this long at least.
const LAST_HOOK: Duration = Duration::from_secs(1);
/// While leftovers end, they are looked at again after this long, and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(250);

impl Supervisor {
    /// Waits until this child ends, obeying signals meanwhile; `None` when it cannot be ended.
    pub(crate) fn watch(&mut self, target: Target) -> Option<Ending> {
        let child = target.child()?;
        self.stop.sent = false;
        if self.stop.told > 0 {
            let left = self
                .stop
                .kill_at
                .map_or(self.plan.grace, Deadline::remaining);
            self.stop.kill_at = Some(Deadline::after(left.max(LAST_HOOK)));
        }
        loop {
            match self.waiter.next(self.next_check().earlier(self.kill_at())) {
                Event::Ended(pid, ending) if pid == child.pid => return Some(ending),
                Event::Ended(pid, ending) => self.check_ended(pid, ending, child),
                Event::Signal(arrived, order) => self.obey(arrived, order, target),
                Event::Due => {}
            }
            self.check(child);
            if self.kill_at().passed() {
                self.kill();
            }
            if self.stop.futile >= FUTILE {
                self.is_unclean = true;
                return None;
            }
        }
    }

    /// When health or memory have to be looked at; never while COMMAND is being stopped.
    fn next_check(&self) -> Deadline {
        let never = Deadline::after(FOREVER);
        if self.stop.kill_at.is_some() {
            return never;
        }
        let health = self.health.as_ref().map_or(never, Health::due);
        let memory = self.memory.as_ref().map_or(never, Memory::due);
        health.earlier(memory)
    }

    /// Looks at health and memory where that is due: never while a hook runs.
    fn check(&mut self, child: Child) {
        if self.stop.kill_at.is_some() {
            return;
        }
        if let Some(Err(error)) = self.health.as_mut().map(Health::tick) {
            let words = exec::failure_words(&"sh".into(), &error);
            self.report.not_started(&words);
        }
        if let Some(memory) = &mut self.memory {
            let limit = memory.limit();
            if let Some(bytes) = memory.tick(&self.leftovers) {
                if bytes > limit {
                    self.report.too_large(child.pid, bytes, limit);
                    self.stop_to_restart(child, Reason::Memory);
                } else {
                    self.report.measured(bytes);
                }
            }
        }
    }

    /// A child other than the one that is watched has ended.
    fn check_ended(&mut self, pid: i32, ending: Ending, child: Child) {
        let finding = self.health.as_mut().and_then(|h| h.ended(pid, ending));
        match finding {
            Some(Finding::Healthy) => self.report.healthy(child.pid),
            Some(Finding::Failing(failures)) => self.report.failing(failures),
            Some(Finding::Unhealthy(failures)) => {
                self.report.unhealthy(child.pid, failures);
                self.stop_to_restart(child, Reason::Unhealthy);
            }
            Some(Finding::StillHealthy | Finding::Starting) | None => {}
        }
    }

    /// Waits, at least for what has come already, and returns early when told to stop.
    pub(crate) fn pause(&mut self, pause: Duration) {
        let end = Deadline::after(pause);
        while self.stop.told == 0 {
            match self.waiter.next(end) {
                Event::Due => return,
                Event::Signal(arrived, order) => self.obey(arrived, order, Target::Nobody),
                Event::Ended(..) => {}
            }
        }
    }

    /// Ends whatever is left below us, first by asking. Returns when waitpid(2) says that there
    /// is nothing left.
    pub(crate) fn clear(&mut self) {
        let mut asked = self.leftovers.nobody_asked();
        let mut pause = FIRST_LOOK;
        while !self.waiter.reap() && self.stop.futile < FUTILE {
            self.stop
                .kill_at
                .get_or_insert_with(|| Deadline::after(self.plan.grace));
            let signal = self.plan.stop_signal;
            if let Ok(members) = self.leftovers.ask(&mut asked, signal) {
                if !members.is_empty() {
                    let pids: Vec<i32> = members.iter().map(|m| m.stat.pid()).collect();
                    self.report.leftovers(&pids);
                    pause = FIRST_LOOK;
                }
            }
            match self
                .waiter
                .next(Deadline::after(pause).earlier(self.kill_at()))
            {
                Event::Signal(arrived, order) => self.obey(arrived, order, Target::Nobody),
                Event::Ended(..) => {}
                Event::Due => pause = (pause * 2).min(LAST_LOOK),
            }
            if self.kill_at().passed() {
                self.kill();
            }
        }
        self.waiter.forget_ended();
        if let Some(log) = self.waiter.log() {
            log.end_of_run();
        }
        self.is_unclean = self.stop.futile >= FUTILE;
        self.stop.futile = 0;
        if self.stop.told == 0 {
            self.stop.kill_at = None;
        }
    }

    fn kill(&mut self) {
        self.stop.has_killed = true;
        let is_futile = match self.leftovers.kill() {
            Ok(outcomes) => {
                use terminate::Ending::{Alive, Denied};
                let is_alive = |ending| matches!(ending, Alive(_) | Denied);
                let alive = outcomes.iter().filter(|o| is_alive(o.ending)).count();
                self.report.killed(outcomes.len() - alive, alive);
                alive > 0
            }
            Err(error) => {
                self.report.not_killed(&error);
                true
            }
        };
        self.stop.futile += u32::from(is_futile);
        self.stop.kill_at = Some(Deadline::after(AGAIN));
        self.waiter.reap();
    }

    pub(crate) fn begin_checks(&mut self) {
        self.stop.restart = None;
        self.stop.has_killed = false;
        if let Some(health) = &mut self.health {
            health.begin();
        }
        if let Some(memory) = &mut self.memory {
            memory.begin();
        }
    }

    pub(crate) fn end_checks(&mut self) {
        if let Some(health) = &mut self.health {
            health.end();
        }
        if let Some(memory) = &mut self.memory {
            memory.end();
        }
    }
}
