//! Roots that are named: PIDs, PIDs on standard input, and PID files.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use treekill::duration::Deadline;
use treekill::exec::os_words;
use treekill::pidfile::{self, Held, Unusable};
use treekill::record::escape;
use treekill::table::{Proc, Stat, Table};
use treekill::tree::started_after;
use treekill::words::Words;

use crate::cli::{Name, pid};
use crate::exit::{Exit, Refused};

/// How long a FILE that is changing hands is looked at, before and after.
const PATIENCE: Duration = Duration::from_secs(5);

/// A root that was named.
#[derive(Debug)]
pub(crate) enum Root {
    /// A PID, of a process or of a dead one whose session may live.
    Number(i32),
    /// The process that a PID file means, looked at while that was certain.
    Process(Stat),
    /// The PID of a dead process in a file that was last written then.
    Dead(i32, SystemTime),
}

/// What was named.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// The roots, in their order.
    pub(crate) roots: Vec<Root>,
    /// Files that must be unlocked in the end.
    pub(crate) locked: Vec<Locked>,
    /// What could not be done already now.
    pub(crate) exit: Option<Exit>,
}

/// A PID file that is locked for its process.
#[derive(Debug)]
pub(crate) struct Locked {
    path: PathBuf,
    file: File,
    held: Held,
}

/// Reads what was named, before anybody is signalled.
///
/// # Errors
/// A bad PID on standard input, a PID file without a PID: nobody is to be signalled then.
pub(crate) fn read(names: &[Name], proc: &Proc, words: &mut Words) -> Result<Named, Refused> {
    let mut named = Named::default();
    for name in names {
        match name {
            Name::Pid(pid) => named.roots.push(Root::Number(*pid)),
            Name::Stdin => named.roots.extend(standard_input()?),
            Name::File(path) => named.read_file(path, proc, words)?,
        }
    }
    Ok(named)
}

fn standard_input() -> Result<Vec<Root>, Refused> {
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|error| Refused(format!("standard input: {}", os_words(&error))))?;
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| pid(word).map(Root::Number))
        .collect::<Result<_, _>>()
        .map_err(|why| Refused(format!("standard input: {why}")))
}

impl Named {
    fn read_file(&mut self, path: &Path, proc: &Proc, words: &mut Words) -> Result<(), Refused> {
        let shown = shown(path);
        let failed = |why: &str| Refused(format!("{shown}: {why}"));
        let file = match pidfile::open(path) {
            Ok(file) => file,
            Err(Unusable::Missing) => {
                words.step(format_args!("{shown}: there is no such file"));
                return Ok(());
            }
            Err(Unusable::System(error))
                if error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                words.say(format_args!("{shown}: {}", os_words(&error)));
                self.fail(Exit::Denied);
                return Ok(());
            }
            Err(why) => return Err(failed(&why.to_string())),
        };
        let held = settled(&file);
        match held {
            Held::Running { command, .. } => match holder_process(proc, &file, command) {
                Some(stat) => self.roots.push(Root::Process(stat)),
                None => words.step(format_args!("{shown}: {command} has just ended")),
            },
            Held::Elsewhere { .. } => {
                words.say(format_args!(
                    "{shown}: held by a process outside this PID namespace, which cannot be seen from here"
                ));
                self.fail(Exit::Left);
                return Ok(());
            }
            Held::Nobody | Held::Changing { .. } | Held::Foreign { .. } => {
                let number = pidfile::first_pid(&file)
                    .map_err(|error| failed(&os_words(&error)))?
                    .ok_or_else(|| failed("no PID in its first line"))?;
                let written =
                    pidfile::modified(&file).map_err(|error| failed(&os_words(&error)))?;
                self.roots
                    .extend(root_of_number(proc, number, written, &shown, words));
            }
        }
        if held != Held::Nobody {
            let path = path.to_owned();
            self.locked.push(Locked { path, file, held });
        }
        Ok(())
    }

    fn fail(&mut self, exit: Exit) {
        self.exit = Some(self.exit.map_or(exit, |before| before.and(exit)));
    }
}

/// Who holds the file once that is no matter of milliseconds any more. A file system without
/// locks holds none.
fn settled(file: &File) -> Held {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let held = pidfile::holder(file).unwrap_or(Held::Nobody);
        let is_changing = matches!(
            held,
            Held::Changing { .. } | Held::Elsewhere { command: false }
        );
        if !is_changing || deadline.passed() {
            return held;
        }
        sleep(Duration::from_millis(2));
    }
}

/// The process that holds the file. Asked twice: the process was looked at in between, so that
/// no other one can have had its number then.
fn holder_process(proc: &Proc, file: &File, command: i32) -> Option<Stat> {
    let stat = proc.stat(command)?;
    let now = pidfile::holder(file).ok()?;
    matches!(now, Held::Running { command: still, .. } if still == command).then_some(stat)
}

/// What a bare number in a file means, by when the file was written.
fn root_of_number(
    proc: &Proc,
    number: i32,
    written: SystemTime,
    shown: &str,
    words: &mut Words,
) -> Option<Root> {
    let Some(stat) = proc.stat(number) else {
        words.step(format_args!("{shown}: process {number} is gone"));
        return Some(Root::Dead(number, written));
    };
    if started_after(stat.identity, written) {
        words.say(format_args!(
            "{shown}: process {number} ({}) started after the file was written: another one, left alone",
            escape(&stat.comm)
        ));
        return None;
    }
    Some(Root::Process(stat))
}

impl Root {
    /// Its process, as the table shows it, if it is the one that was named and lives.
    #[must_use]
    pub(crate) fn process<'a>(&'a self, table: &'a Table) -> Option<&'a Stat> {
        match self {
            Self::Number(pid) => table.get(*pid),
            Self::Process(stat) => table.find(stat.identity),
            Self::Dead(..) => None,
        }
    }

    /// Its number, and when the file that had it was written.
    #[must_use]
    pub(crate) fn number(&self) -> (i32, Option<SystemTime>) {
        match self {
            Self::Number(pid) => (*pid, None),
            // It lived a moment ago: only what it left behind can have its number.
            Self::Process(stat) => (stat.pid(), None),
            Self::Dead(pid, written) => (*pid, Some(*written)),
        }
    }
}

impl Locked {
    /// Waits until the file is unlocked, or locked for somebody else by now, and says whether it
    /// is.
    #[must_use]
    pub(crate) fn is_released(&self) -> bool {
        let deadline = Deadline::after(PATIENCE);
        let mut pause = Duration::from_millis(1);
        while self.is_held() {
            if deadline.passed() {
                return false;
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        true
    }

    /// Whether it is still locked for the process that it was locked for.
    fn is_held(&self) -> bool {
        let Ok(now) = pidfile::holder(&self.file) else {
            return false;
        };
        match (self.held, now) {
            (Held::Running { command, .. }, Held::Running { command: other, .. }) => {
                command == other
            }
            (Held::Running { keeper, .. }, Held::Changing { keeper: other }) => {
                keeper == Some(other)
            }
            (Held::Changing { keeper }, Held::Running { keeper: other, .. }) => {
                Some(keeper) == other
            }
            (_, Held::Nobody) => false,
            (before, now) => before == now,
        }
    }

    /// The file's path for messages.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        shown(&self.path)
    }
}

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    escape(path.as_os_str().as_bytes())
}
