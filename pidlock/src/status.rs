//! Asking about FILE without touching it: who holds it, and how it stands.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use treekill::exec::os_words;
use treekill::pidfile::{self, Contents, Held, Unusable};
use treekill::record::Output;
use treekill::words::Words;

use crate::exit::{Exit, State};
use crate::report;

/// `--status`: a record, and the code of the Linux Standard Base for it.
pub(crate) fn status(path: &Path, out: &mut Output, words: &mut Words) -> Exit {
    let (state, holder) = match look(path) {
        Ok(found) => found,
        Err(why) => {
            words.say(format_args!("{}: {why}", report::name(path)));
            (State::Unknown, None)
        }
    };
    report::status(out, state, holder);
    Exit::Status(state)
}

/// How FILE stands, and the process that makes it so.
fn look(path: &Path) -> Result<(State, Option<i32>), String> {
    let file = match pidfile::open(path) {
        Ok(file) => file,
        Err(Unusable::Missing) => return Ok((State::Free, None)),
        Err(error) => return Err(error.to_string()),
    };
    Ok(match settled(&file)? {
        Held::Running { command, .. } => (State::Running, Some(command)),
        Held::Elsewhere { .. } => (State::Running, None),
        Held::Changing { keeper } => (State::Ending, Some(keeper)),
        Held::Foreign { taken_by } => (State::Unknown, taken_by),
        Held::Nobody => match pidfile::contents(&file).map_err(|error| os_words(&error))? {
            Contents::Blank | Contents::Digits => (State::Stale, None),
            Contents::Other => return Err("it is no PID file, and nobody holds it".to_owned()),
        },
    })
}

/// Who holds FILE. A `pidlock` that starts has flock(2) alone for an instant: what looks like a
/// script is looked at again.
fn settled(file: &File) -> Result<Held, String> {
    let mut held = Held::Nobody;
    for pause in [0, 1, 5] {
        sleep(Duration::from_millis(pause));
        held = pidfile::holder(file).map_err(|error| os_words(&error))?;
        if !matches!(held, Held::Foreign { .. }) {
            break;
        }
    }
    Ok(held)
}

/// `--holder`: the PID of whoever holds the lock, COMMAND before its keeper.
pub(crate) fn holder(path: &Path, out: &mut Output, words: &mut Words) -> Exit {
    let held = match pidfile::open(path) {
        Ok(file) => settled(&file),
        Err(Unusable::Missing) => return Exit::NobodyHolds,
        Err(error) => Err(error.to_string()),
    };
    let pid = match held {
        Ok(Held::Nobody) => return Exit::NobodyHolds,
        Ok(Held::Running { command: pid, .. } | Held::Changing { keeper: pid }) => Some(pid),
        Ok(Held::Foreign { taken_by }) => taken_by,
        Ok(Held::Elsewhere { .. }) => None,
        Err(why) => {
            words.fail(format_args!("{}: {why}", report::name(path)));
            return Exit::Failed;
        }
    };
    if pid.is_none() {
        words.step("the kernel has no number for the holder here");
    }
    report::pid(out, pid);
    match out.check() {
        Ok(()) => Exit::Done,
        Err(error) => {
            words.fail(format_args!("standard output: {}", os_words(&error)));
            Exit::Failed
        }
    }
}
