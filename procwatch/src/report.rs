//! What is said: words for people on standard error, events for programs in their file. Standard
//! output is COMMAND's alone.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use treekill::common::Common;
use treekill::duration::millis;
use treekill::exec::{self, Ending};
use treekill::record::{Field, Named, escape};
use treekill::signal::Signal;
use treekill::words::Words;

use crate::events::Events;
use crate::plan::Plan;
use crate::restart::Attempt;
use crate::size;

/// Why COMMAND ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Of itself, or somebody else ended it.
    Exit,
    /// We were told to stop.
    Stop,
    /// Its health check failed too often.
    Unhealthy,
    /// Its tree used too much memory.
    Memory,
}

impl Reason {
    /// The word of events and of `PROCWATCH_REASON`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Stop => "stop",
            Self::Unhealthy => "unhealthy",
            Self::Memory => "memory",
        }
    }
}

/// One run of COMMAND, from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its PID.
    pub(crate) pid: i32,
    /// How it ended.
    pub(crate) ending: Ending,
    /// How long it ran.
    pub(crate) uptime: Duration,
    /// Why it ended.
    pub(crate) reason: Reason,
    /// Ended by a KILL that was not ours: what the memory cgroup counted meanwhile.
    pub(crate) oom_kills: Option<u64>,
}

/// The streams of procwatch.
#[derive(Debug)]
pub(crate) struct Report {
    words: Words,
    events: Option<Events>,
    name: String,
    events_failed: bool,
}

impl Report {
    /// Opens the file of events, if there is to be one.
    ///
    /// # Errors
    /// Where it cannot be opened; that has been said then.
    pub(crate) fn open(plan: &Plan, common: Common) -> Result<Self, ()> {
        let (_, words) = common.streams("procwatch");
        let name = Path::new(&plan.program).file_name();
        let mut report = Self {
            words,
            events: None,
            name: escape(name.unwrap_or(OsStr::new("COMMAND")).as_bytes()),
            events_failed: false,
        };
        if let Some(file) = &plan.events {
            match Events::open(file.clone()) {
                Ok(events) => report.events = Some(events),
                Err(error) => {
                    report.cannot(file.as_os_str(), &error);
                    return Err(());
                }
            }
        }
        Ok(report)
    }

    /// The same streams, for the thread that writes the log.
    pub(crate) fn twin(&self) -> Self {
        Self {
            words: Words::new("procwatch", self.words.loudness()),
            events: self.events.clone(),
            name: self.name.clone(),
            events_failed: false,
        }
    }

    /// Says that a file cannot be used: goes with exit code 125.
    pub(crate) fn cannot(&mut self, file: &OsStr, error: &io::Error) {
        let (file, why) = (escape(file.as_bytes()), exec::os_words(error));
        self.words.fail(format_args!("{file}: {why}"));
    }

    fn event(&mut self, event: &str, fields: &[Named]) {
        let Some(events) = &self.events else { return };
        match events.write(event, fields) {
            Ok(()) => self.events_failed = false,
            Err(_) if self.events_failed => {}
            Err(error) => {
                self.events_failed = true;
                let why = exec::os_words(&error);
                self.words
                    .say(format_args!("the events: cannot write: {why}"));
            }
        }
    }

    /// COMMAND runs.
    pub(crate) fn started(&mut self, pid: i32, restarts: u64) {
        self.words
            .step(format_args!("{} runs as PID {pid}", self.name));
        let fields = [("pid", pid.into()), ("restarts", restarts.into())];
        self.event("start", &fields);
    }

    /// COMMAND could not be executed.
    pub(crate) fn not_started(&mut self, words: &str) {
        self.words.say(words);
        self.event("start-failed", &[("detail", words.into())]);
    }

    /// A hook failed.
    pub(crate) fn hook_failed(&mut self, hook: &'static str, how: Option<Ending>) {
        let how = how.map_or_else(|| "cannot run sh".to_owned(), ended_words);
        self.words.say(format_args!("--{hook}: {how}"));
        self.event(
            "hook-failed",
            &[("hook", hook.into()), ("detail", how.into())],
        );
    }

    /// COMMAND ended.
    pub(crate) fn ended(&mut self, run: &Run) {
        let Run {
            pid,
            ending,
            uptime,
            reason,
            oom_kills,
        } = *run;
        let name = &self.name;
        let text = format!(
            "{name} (PID {pid}) {} after {}{}",
            ended_words(ending),
            length(uptime),
            oom_words(oom_kills)
        );
        if reason == Reason::Exit && ending != Ending::Code(0) {
            self.words.say(text);
        } else {
            self.words.step(text);
        }
        let (code, signal) = code_and_signal(ending);
        let fields = [
            ("pid", pid.into()),
            ("code", code),
            ("signal", signal),
            ("uptime_ms", millis(uptime).into()),
            ("reason", reason.word().into()),
            ("oom_kills", oom_kills.map_or(Field::Unknown, Field::number)),
        ];
        self.event("exit", &fields);
    }

    /// A health check passed, the first time since the start or since a failure.
    pub(crate) fn healthy(&mut self, pid: i32) {
        self.words.step(format_args!("{} is healthy", self.name));
        self.event("healthy", &[("pid", pid.into())]);
    }

    /// A health check failed, so many times in a row.
    pub(crate) fn failing(&mut self, failures: u32) {
        self.words.step(format_args!(
            "{}: the health check failed ({failures} in a row)",
            self.name
        ));
    }

    /// So many health checks failed in a row.
    pub(crate) fn unhealthy(&mut self, pid: i32, failures: u32) {
        self.words.say(format_args!(
            "{} (PID {pid}) is unhealthy: {failures} health checks failed",
            self.name
        ));
        let fields = [("pid", pid.into()), ("failures", Field::number(failures))];
        self.event("unhealthy", &fields);
    }

    /// The tree uses so many bytes, though more are resident where shared pages count each time.
    pub(crate) fn measured(&mut self, bytes: u64) {
        let used = size::words(bytes);
        self.words.step(format_args!(
            "{} uses {used} of memory, less than is resident",
            self.name
        ));
    }

    /// The tree uses so many bytes, which is too much.
    pub(crate) fn too_large(&mut self, pid: i32, bytes: u64, limit: u64) {
        let (used, allowed) = (size::words(bytes), size::words(limit));
        self.words.say(format_args!(
            "{} (PID {pid}) uses {used} of memory, {allowed} are allowed",
            self.name
        ));
        let fields = [
            ("pid", pid.into()),
            ("bytes", bytes.into()),
            ("limit", limit.into()),
        ];
        self.event("memory", &fields);
    }

    /// The log cannot be written as it should.
    pub(crate) fn log_trouble(&mut self, why: &str) {
        self.words.say(format_args!("the log: {why}"));
        self.event("log-trouble", &[("detail", why.into())]);
    }

    /// So many bytes of output could not be written; says nothing of none.
    pub(crate) fn log_lost(&mut self, bytes: u64) {
        if bytes > 0 {
            let lost = size::words(bytes);
            self.words
                .say(format_args!("the log: {lost} bytes of output were lost"));
            self.event("log-lost", &[("bytes", bytes.into())]);
        }
    }

    /// A signal is being sent to stop COMMAND, for this reason.
    pub(crate) fn stopping(&mut self, pid: Option<i32>, signal: Signal, reason: Reason) {
        self.words
            .step(format_args!("stopping ({})", reason.word()));
        let fields = [
            ("pid", pid.into()),
            ("signal", signal.to_string().into()),
            ("reason", reason.word().into()),
        ];
        self.event("stop", &fields);
    }

    /// So many processes that COMMAND left behind are asked to end.
    pub(crate) fn leftovers(&mut self, pids: &[i32]) {
        let list: Vec<String> = pids.iter().map(i32::to_string).collect();
        let count = list.len();
        self.words.step(format_args!(
            "ending {count} that {} left behind: PID {}",
            self.name,
            list.join(" ")
        ));
        self.event("leftovers", &[("count", Field::number(count))]);
    }

    /// The system did not let us look for what is left, or kill it.
    pub(crate) fn not_killed(&mut self, error: &io::Error) {
        self.words.say(format_args!(
            "what {} started cannot be ended: {}",
            self.name,
            exec::os_words(error)
        ));
    }

    /// So many processes outlived the grace and were killed; so many are still there.
    pub(crate) fn killed(&mut self, killed: usize, alive: usize) {
        if alive > 0 {
            self.words.say(format_args!(
                "{alive} of what {} started cannot be ended",
                self.name
            ));
        } else {
            self.words
                .step(format_args!("killed {killed} after the grace"));
        }
        let fields = [
            ("killed", Field::number(killed)),
            ("alive", Field::number(alive)),
        ];
        self.event("kill", &fields);
    }

    /// A restart comes after this pause.
    pub(crate) fn pausing(&mut self, pause: Duration, (restart, limit): (u32, Option<u32>)) {
        let of = limit.map_or(String::new(), |limit| format!(" of {limit}"));
        let when = length(pause);
        self.words.say(format_args!(
            "starting {} again in {when} (restart {restart}{of})",
            self.name
        ));
        let fields = [
            ("pause_ms", millis(pause).into()),
            ("restart", Field::number(restart)),
            ("limit", limit.map(Field::number).unwrap_or(Field::Unknown)),
        ];
        self.event("backoff", &fields);
    }

    /// There are no more restarts.
    pub(crate) fn gave_up(&mut self, restarts: u32, last: Attempt) {
        let name = &self.name;
        let how = if last.is_failed_start() {
            "its start failed".to_owned()
        } else {
            format!("it {}", ended_words(last.ending))
        };
        self.words.say(match restarts {
            0 => format!("{name}: gave up: {how} before it was stable"),
            1 => format!("{name}: gave up after 1 restart: {how}"),
            _ => format!("{name}: gave up after {restarts} restarts in a row: {how}"),
        });
        let (code, signal) = code_and_signal(last.ending);
        let fields = [
            ("restarts", Field::number(restarts)),
            ("code", code),
            ("signal", signal),
        ];
        self.event("give-up", &fields);
    }
}

/// `ended with 3`, `was ended by KILL`.
fn ended_words(ending: Ending) -> String {
    match ending {
        Ending::Code(code) => format!("ended with {code}"),
        Ending::Signal(signal) => format!("was ended by {signal}"),
    }
}

/// What the memory cgroup says about a KILL that was not ours.
fn oom_words(kills: Option<u64>) -> &'static str {
    match kills {
        Some(0) => ", not out of memory",
        Some(_) => ", probably out of memory",
        None => "",
    }
}

fn code_and_signal(ending: Ending) -> (Field, Field) {
    match ending {
        Ending::Code(code) => (i32::from(code).into(), Field::Unknown),
        Ending::Signal(signal) => (Field::Unknown, signal.to_string().into()),
    }
}

/// A length of time as people say it: `20ms`, `3.2s`, `5m12s`, `3h5m`.
fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => format!("{}ms", length.as_millis()),
        1..60 => format!("{:.1}s", length.as_secs_f64()),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}
