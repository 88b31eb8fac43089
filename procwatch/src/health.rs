//! The health check, with Docker's words and meaning (`HEALTHCHECK` of the Dockerfile reference).

use std::io;

use nix::sys::signal::SigSet;
use treekill::duration::{Deadline, FOREVER};
use treekill::exec::Ending;
use treekill::signal::Signal;

use crate::child::{Child, Program};
use crate::plan::HealthPlan;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It passed, the first time since the start or since a failure.
    Healthy,
    /// It passed again.
    StillHealthy,
    /// It failed early enough not to count.
    Starting,
    /// It failed, so many times in a row.
    Failing(u32),
    /// It failed often enough.
    Unhealthy(u32),
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    failures: u32,
    is_healthy: bool,
    was_healthy: bool,
}

impl Score {
    fn count(&mut self, passed: bool, in_start_period: bool, retries: u32) -> Finding {
        if passed {
            let finding = if self.is_healthy {
                Finding::StillHealthy
            } else {
                Finding::Healthy
            };
            *self = Self {
                failures: 0,
                is_healthy: true,
                was_healthy: true,
            };
            return finding;
        }
        self.is_healthy = false;
        // Docker: the first success ends the start period.
        if in_start_period && !self.was_healthy {
            return Finding::Starting;
        }
        self.failures += 1;
        if self.failures >= retries {
            Finding::Unhealthy(self.failures)
        } else {
            Finding::Failing(self.failures)
        }
    }
}

/// Asks for COMMAND's health again and again.
#[derive(Debug)]
pub(crate) struct Health {
    plan: HealthPlan,
    program: Program,
    score: Score,
    start_period: Deadline,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// COMMAND does not run, or is being stopped.
    Off,
    /// The next check is due then.
    Waiting(Deadline),
    /// A check runs, and has to end by then.
    Checking(Child, Deadline),
    /// A check took too long and was killed.
    Killed(Child),
}

impl Health {
    /// Starts its checks with this signal mask.
    pub(crate) fn new(plan: HealthPlan, mask: SigSet) -> Self {
        Self {
            program: Program::shell(&plan.command, mask).apart(),
            score: Score::default(),
            start_period: Deadline::after(FOREVER),
            state: State::Off,
            plan,
        }
    }

    /// COMMAND has been started.
    pub(crate) fn begin(&mut self) {
        self.score = Score::default();
        self.start_period = Deadline::after(self.plan.start_period);
        self.state = State::Waiting(Deadline::after(self.plan.interval));
    }

    /// COMMAND has ended or is being stopped: no more checks, and none under way.
    pub(crate) fn end(&mut self) {
        if let State::Checking(child, _) = self.state {
            child.signal_group(Signal::KILL);
        }
        self.state = State::Off;
    }

    /// When [`Health::tick`] has something to do.
    pub(crate) fn due(&self) -> Deadline {
        match self.state {
            State::Waiting(at) | State::Checking(_, at) => at,
            State::Off | State::Killed(_) => Deadline::after(FOREVER),
        }
    }

    /// Starts a check that is due, and kills one that takes too long.
    ///
    /// # Errors
    /// Where no check can be started; the next is due an interval later.
    pub(crate) fn tick(&mut self) -> io::Result<()> {
        if !self.due().passed() {
            return Ok(());
        }
        match self.state {
            State::Waiting(_) => {
                self.state = State::Waiting(Deadline::after(self.plan.interval));
                let child = self.program.start()?;
                self.state = State::Checking(child, Deadline::after(self.plan.timeout));
            }
            State::Checking(child, _) => {
                child.signal_group(Signal::KILL);
                self.state = State::Killed(child);
            }
            State::Off | State::Killed(_) => {}
        }
        Ok(())
    }

    /// What the end of this child says of COMMAND's health; `None` when it was no check.
    pub(crate) fn ended(&mut self, pid: i32, ending: Ending) -> Option<Finding> {
        let passed = match self.state {
            State::Checking(child, _) if child.pid == pid => ending == Ending::Code(0),
            State::Killed(child) if child.pid == pid => false,
            _ => return None,
        };
        self.state = State::Waiting(Deadline::after(self.plan.interval));
        let in_start_period = !self.start_period.passed();
        Some(self.score.count(passed, in_start_period, self.plan.retries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_failures_in_a_row_are_unhealthy() {
        let mut score = Score::default();
        let mut check = |passed| score.count(passed, false, 3);
        assert_eq!(check(false), Finding::Failing(1));
        assert_eq!(check(false), Finding::Failing(2));
        assert_eq!(check(true), Finding::Healthy);
        assert_eq!(check(true), Finding::StillHealthy);
        assert_eq!(check(false), Finding::Failing(1));
        assert_eq!(check(false), Finding::Failing(2));
        assert_eq!(check(false), Finding::Unhealthy(3));
    }

    #[test]
    fn the_first_success_ends_the_start_period() {
        let mut score = Score::default();
        for _ in 0..10 {
            assert_eq!(score.count(false, true, 1), Finding::Starting);
        }
        assert_eq!(score.count(true, true, 1), Finding::Healthy);
        assert_eq!(score.count(false, true, 1), Finding::Unhealthy(1));
    }
}
