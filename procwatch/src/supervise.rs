//! The life of COMMAND, in the order in which it happens.

use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::io;

use nix::sys::prctl;
use treekill::duration::millis;
use treekill::exec::{self, Ending};
use treekill::signal::Signal;

use crate::child::{Child, Program};
use crate::exit::Exit;
use crate::health::Health;
use crate::leftovers::Leftovers;
use crate::log::Log;
use crate::memory::Memory;
use crate::oom::OomKills;
use crate::plan::Plan;
use crate::report::{Reason, Report, Run};
use crate::restart::{Attempt, Count, Verdict};
use crate::signals::Signals;
use crate::stop::{Stop, Target};
use crate::wait::Waiter;

/// Runs one COMMAND over and over.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    pub(crate) waiter: Waiter,
    pub(crate) leftovers: Leftovers,
    count: Count,
    command: Program,
    before: Option<Program>,
    after: Option<Program>,
    pub(crate) health: Option<Health>,
    pub(crate) memory: Option<Memory>,
    oom: OomKills,
    pub(crate) may_suspend: bool,
    pub(crate) stop: Stop,
    last: Option<Ending>,
    /// Whether something that was started could not be ended.
    pub(crate) is_unclean: bool,
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
            is_unclean: false,
        })
    }

    /// Runs COMMAND until it is not to be started again, and everything is ended and written.
    pub(crate) fn run(mut self) -> Exit {
        let exit = self.repeat();
        if let Some(log) = self.waiter.log() {
            log.close();
        }
        if self.is_unclean {
            return Exit::DoesNotHold;
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
            // Nothing is started beside what an earlier run has left.
            if self.stop.told > 0 || self.is_unclean {
                return self.stopped();
            }
            match self.count.after(attempt, chance()) {
                Verdict::Finished => return Exit::As(attempt.ending),
                Verdict::GiveUp(restarts) => {
                    self.report.gave_up(restarts, attempt);
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
                self.clear();
                return if self.last.is_some() {
                    Ran::Once(Attempt::failed_start(Ending::Code(code)))
                } else {
                    Ran::Never(code)
                };
            }
        };
        self.report.started(child.pid, self.count.total());
        self.begin_checks();
        if self.last.is_none() {
            treekill::sys::give_back_text();
        }
        let ending = self.watch(Target::Command(child));
        self.end_checks();
        let Some(ending) = ending else {
            return Ran::Not;
        };
        let run = self.ended(child, ending);
        self.clear();
        self.run_after(&run);
        Ran::Once(Attempt {
            ending,
            uptime: run.uptime,
            failed: run.reason != Reason::Exit,
        })
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
        let ending = started
            .ok()
            .and_then(|child| self.watch(Target::Before(child)));
        if ending == Some(Ending::Code(0)) && self.stop.told == 0 {
            return None;
        }
        self.clear();
        if self.stop.told > 0 {
            return Some(Ran::Not);
        }
        self.report.hook_failed("before", ending);
        let ending = ending.unwrap_or(Ending::Code(exec::NOT_FOUND));
        Some(Ran::Once(Attempt::failed_start(ending)))
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
        let ending = hook.start().ok();
        let ending = ending.and_then(|child| self.watch(Target::After(child)));
        if ending != Some(Ending::Code(0)) {
            self.report.hook_failed("after", ending);
        }
        self.clear();
    }
}

fn unable(report: &mut Report, file: &OsStr, error: &io::Error) -> Exit {
    report.cannot(file, error);
    Exit::Unable
}

/// Any number, new each time: the seed of a hasher comes from the system (getrandom(2)).
fn chance() -> u64 {
    RandomState::new().hash_one(0)
}
