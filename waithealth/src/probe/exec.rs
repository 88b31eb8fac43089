//! A command: healthy when `sh -c` of it returns 0.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use treekill::duration::Deadline;
use treekill::exec::{Ending, untouched};
use treekill::identity::Pinned;
use treekill::table::Proc;

use crate::answer::Answer;

/// The shell command line of one target.
pub(crate) struct Shell(Command);

impl Shell {
    /// Made before any signal is blocked: the command starts with the signal mask of this moment.
    pub(super) fn new(line: &OsStr) -> Self {
        let mut command = untouched(&"sh".into(), &[OsString::from("-c"), line.to_owned()]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // So that a Ctrl-C does not decide a probe: we end it ourselves.
            .process_group(0);
        Self(command)
    }

    /// Runs it once; what does not return by the deadline is killed, with its process group.
    pub(super) fn attempt(&mut self, running: &Running, deadline: Deadline) -> Answer {
        self.run(running, deadline)
            .unwrap_or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Answer::unhealthy("no sh to run it"),
                _ => Answer::from_io(&error),
            })
    }

    fn run(&mut self, running: &Running, deadline: Deadline) -> io::Result<Answer> {
        let proc = Proc::open()?;
        let mut child = running.start(&mut self.0)?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        // An unreaped child keeps its number, so this is it.
        let ended = match Pinned::of_pid(&proc, pid)? {
            Some(pinned) => pinned.wait(deadline.remaining()),
            None => true,
        };
        if !ended {
            end_group(pid);
        }
        running.forget(pid);
        let status = child.wait()?;
        Ok(match Ending::of(status) {
            _ if !ended => Answer::silence(),
            Some(Ending::Code(0)) => Answer::healthy("exit 0"),
            Some(Ending::Code(code)) => Answer::unhealthy(format!("exit {code}")),
            Some(Ending::Signal(signal)) => Answer::unhealthy(format!("ended by {signal}")),
            None => Answer::silence(),
        })
    }
}

/// The commands that run at this moment, so that none of them outlives us.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<Vec<i32>>);

impl Running {
    fn pids(&self) -> std::sync::MutexGuard<'_, Vec<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut pids = self.pids();
        let child = command.spawn()?;
        pids.push(i32::try_from(child.id()).unwrap_or_default());
        Ok(child)
    }

    /// Called before a command is reaped: from then on its number may name another process.
    fn forget(&self, pid: i32) {
        self.pids().retain(|&running| running != pid);
    }

    /// Ends all that still run, and lets no other start.
    pub(crate) fn end_all(&self) {
        let pids = self.pids();
        for &pid in pids.iter() {
            end_group(pid);
        }
        // Kept for good: nothing but our end follows.
        std::mem::forget(pids);
    }
}

/// Kills a child of ours, not yet reaped, with its process group.
fn end_group(pid: i32) {
    // It fails where nothing of the group is left.
    let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
}
