//! The life of COMMAND, in the order in which it happens.

use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::time::Duration;

use nix::sys::prctl;
use treekill::duration::{Deadline, FOREVER, millis};
use treekill::exec::{self, Ending};
use treekill::signal::Signal;
use treekill::terminate;

use crate::child::{Child, Program};
use crate::exit::Exit;
use crate::front::suspend;
use crate::health::{Finding, Health};
use crate::leftovers::Leftovers;
use crate::log::Log;
use crate::memory::Memory;
use crate::oom::OomKills;
use crate::plan::Plan;
use crate::report::{Reason, Report, Run};
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
    /// Why COMMAND is being stopped to be started again.
    restart: Option<Reason>,
    /// Whether we have killed.
    has_killed: bool,
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
    health: Option<Health>,
    memory: Option<Memory>,
    oom: OomKills,
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
        let subreaper = prctl::set_child_subreaper(true).map_err(io::Error::from);
        let leftovers = match subreaper.and_then(|()| Leftovers::new()) {
            Ok(leftovers) => leftovers,
            Err(error) => return Err(unable(&mut report, OsStr::new("/proc"), &error)),
        };
        let mut plan = plan;
        let log = match plan.log.take() {
            Some(log) => {
                let file = log.file.clone();
                let opened = Log::open(log, &report);
                Some(opened.map_err(|error| unable(&mut report, file.as_os_str(), &error))?)
            }
            None => None,
        };
        let mask = signals.original();
        let logged = |program: Program| match &log {
            Some(log) => program.output_to(log.input()),
            None => Ok(program),
        };
        let hook = |line: &Option<_>| {
            let program = line.as_ref().map(|line| logged(Program::shell(line, mask)));
            program.transpose()
        };
        let programs = || {
            let command = Program::new(&plan.program, &plan.arguments, mask);
            Ok((logged(command)?, hook(&plan.before)?, hook(&plan.after)?))
        };
        let (command, before, after) =
            programs().map_err(|error| unable(&mut report, OsStr::new("the log"), &error))?;
        Ok(Self {
            leftovers,
            count: Count::new(plan.restart),
            command,
            before,
            after,
            health: plan.health.take().map(|plan| Health::new(plan, mask)),
            memory: plan.max_memory.map(Memory::new),
            oom: OomKills::new(),
            waiter: Waiter::new(signals, log),
            report,
            plan,
            may_suspend,
            stop: Stop::default(),
            last: None,
        })
    }

    /// Runs COMMAND until it is not to be started again, and everything is ended and written.
    pub(crate) fn run(mut self) -> Exit {
        let exit = self.repeat();
        if let Some(log) = self.waiter.log() {
            log.close();
        }
        exit
    }

    fn repeat(&mut self) -> Exit {
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
        self.begin_checks();
        let ending = self.watch(child);
        self.end_checks();
        let Some(ending) = ending else {
            return Ran::Not;
        };
        let run = self.ended(child, ending);
        self.clear();
        if let Some(log) = self.waiter.log() {
            log.end_of_run();
        }
        self.run_after(&run);
        Ran::Once(Attempt {
            ending,
            uptime: run.uptime,
            failed: run.reason != Reason::Exit,
        })
    }

    fn begin_checks(&mut self) {
        self.stop.restart = None;
        self.stop.has_killed = false;
        if let Some(health) = &mut self.health {
            health.begin();
        }
        if let Some(memory) = &mut self.memory {
            memory.begin();
        }
    }

    fn end_checks(&mut self) {
        if let Some(health) = &mut self.health {
            health.end();
        }
        if let Some(memory) = &mut self.memory {
            memory.end();
        }
    }

    /// Says how COMMAND ended and why.
    fn ended(&mut self, child: Child, ending: Ending) -> Run {
        let reason = match self.stop.restart {
            _ if self.stop.told > 0 => Reason::Stop,
            Some(reason) => reason,
            None => Reason::Exit,
        };
        let was_killed = ending == Ending::Signal(Signal::KILL) && !self.stop.has_killed;
        let run = Run {
            pid: child.pid,
            ending,
            uptime: child.uptime(),
            reason,
            oom_kills: if was_killed {
                self.oom.new_kills()
            } else {
                None
            },
        };
        self.last = Some(ending);
        self.report.ended(&run);
        run
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
    fn run_after(&mut self, run: &Run) {
        let Some(hook) = &mut self.after else { return };
        let exit = match run.ending {
            Ending::Code(code) => code.to_string(),
            Ending::Signal(signal) => format!("signal:{signal}"),
        };
        hook.env("PROCWATCH_PID", run.pid.to_string());
        hook.env("PROCWATCH_EXIT", exit);
        hook.env("PROCWATCH_RESTARTS", self.count.total().to_string());
        hook.env("PROCWATCH_UPTIME_MS", millis(run.uptime).to_string());
        hook.env("PROCWATCH_REASON", run.reason.word());
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
            match self.waiter.next(self.next_check().earlier(self.kill_at())) {
                Event::Ended(pid, ending) if pid == child.pid => return Some(ending),
                Event::Ended(pid, ending) => self.check_ended(pid, ending, child),
                Event::Signal(arrived, order) => self.obey(arrived, order, Some(child)),
                Event::Due => self.check(child),
            }
            if self.kill_at().passed() {
                self.kill();
            }
            if self.stop.futile >= FUTILE {
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

    /// Looks at health and memory where that is due.
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
                self.report.too_large(child.pid, bytes, limit);
                self.stop_to_restart(child, Reason::Memory);
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

    /// Stops COMMAND in order, to start it again.
    fn stop_to_restart(&mut self, child: Child, reason: Reason) {
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
        self.stop.has_killed = true;
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
            self.send_stop(child);
        }
    }
}

/// The signals by which a plain init is told to end while it has no COMMAND any more.
fn ends_us(signal: Signal) -> bool {
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP].contains(&signal.number())
}

fn unable(report: &mut Report, file: &OsStr, error: &io::Error) -> Exit {
    report.cannot(file, error);
    Exit::Unable
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
