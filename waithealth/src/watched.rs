//! A process that must live on while we wait: `--pid` and `--pidfile`.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use treekill::duration::Deadline;
use treekill::exec::os_words;
use treekill::identity::Pinned;
use treekill::pidfile::{self, Held, Unusable};
use treekill::record::escape;
use treekill::table::Proc;
use treekill::tree::started_after;

/// How long a file that is changing hands is looked at before that counts as an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a lock is asked after whose holder we cannot see.
const LOOK: Duration = Duration::from_millis(50);

/// What was named.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    /// A process.
    Pid(i32),
    /// The process that this PID file means.
    File(PathBuf),
}

/// What is known of it.
pub(crate) enum Life {
    /// It is gone already, or never was.
    Gone,
    /// It lives, and the pidfd says when it does not.
    Process(Pinned),
    /// It is in another PID namespace, or none of pidlock's: only its lock shows that it lives.
    Lock(File),
}

impl Watched {
    /// Looks the process up.
    ///
    /// # Errors
    /// Says why the file is no PID file, or `/proc` cannot be read, in one line.
    pub(crate) fn look(&self) -> Result<Life, String> {
        let failed = |error: io::Error| format!("{}: {}", self.label(), os_words(&error));
        let proc = Proc::open().map_err(failed)?;
        let life = |pid| match Pinned::of_pid(&proc, pid) {
            Ok(Some(process)) if !process.is_dead() => Ok(Life::Process(process)),
            Ok(_) => Ok(Life::Gone),
            Err(error) => Err(failed(error)),
        };
        let path = match self {
            Self::Pid(pid) => return life(*pid),
            Self::File(path) => path,
        };
        let file = match pidfile::open(path) {
            Ok(file) => file,
            Err(Unusable::Missing) => return Ok(Life::Gone),
            Err(why) => return Err(format!("{}: {why}", self.label())),
        };
        match settled(&file) {
            Held::Running { command, .. } => life(command),
            Held::Elsewhere { .. } | Held::Foreign { .. } => Ok(Life::Lock(file)),
            Held::Changing { .. } => Ok(Life::Gone),
            Held::Nobody => {
                let pid = pidfile::first_pid(&file).map_err(failed)?;
                let written = pidfile::modified(&file).map_err(failed)?;
                // A process that is younger than the file got the number later.
                match life(pid.unwrap_or_default())? {
                    Life::Process(process) if started_after(process.identity(), written) => {
                        Ok(Life::Gone)
                    }
                    life => Ok(life),
                }
            }
        }
    }

    /// What it is called in words.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Pid(pid) => format!("process {pid}"),
            Self::File(path) => format!("the process of {}", escape(path.as_os_str().as_bytes())),
        }
    }
}

impl Life {
    /// Whether it is gone now.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Gone => true,
            Self::Process(process) => process.is_dead(),
            Self::Lock(file) => matches!(pidfile::holder(file), Ok(Held::Nobody)),
        }
    }

    /// Returns when it is gone.
    pub(crate) fn wait_for_its_end(&self) {
        while !self.is_over() {
            match self {
                Self::Process(process) => {
                    let _ = process.wait(Duration::MAX);
                }
                _ => sleep(LOOK),
            }
        }
    }
}

/// Who holds the file once that is no matter of milliseconds any more.
fn settled(file: &File) -> Held {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let held = pidfile::holder(file).unwrap_or(Held::Nobody);
        if !matches!(held, Held::Changing { .. }) || deadline.passed() {
            return held;
        }
        sleep(Duration::from_millis(2));
    }
}
