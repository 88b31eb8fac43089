//! The attempts at one target, in a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use treekill::duration::Deadline;
use treekill::signal::Signal;

use crate::answer::{Answer, Health};
use crate::cli::Plan;
use crate::mailbox::Mailbox;
use crate::pause::pause;
use crate::probe::Probe;

/// What the attempts tell whoever waits for them.
#[derive(Debug)]
pub(crate) enum Event {
    /// A target answers otherwise than before.
    Says(usize, Answer),
    /// No further attempt is made: it passed, or there was only this one.
    Decided(usize, Answer, bool),
    /// A process that had to live on is gone.
    Gone,
    /// We are told to end.
    Told(Signal),
}

/// How the attempts at a target go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    /// When waithealth began to wait.
    pub began: Instant,
    /// When it ends.
    pub end: Deadline,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// A fixed pause.
    pub interval: Option<Duration>,
    /// One attempt alone.
    pub single: bool,
    /// Waits for refusal instead of health.
    pub down: bool,
    /// Passes in a row.
    pub successes: u32,
}

impl Rhythm {
    /// The rhythm that the plan asks for, beginning now.
    pub(crate) fn new(plan: &Plan) -> Self {
        let single = plan.once || plan.timeout.is_zero();
        let whole = if plan.timeout.is_zero() {
            plan.attempt_timeout
        } else {
            plan.timeout
        };
        Self {
            began: Instant::now(),
            end: Deadline::after(whole),
            attempt_timeout: plan.attempt_timeout,
            interval: plan.interval,
            single,
            down: plan.down,
            successes: plan.successes,
        }
    }

    fn passes(&self, answer: &Answer) -> bool {
        let wanted = if self.down {
            Health::Refused
        } else {
            Health::Healthy
        };
        answer.health == wanted
    }

    /// Makes attempts until the target is decided or the time has run out; `made` counts them.
    pub(crate) fn run(
        &self,
        target: usize,
        probe: &mut Probe,
        made: &Arc<[AtomicU32]>,
        events: &Mailbox<Event>,
    ) {
        let mut said: Option<Answer> = None;
        let mut row = 0;
        while !self.end.passed() {
            let start = Instant::now();
            made[target].fetch_add(1, Ordering::Relaxed);
            let deadline = Deadline::after(self.attempt_timeout).earlier(self.end);
            let given = deadline.remaining();
            let answer = probe.attempt(deadline).after(start.elapsed().min(given));
            row = if self.passes(&answer) { row + 1 } else { 0 };
            let passed = row >= self.successes;
            let health = answer.health;
            let event = if passed || self.single {
                Some(Event::Decided(target, answer, passed))
            } else if health == Health::Unanswered && self.end.passed() && said.is_some() {
                // Cut off, not said: what it said before stands.
                None
            } else if said.as_ref() != Some(&answer) {
                said = Some(answer.clone());
                Some(Event::Says(target, answer))
            } else {
                None
            };
            if let Some(event) = event {
                events.put(event);
            }
            if passed || self.single {
                return;
            }
            let pause = pause(self.interval, self.began.elapsed(), health);
            std::thread::sleep(pause.min(self.end.remaining()));
        }
    }
}
