//! Records on standard output, words on standard error.

use std::io::IsTerminal as _;

use treekill::describe::{Description, user_name, user_of};
use treekill::duration::millis;
use treekill::guard::Refusal;
use treekill::record::{Field, Format, Output, escape};
use treekill::signal::Signal;
use treekill::sys::terminal_columns;
use treekill::table::{Proc, Stat};
use treekill::terminate::{Ending, Outcome, Step};
use treekill::tree::{Member, Spared};
use treekill::words::Words;

use crate::drawing::drawn;

/// Both streams of treekill.
#[derive(Debug)]
pub(crate) struct Report {
    /// Standard output.
    pub(crate) out: Output,
    /// Standard error.
    pub(crate) words: Words,
}

impl Report {
    /// A process and what became of it; a failure is also said in words.
    pub(crate) fn outcome(&mut self, proc: &Proc, outcome: &Outcome) {
        let Description { name, cmdline } = &outcome.description;
        let stat = &outcome.member.stat;
        let signal = outcome.signal.map(|signal| signal.to_string());
        let plain = [
            Field::from(stat.pid()),
            Field::from(outcome.ending.word()),
            Field::text(name.clone()),
            Field::text(cmdline.clone()),
        ];
        let [pid, ending, name, cmdline] = plain.clone();
        let json = [
            ("pid", pid),
            ("ppid", Field::from(stat.ppid)),
            ("outcome", ending),
            ("signal", Field::from(signal)),
            ("elapsed_ms", Field::from(millis(outcome.elapsed))),
            ("name", name),
            ("cmdline", cmdline),
        ];
        self.out.record(&plain, &json);
        self.failure(proc, outcome);
    }

    fn failure(&mut self, proc: &Proc, outcome: &Outcome) {
        let who = who(&outcome.member.stat);
        match outcome.ending {
            Ending::Alive(state) => {
                let after = match outcome.signal {
                    Some(signal) => format!("still there after {signal}"),
                    None => "still there".into(),
                };
                let state = state_words(state);
                self.words.say(format_args!("{who}: {after}: {state}"));
            }
            Ending::Denied => {
                let pid = outcome.member.stat.pid();
                let owner = user_of(proc, pid).map_or("another user".into(), user_name);
                self.words.say(format_args!(
                    "{who}: not ours to signal: it belongs to {}",
                    escape(owner.as_bytes())
                ));
            }
            Ending::Term | Ending::Kill | Ending::Gone => {}
        }
    }

    /// Whether names and command lines are wanted at all.
    #[must_use]
    pub(crate) fn shows_records(&self) -> bool {
        self.out.format() != Format::Silent
    }

    /// The processes that would be signalled: records, or a drawing on a terminal.
    pub(crate) fn candidates(&mut self, members: Vec<(&Member, Description)>) {
        let is_drawn = self.out.format() == Format::Plain && std::io::stdout().is_terminal();
        if is_drawn {
            let width = terminal_columns(&std::io::stdout()).map_or(80, usize::from);
            for line in drawn(&members, width) {
                self.out.line(&line);
            }
            return;
        }
        for (member, description) in members {
            self.candidate(member, description);
        }
    }

    fn candidate(&mut self, member: &Member, description: Description) {
        self.out.prefix_record(
            5,
            &[
                ("pid", Field::from(member.stat.pid())),
                ("ppid", Field::from(member.stat.ppid)),
                ("depth", Field::number(member.depth)),
                ("name", Field::text(description.name)),
                ("cmdline", Field::text(description.cmdline)),
            ],
        );
    }

    /// A root that was named and is never signalled.
    pub(crate) fn refused(&mut self, stat: &Stat, refusal: Refusal) {
        let who = who(stat);
        self.words.say(format_args!("{who}: left alone: {refusal}"));
    }

    /// A process that belongs to the tree and is never signalled.
    pub(crate) fn spared(&mut self, spared: &Spared) {
        let who = who(&spared.stat);
        let refusal = spared.refusal;
        self.words
            .step(format_args!("{who}: left alone: {refusal}"));
    }

    /// What is being done.
    pub(crate) fn step(words: &mut Words, step: Step<'_>) {
        match step {
            Step::Signalled(member, signal) => {
                words.step(format_args!("{}: {signal}", who(&member.stat)));
            }
            Step::Waiting(left, grace) => {
                let seconds = grace.as_secs_f64();
                words.waiting(format_args!(
                    "waiting for {left}, {seconds:.0}s of grace left"
                ));
            }
            Step::Freezing(left) => words.step(format_args!("{left} left: freezing the tree")),
            Step::Killed(count) => words.step(format_args!("{} to {count}", Signal::KILL)),
        }
    }
}

/// A process in a message.
#[must_use]
pub(crate) fn who(stat: &Stat) -> String {
    format!("{} ({})", stat.pid(), escape(&stat.comm))
}

/// The letter of proc_pid_stat(5) in words.
fn state_words(state: u8) -> String {
    match state {
        b'D' => "in uninterruptible sleep".into(),
        b'R' => "running".into(),
        b'S' | b'I' => "sleeping".into(),
        b'T' => "stopped".into(),
        b't' => "stopped by a tracer".into(),
        b'Z' | b'X' => "ending".into(),
        other => format!("state {}", char::from(other)),
    }
}
