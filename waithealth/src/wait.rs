//! Waiting for all targets at once, and what comes of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Named};
use treekill::duration::{Deadline, FOREVER};
use treekill::exec::Ending;
use treekill::record::escape;
use treekill::signal::Signal;

use crate::answer::{Answer, in_words};
use crate::attempts::{Event, Rhythm};
use crate::cli::Plan;
use crate::exit::Exit;
use crate::mailbox::Mailbox;
use crate::probe::{Probe, Running, Shared};
use crate::report::Report;
use crate::target::Target;
use crate::watched::Life;

/// How often the live line on a terminal is brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// Where a target stands.
struct Standing {
    label: String,
    /// The last thing it said.
    said: Option<Answer>,
    /// Whether it passed, once that is decided.
    passed: Option<bool>,
}

/// All targets, and the attempts that are being made at them.
struct Board<'a> {
    plan: &'a Plan,
    rhythm: Rhythm,
    standings: Vec<Standing>,
    attempts: Arc<[AtomicU32]>,
    report: &'a mut Report,
    /// The commands of `exec:` targets.
    running: Arc<Running>,
    /// The processes that must live on, and what they are called.
    lives: Vec<(String, Arc<Life>)>,
}

/// Waits until the targets are what was asked for, or the time has run out.
pub(crate) fn wait(plan: &Plan, shared: &Arc<Shared>, report: &mut Report) -> Exit {
    let standing = |label: &String| Standing {
        label: label.clone(),
        said: None,
        passed: None,
    };
    let mut lives = Vec::new();
    for watched in &plan.watched {
        match watched.look() {
            Ok(life) => lives.push((watched.label(), Arc::new(life))),
            Err(why) => {
                report.words.fail(why);
                return Exit::Usage;
            }
        }
    }
    let mut board = Board {
        plan,
        rhythm: Rhythm::new(plan),
        standings: plan
            .targets
            .iter()
            .map(|target| standing(&target.label))
            .collect(),
        attempts: plan.targets.iter().map(|_| AtomicU32::new(0)).collect(),
        report,
        running: Arc::default(),
        lives,
    };
    if let Some(gone) = board.gone() {
        return board.finish(Some(&gone));
    }
    let mask = SigSet::thread_get_mask();
    let events = Mailbox::new();
    if let Err(error) = board.start(shared, &events) {
        let why = treekill::exec::os_words(&error);
        board
            .report
            .words
            .fail(format_args!("cannot start a thread: {why}"));
        return Exit::Usage;
    }
    let told = board.listen(&events);
    board.report.words.settle();
    board.running.end_all();
    if let Some(signal) = told {
        Ending::Signal(signal).repeat();
    }
    if let Ok(mask) = mask {
        // As it was, for COMMAND.
        let _ = mask.thread_set_mask();
    }
    // Who answered may have been another one.
    let gone = board.gone();
    board.finish(gone.as_deref())
}

impl Board<'_> {
    /// Starts the attempts at every target, side by side; makes them here where nothing else is to
    /// be done meanwhile.
    fn start(&self, shared: &Arc<Shared>, events: &Mailbox<Event>) -> io::Result<()> {
        let probe = |target: &Target| {
            Probe::new(target.kind.clone(), self.plan.family, shared, &self.running)
        };
        let probes: Vec<Probe> = self.plan.targets.iter().map(probe).collect();
        if self.plan.targets.iter().any(Target::is_command) {
            catch_signals(events.clone())?;
        }
        for (_, life) in &self.lives {
            let (life, events) = (Arc::clone(life), events.clone());
            let wait = move || {
                life.wait_for_its_end();
                events.put(Event::Gone);
            };
            std::thread::Builder::new()
                .name("watched".into())
                .spawn(wait)?;
        }
        for (place, mut probe) in probes.into_iter().enumerate() {
            let (rhythm, attempts, events) =
                (self.rhythm, Arc::clone(&self.attempts), events.clone());
            let mut work = move || rhythm.run(place, &mut probe, &attempts, &events);
            if self.may_attempt_here() {
                work();
            } else {
                std::thread::Builder::new()
                    .name("target".into())
                    .spawn(work)?;
            }
        }
        Ok(())
    }

    /// Whether there is nothing to attend to but one attempt, which ends in time by itself. A
    /// thread for it would be a sixth of what a health check costs.
    fn may_attempt_here(&self) -> bool {
        let [target] = &self.plan.targets[..] else {
            return false;
        };
        let nothing_else = self.lives.is_empty() && !self.report.words.has_live_line();
        self.rhythm.single && target.ends_in_time() && nothing_else
    }

    /// Takes in what the attempts say until nothing more can change, or we are told to end.
    fn listen(&mut self, events: &Mailbox<Event>) -> Option<Signal> {
        let live = self.report.words.has_live_line();
        while !self.is_over() {
            let end = self.rhythm.end;
            let tick = Deadline::after(if live { TICK } else { FOREVER });
            match events.take(end.earlier(tick)) {
                Some(Event::Told(signal)) => return Some(signal),
                Some(Event::Gone) => return None,
                Some(Event::Says(place, answer)) => self.says(place, answer),
                Some(Event::Decided(place, answer, passed)) => self.decided(place, answer, passed),
                None if end.passed() => return None,
                None => {}
            }
            self.show_live_line();
        }
        None
    }

    fn is_over(&self) -> bool {
        let mut verdicts = self.standings.iter().map(|standing| standing.passed);
        if self.plan.any && verdicts.clone().any(|passed| passed == Some(true)) {
            return true;
        }
        verdicts.all(|passed| passed.is_some())
    }

    fn says(&mut self, place: usize, answer: Answer) {
        let standing = &mut self.standings[place];
        self.report.step(&standing.label, &answer);
        standing.said = Some(answer);
    }

    fn decided(&mut self, place: usize, answer: Answer, passed: bool) {
        let standing = &mut self.standings[place];
        standing.passed = Some(passed);
        match &answer.printed {
            Some(text) if passed => self.report.print(text),
            _ => {
                let made = self.attempts[place].load(Ordering::Relaxed);
                let elapsed = self.rhythm.began.elapsed();
                self.report.record(&standing.label, elapsed, made, &answer);
            }
        }
        standing.said = Some(answer);
    }

    fn show_live_line(&mut self) {
        let mut waiting = self
            .standings
            .iter()
            .filter(|standing| standing.passed.is_none());
        let Some(first) = waiting.next() else { return };
        let others = match waiting.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let detail = first
            .said
            .as_ref()
            .map_or("no answer yet", |answer| &answer.detail);
        self.report.words.waiting(format_args!(
            "{}s: {}: {}{others}",
            self.rhythm.began.elapsed().as_secs(),
            escape(first.label.as_bytes()),
            escape(detail.as_bytes()),
        ));
    }

    /// Says which of the watched processes is gone.
    fn gone(&self) -> Option<String> {
        let gone = self.lives.iter().find(|(_, life)| life.is_over());
        gone.map(|(label, _)| format!("{label} is gone"))
    }

    /// Decides what is still open, and the whole.
    fn finish(&mut self, gone: Option<&str>) -> Exit {
        let passed = |standing: &Standing| standing.passed == Some(true);
        let done = match self.plan.any {
            true => self.standings.iter().any(passed),
            false => self.standings.iter().all(passed),
        };
        if done && gone.is_none() {
            return Exit::Healthy;
        }
        let elapsed = self.rhythm.began.elapsed();
        let wanted = if self.plan.down { "down" } else { "healthy" };
        let why = match gone {
            Some(gone) => gone.to_owned(),
            None => format!("not {wanted} in {}", in_words(elapsed)),
        };
        for (place, standing) in self.standings.iter().enumerate() {
            let said = standing.said.clone();
            let said = said.unwrap_or_else(|| Answer::silence().after(elapsed));
            if standing.passed.is_none() {
                let made = self.attempts[place].load(Ordering::Relaxed);
                self.report.record(&standing.label, elapsed, made, &said);
            }
            if standing.passed != Some(true) && !self.plan.once {
                self.report.gave_up(&standing.label, &said, &why);
            }
        }
        let Some(gone) = gone else {
            return Exit::TimeOut;
        };
        if done {
            self.report.words.say(gone);
        }
        Exit::Unhealthy
    }
}

/// Lets the signals that end us arrive as events: the commands that run must end first.
fn catch_signals(events: Mailbox<Event>) -> io::Result<()> {
    let mut ending = SigSet::empty();
    for signal in [Named::SIGINT, Named::SIGTERM, Named::SIGHUP, Named::SIGQUIT] {
        ending.add(signal);
    }
    // Every thread that starts from here on inherits this.
    ending.thread_block()?;
    let wait = move || {
        if let Ok(signal) = ending.wait() {
            events.put(Event::Told(signal.into()));
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(wait)?;
    Ok(())
}
