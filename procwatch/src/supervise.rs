//! The life of COMMAND, in the order in which it happens.

use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use nix::sys::prctl;
use treekill::duration::{Deadline, FOREVER, millis};
use treekill::exec::{self, Ending};
use treekill::signal::Signal;
use treekill::terminate;

use crate::child::{Child, Program};
use crate::exit::Exit;
use crate::front::suspend;
use crate::leftovers::Leftovers;
use crate::plan::Plan;
use crate::report::{Reason, Report};
use crate::restart::{Attempt, Count, Verdict};
use crate::signals::{Arrived, Order, Signals, reached, suspending};
use crate::wait::{Event, Waiter};

/// How often and why we were told to stop, and how far that is.
#[derive(Debug, Default)]
struct Stop {
    /// How often we were told; then nothing is started any more.
    told: u32,
    /// By which signal, the first time.
    by: Option<Signal>,
    /// Whether the child that runs was sent the stop signal.
    sent: bool,
    /// When everything that is left is killed.
    kill_at: Option<Deadline>,
    /// Kills that left something alive.
    futile: u32,
}

/// Told this often, everything is killed at once.
const IMPATIENT: u32 = 3;
/// What a kill has left alive is tried again after this long, and this often.
const AGAIN: Duration = Duration::from_secs(1);
const FUTILE: u32 = 3;
/// A hook that runs while we stop gets this long at least.
const LAST_HOOK: Duration = Duration::from_secs(1);
/// While leftovers end, they are looked at again after this long, and twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(250);

/// Runs one COMMAND over and over.
#[derive(Debug)]
pub(crate) struct Supervisor {
    plan: Plan,
    report: Report,
    waiter: Waiter,
    leftovers: Leftovers,
    count: Count,
    command: Program,
    before: Option<Program>,
    after: Option<Program>,
    may_suspend: bool,
    stop: Stop,
    last: Option<Ending>,
}

/// What became of one attempt to run COMMAND.
enum Ran {
    /// It, or what kept it from starting, ended.
    Once(Attempt),
    /// It cannot be executed at all.
    Never(u8),
    /// We were told to stop before it ran, or it cannot be ended.
    Not,
}

impl Supervisor {
    /// Becomes the subreaper of all that will be started. `may_suspend`: whether TSTP suspends
    /// this process after COMMAND.
    ///
    /// # Errors
    /// Where the system refuses what we cannot do without; that has been said then.
    pub(crate) fn new(
        plan: Plan,
        signals: Signals,
        mut report: Report,
        may_suspend: bool,
    ) -> Result<Self, Exit> {
        let subreaper = prctl::set_child_subreaper(true).map_err(std::io::Error::from);
        let leftovers = match subreaper.and_then(|()| Leftovers::new()) {
            Ok(leftovers) => leftovers,
            Err(error) => {
                report.cannot(OsStr::new("/proc"), &error);
                return Err(Exit::Unable);
            }
        };
        let mask = signals.original();
        let shell = |line: &Option<_>| line.as_ref().map(|line| Program::shell(line, mask));
        Ok(Self {
            leftovers,
            count: Count::new(plan.restart),
            command: Program::new(&plan.program, &plan.arguments, mask),
            before: shell(&plan.before),
            after: shell(&plan.after),
            waiter: Waiter::new(signals),
            report,
            plan,
            may_suspend,
            stop: Stop::default(),
            last: None,
        })
    }

    /// Runs COMMAND until it is not to be started again.
    pub(crate) fn run(mut self) -> Exit {
        loop {
            let attempt = match self.attempt() {
                Ran::Once(attempt) => attempt,
                Ran::Never(code) => return Exit::As(Ending::Code(code)),
                Ran::Not => return self.stopped(),
            };
            if self.stop.told > 0 {
                return self.stopped();
            }
            match self.count.after(attempt, chance()) {
                Verdict::Finished => return Exit::As(attempt.ending),
                Verdict::GiveUp(restarts) => {
                    self.report.gave_up(restarts, attempt.ending);
                    return match attempt.ending {
                        Ending::Code(0) => Exit::DoesNotHold,
                        ending => Exit::As(ending),
                    };
                }
                Verdict::Again(pause) => {
                    self.report.pausing(pause, self.count.in_a_row());
                    self.pause(pause);
                    if self.stop.told > 0 {
                        return self.stopped();
                    }
                }
            }
        }
    }

    /// The exit after a stop: COMMAND's last status, or the signal's if it never ran.
    fn stopped(&self) -> Exit {
        if self.stop.futile >= FUTILE {
            return Exit::DoesNotHold;
        }
        let by = self.stop.by.unwrap_or(Signal::TERM);
        Exit::As(self.last.unwrap_or(Ending::Signal(by)))
    }

    /// Before, start, watch, clear, after.
    fn attempt(&mut self) -> Ran {
        if let Some(failed) = self.run_before() {
            return failed;
        }
        let child = match self.command.start() {
            Ok(child) => child,
            Err(error) => {
                let words = exec::failure_words(&self.plan.program, &error);
                self.report.not_started(&words);
                let code = exec::failure_code(&error);
                return if self.last.is_some() {
                    failed_start(Ending::Code(code))
                } else {
                    Ran::Never(code)
                };
            }
        };
        self.report.started(child.pid, self.count.total());
        let Some(ending) = self.watch(child) else {
            return Ran::Not;
        };
        let uptime = child.uptime();
        let reason = if self.stop.told > 0 {
            Reason::Stop
        } else {
            Reason::Exit
        };
        self.last = Some(ending);
        self.report.ended(child.pid, ending, uptime, reason);
        self.clear();
        self.run_after(child.pid, ending, uptime, reason);
        Ran::Once(Attempt {
            ending,
            uptime,
            failed: false,
        })
    }

    /// Runs the hook before a start; what it came to, if that keeps COMMAND from starting.
    fn run_before(&mut self) -> Option<Ran> {
        let started = self.before.as_mut()?.start();
        let ending = started.ok().and_then(|child| self.watch(child));
        if ending == Some(Ending::Code(0)) && self.stop.told == 0 {
            return None;
        }
        self.clear();
        if self.stop.told > 0 {
            return Some(Ran::Not);
        }
        self.report.hook_failed("before", ending);
        Some(failed_start(
            ending.unwrap_or(Ending::Code(exec::NOT_FOUND)),
        ))
    }

    /// Runs the hook after an end, and ends what it leaves behind.
    fn run_after(&mut self, pid: i32, ending: Ending, uptime: Duration, reason: Reason) {
        let Some(hook) = &mut self.after else { return };
        let exit = match ending {
            Ending::Code(code) => code.to_string(),
            Ending::Signal(signal) => format!("signal:{signal}"),
        };
        hook.env("PROCWATCH_PID", pid.to_string());
        hook.env("PROCWATCH_EXIT", exit);
        hook.env("PROCWATCH_RESTARTS", self.count.total().to_string());
        hook.env("PROCWATCH_UPTIME_MS", millis(uptime).to_string());
        hook.env("PROCWATCH_REASON", reason.word());
        let ending = hook.start().ok().and_then(|child| self.watch(child));
        if ending != Some(Ending::Code(0)) {
            self.report.hook_failed("after", ending);
        }
        self.clear();
    }

    /// Waits until this child ends, obeying signals meanwhile; `None` when it cannot be ended.
    fn watch(&mut self, child: Child) -> Option<Ending> {
        self.stop.sent = false;
        if self.stop.told > 0 {
            let left = self
                .stop
                .kill_at
                .map_or(self.plan.grace, Deadline::remaining);
            self.stop.kill_at = Some(Deadline::after(left.max(LAST_HOOK)));
        }
        loop {
            match self.waiter.next(self.kill_at()) {
                Event::Ended(pid, ending) if pid == child.pid => return Some(ending),
                Event::Signal(arrived, order) => self.obey(arrived, order, Some(child)),
                Event::Ended(..) | Event::Due => {}
            }
            if self.kill_at().passed() {
                self.kill();
            }
            if self.stop.futile >= FUTILE {
                return None;
            }
        }
    }

    /// Waits, at least for what has come already, and returns early when told to stop.
    fn pause(&mut self, pause: Duration) {
        let end = Deadline::after(pause);
        while self.stop.told == 0 {
            match self.waiter.next(end) {
                Event::Due => return,
                Event::Signal(arrived, order) => self.obey(arrived, order, None),
                Event::Ended(..) => {}
            }
        }
    }

    /// Ends whatever is left below us, first by asking. Returns when waitpid(2) says that there
    /// is nothing left.
    fn clear(&mut self) {
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
                Event::Signal(arrived, order) => self.obey(arrived, order, None),
                Event::Ended(..) => {}
                Event::Due => pause = (pause * 2).min(LAST_LOOK),
            }
            if self.kill_at().passed() {
                self.kill();
            }
        }
        self.stop.futile = if self.stop.told > 0 {
            self.stop.futile
        } else {
            0
        };
        if self.stop.told == 0 {
            self.stop.kill_at = None;
        }
    }

    fn kill_at(&self) -> Deadline {
        self.stop
            .kill_at
            .unwrap_or_else(|| Deadline::after(FOREVER))
    }

    fn kill(&mut self) {
        let (mut killed, mut alive) = (0, 0);
        for outcome in self.leftovers.kill().unwrap_or_default() {
            match outcome.ending {
                terminate::Ending::Alive(_) | terminate::Ending::Denied => alive += 1,
                _ => killed += 1,
            }
        }
        self.report.killed(killed, alive);
        self.stop.futile += u32::from(alive > 0);
        self.stop.kill_at = Some(Deadline::after(AGAIN));
        self.waiter.reap();
    }

    /// Does what a signal means.
    fn obey(&mut self, arrived: Arrived, order: Order, child: Option<Child>) {
        let has_reached = child.is_some_and(|child| reached(arrived, child.pid));
        match (order, child) {
            (Order::Stop(signal), _) => self.tell(signal, child, has_reached),
            // Without a child there is nobody to pass it on to; what is left is being ended.
            (Order::Pass(signal), None) if self.plan.plain_init && ends_us(signal) => {
                self.tell(signal, None, false);
            }
            (Order::Pass(signal), Some(child)) if !has_reached => child.signal(signal),
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
    fn tell(&mut self, by: Signal, child: Option<Child>, has_reached: bool) {
        self.stop.told += 1;
        self.stop.by.get_or_insert(by);
        let impatient = self.stop.told >= IMPATIENT;
        let patience = if impatient {
            Duration::ZERO
        } else {
            self.plan.grace
        };
        let kill_at = Deadline::after(patience);
        self.stop.kill_at = Some(match self.stop.kill_at {
            Some(earlier) => earlier.earlier(kill_at),
            None => kill_at,
        });
        if self.stop.told == 1 {
            let signal = if has_reached {
                by
            } else {
                self.plan.stop_signal
            };
            let pid = child.map(|child| child.pid);
            self.report.stopping(pid, signal, Reason::Stop);
        }
        if let (Some(child), false, false) = (child, self.stop.sent, has_reached) {
            self.stop.sent = true;
            child.signal(self.plan.stop_signal);
            // A stopped process acts on the signal only once it goes on.
            child.signal(Signal::CONT);
        }
    }
}

/// The signals by which a plain init is told to end while it has no COMMAND any more.
fn ends_us(signal: Signal) -> bool {
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP].contains(&signal.number())
}

fn failed_start(ending: Ending) -> Ran {
    Ran::Once(Attempt {
        ending,
        uptime: Duration::ZERO,
        failed: true,
    })
}

/// Any number, new each time: the seed of a hasher comes from the system (getrandom(2)).
fn chance() -> u64 {
    RandomState::new().hash_one(0)
}
