//! What signals make us do, and how COMMAND is stopped.

use std::time::Duration;

use treekill::duration::{Deadline, FOREVER};
use treekill::signal::Signal;

use crate::child::Child;
use crate::front::suspend;
use crate::report::Reason;
use crate::signals::{Arrived, Order, reached, suspending};
use crate::supervise::Supervisor;

/// Whom a signal that comes meanwhile is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// COMMAND runs.
    Command(Child),
    /// A hook runs that is stopped when we are.
    Before(Child),
    /// A hook runs that may finish when we are stopped.
    After(Child),
    /// Nothing runs but leftovers.
    Nobody,
}

impl Target {
    /// The child that runs.
    pub(crate) fn child(self) -> Option<Child> {
        match self {
            Self::Command(child) | Self::Before(child) | Self::After(child) => Some(child),
            Self::Nobody => None,
        }
    }
}

/// How often and why we were told to stop, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// How often we were told; then nothing is started any more.
    pub(crate) told: u32,
    /// By which signal, the first time.
    pub(crate) by: Option<Signal>,
    /// Whether the child that runs was sent the stop signal.
    pub(crate) sent: bool,
    /// When everything that is left is killed.
    pub(crate) kill_at: Option<Deadline>,
    /// Kills that left something alive.
    pub(crate) futile: u32,
    /// Why COMMAND is being stopped to be started again.
    pub(crate) restart: Option<Reason>,
    /// Whether we have killed.
    pub(crate) has_killed: bool,
}

/// Told this often, everything is killed at once.
const IMPATIENT: u32 = 3;

impl Supervisor {
    /// Does what a signal means.
    pub(crate) fn obey(&mut self, arrived: Arrived, order: Order, target: Target) {
        let child = target.child();
        let has_reached = child.is_some_and(|child| reached(arrived, child.pid));
        match (order, target) {
            (Order::Stop(signal), _) => self.tell(signal, target, has_reached),
            (Order::Pass(_), Target::Command(_)) if has_reached => {}
            (Order::Pass(signal), Target::Command(child)) => child.signal(signal),
            // A plain init has no COMMAND yet, or no more: nobody else would act on it.
            (Order::Pass(signal), _) if self.plan.plain_init && ends_us(signal) => {
                self.tell(signal, target, has_reached);
            }
            (Order::Suspend(signal), _) => {
                if let (Some(child), false) = (child, has_reached) {
                    let signal = suspending(self.leftovers.proc(), child.pid, signal);
                    child.signal(signal);
                }
                if self.may_suspend {
                    suspend(arrived);
                }
            }
            _ => {}
        }
    }

    /// We were told to stop.
    fn tell(&mut self, by: Signal, target: Target, has_reached: bool) {
        self.stop.told += 1;
        self.stop.by.get_or_insert(by);
        let is_impatient = self.stop.told >= IMPATIENT;
        let grace = if is_impatient {
            Duration::ZERO
        } else {
            self.plan.grace
        };
        let kill_at = Deadline::after(grace);
        self.stop.kill_at = Some(self.kill_at().earlier(kill_at));
        let signal = if has_reached {
            by
        } else {
            self.plan.stop_signal
        };
        if self.stop.told == 1 {
            let pid = target.child().map(|child| child.pid);
            self.report.stopping(pid, signal, Reason::Stop);
        }
        if let Target::Command(child) | Target::Before(child) = target {
            if !has_reached && !self.stop.sent {
                self.send_stop(child);
            }
        }
    }

    /// Stops COMMAND in order, to start it again.
    pub(crate) fn stop_to_restart(&mut self, child: Child, reason: Reason) {
        if self.stop.kill_at.is_some() {
            return;
        }
        self.stop.restart = Some(reason);
        self.stop.kill_at = Some(Deadline::after(self.plan.grace));
        self.report
            .stopping(Some(child.pid), self.plan.stop_signal, reason);
        self.send_stop(child);
    }

    fn send_stop(&mut self, child: Child) {
        self.end_checks();
        self.stop.sent = true;
        child.signal(self.plan.stop_signal);
        // A stopped process acts on the signal only once it goes on.
        child.signal(Signal::CONT);
    }

    /// When everything that is left is killed.
    pub(crate) fn kill_at(&self) -> Deadline {
        self.stop
            .kill_at
            .unwrap_or_else(|| Deadline::after(FOREVER))
    }
}

/// The signals by which a plain init is told to end while it has no COMMAND any more.
fn ends_us(signal: Signal) -> bool {
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP].contains(&signal.number())
}
