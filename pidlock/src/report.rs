//! Records on standard output, words on standard error.

use std::fs::File;
use std::path::Path;

use treekill::describe::{describe, local_user_name, user_of};
use treekill::pidfile::{self, Held};
use treekill::record::{Field, Output, escape};
use treekill::table::{Proc, Stat};

use crate::exit::State;

/// FILE as it stands in messages.
#[must_use]
pub(crate) fn name(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// Who holds FILE, in words for people.
#[must_use]
pub(crate) fn held_words(held: Held) -> String {
    match held {
        Held::Running { command, .. } => format!("held by {}", process_words(command)),
        Held::Changing { keeper } => {
            format!("held by {}, which does not get on", process_words(keeper))
        }
        Held::Elsewhere { .. } => "held by a process outside this PID namespace".to_owned(),
        Held::Foreign {
            taken_by: Some(pid),
        } => {
            format!("held through flock, taken by {}", process_words(pid))
        }
        Held::Foreign { taken_by: None } | Held::Nobody => "held through flock".to_owned(),
    }
}

/// Who holds the open file now, in words for people.
#[must_use]
pub(crate) fn holder_words(file: &File) -> String {
    pidfile::holder(file).map_or_else(|_| "held".to_owned(), held_words)
}

fn process_words(pid: i32) -> String {
    match look_at(pid) {
        Some((proc, stat)) => {
            let name = describe(&proc, &stat).name;
            format!("process {pid} ({})", escape(&name))
        }
        None => format!("process {pid}"),
    }
}

fn look_at(pid: i32) -> Option<(Proc, Stat)> {
    let proc = Proc::open().ok()?;
    let stat = proc.stat(pid)?;
    Some((proc, stat))
}

/// The record of `--status`: how FILE stands, and the process that holds it, as far as both are
/// known.
pub(crate) fn status(out: &mut Output, state: State, holder: Option<i32>) {
    let mut user = Field::Unknown;
    let mut started = Field::Unknown;
    let mut name = Field::Unknown;
    let mut cmdline = Field::Unknown;
    if let Some((proc, stat)) = holder.and_then(look_at) {
        let description = describe(&proc, &stat);
        user = user_of(&proc, stat.pid()).map(local_user_name).into();
        started = stat.identity.started().into();
        name = Field::text(description.name);
        cmdline = Field::text(description.cmdline);
    }
    out.prefix_record(
        6,
        &[
            ("state", state.word().into()),
            ("pid", holder.into()),
            ("user", user),
            ("started", started),
            ("name", name),
            ("cmdline", cmdline),
        ],
    );
}

/// A PID alone.
pub(crate) fn pid(out: &mut Output, pid: Option<i32>) {
    let field = Field::from(pid);
    out.prefix_record(1, &[("pid", field)]);
}
