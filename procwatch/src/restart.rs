//! The decision whether COMMAND is started again: no clock, no process, only counts.

use std::time::Duration;

use treekill::exec::Ending;

use crate::backoff::Backoff;
use crate::plan::{RestartPlan, When};

/// How one attempt to run COMMAND went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// How COMMAND, or what kept it from starting, ended.
    pub(crate) ending: Ending,
    /// How long COMMAND ran; zero for a failed start.
    pub(crate) uptime: Duration,
    /// Whether it failed whatever its exit code says: a failed start, unhealthy, too large.
    pub(crate) failed: bool,
}

impl Attempt {
    /// A start that failed before COMMAND ran, with this status.
    #[must_use]
    pub(crate) fn failed_start(ending: Ending) -> Self {
        Self {
            ending,
            uptime: Duration::ZERO,
            failed: true,
        }
    }

    /// Whether COMMAND never ran.
    #[must_use]
    pub(crate) fn is_failed_start(self) -> bool {
        self.failed && self.uptime.is_zero()
    }
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not to be started again.
    Finished,
    /// It is started again after this pause.
    Again(Duration),
    /// It would be, but there were this many restarts in a row already.
    GiveUp(u32),
}

/// Counts restarts.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    plan: RestartPlan,
    backoff: Backoff,
    in_a_row: u32,
    was_stable: bool,
    total: u64,
}

impl Count {
    /// Nothing has been started yet.
    #[must_use]
    pub(crate) fn new(plan: RestartPlan) -> Self {
        Self {
            plan,
            backoff: Backoff::new(plan.pauses),
            in_a_row: 0,
            was_stable: false,
            total: 0,
        }
    }

    /// Restarts so far, all in all.
    #[must_use]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Restarts in a row, and how many may be; `None` is unlimited.
    #[must_use]
    pub(crate) fn in_a_row(&self) -> (u32, Option<u32>) {
        (self.in_a_row, self.limit())
    }

    fn limit(&self) -> Option<u32> {
        if self.was_stable {
            self.plan.max
        } else {
            self.plan.startup
        }
    }

    /// Decides what comes after this attempt. `chance` is any number, new each time.
    pub(crate) fn after(&mut self, attempt: Attempt, chance: u64) -> Verdict {
        if attempt.uptime >= self.plan.stable && !attempt.is_failed_start() {
            self.in_a_row = 0;
            self.was_stable = true;
            self.backoff.reset();
        }
        let again = match self.plan.when {
            When::Never => false,
            When::Always => true,
            When::OnFailure => attempt.failed || attempt.ending != Ending::Code(0),
        };
        if !again {
            return Verdict::Finished;
        }
        if self.limit().is_some_and(|limit| self.in_a_row >= limit) {
            return Verdict::GiveUp(self.in_a_row);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.total += 1;
        Verdict::Again(self.backoff.next(chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Pauses;

    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(10);

    fn count(when: When, max: Option<u32>, startup: Option<u32>) -> Count {
        let pauses = Pauses {
            min: Duration::ZERO,
            max: Duration::ZERO,
        };
        Count::new(RestartPlan {
            when,
            max,
            startup,
            stable: LONG,
            pauses,
        })
    }

    fn ended(code: u8, uptime: Duration) -> Attempt {
        Attempt {
            ending: Ending::Code(code),
            uptime,
            failed: false,
        }
    }

    const AGAIN: Verdict = Verdict::Again(Duration::ZERO);

    #[test]
    fn n_restarts_are_n_restarts() {
        let mut count = count(When::OnFailure, Some(3), Some(3));
        for _ in 0..3 {
            assert_eq!(count.after(ended(1, SHORT), 0), AGAIN);
        }
        assert_eq!(count.after(ended(1, SHORT), 0), Verdict::GiveUp(3));
        assert_eq!(count.total(), 3);
    }

    #[test]
    fn a_stable_run_starts_the_count_anew() {
        let mut count = count(When::Always, Some(1), Some(1));
        assert_eq!(count.after(ended(1, SHORT), 0), AGAIN);
        for _ in 0..5 {
            assert_eq!(count.after(ended(1, LONG), 0), AGAIN);
        }
        assert_eq!(count.after(ended(1, SHORT), 0), Verdict::GiveUp(1));
    }

    #[test]
    fn at_startup_another_limit_holds() {
        let mut early = count(When::OnFailure, Some(5), Some(0));
        assert_eq!(early.after(ended(1, SHORT), 0), Verdict::GiveUp(0));
        let mut late = count(When::OnFailure, None, Some(0));
        assert_eq!(late.after(ended(1, LONG), 0), AGAIN);
        for _ in 0..100 {
            assert_eq!(late.after(ended(1, SHORT), 0), AGAIN);
        }
    }

    #[test]
    fn which_ends_are_restarted() {
        for (when, code, failed, verdict) in [
            (When::OnFailure, 0, false, Verdict::Finished),
            (When::OnFailure, 1, false, AGAIN),
            (When::OnFailure, 0, true, AGAIN),
            (When::Always, 0, false, AGAIN),
            (When::Never, 1, false, Verdict::Finished),
            (When::Never, 0, true, Verdict::Finished),
        ] {
            let attempt = Attempt {
                failed,
                ..ended(code, SHORT)
            };
            let mut count = count(when, None, None);
            assert_eq!(count.after(attempt, 0), verdict, "{when:?} {code} {failed}");
        }
    }
}
