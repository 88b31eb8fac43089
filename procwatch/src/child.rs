//! The programs that are started: COMMAND, the hooks and the health check.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use treekill::signal::Signal;

use crate::sys;

/// A program that can be started again and again. It gets the signal mask that we were started
/// with, and dies with us.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
}

impl Program {
    /// COMMAND itself, on our own streams.
    pub(crate) fn new(program: &OsString, arguments: &[OsString], mask: SigSet) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        treekill::sys::pass_signals_through_with(&mut command, mask);
        sys::bind_to_us(&mut command);
        Self { command }
    }

    /// A command line for `sh -c`, which reads nothing.
    pub(crate) fn shell(line: &OsString, mask: SigSet) -> Self {
        let arguments = [OsString::from("-c"), line.clone()];
        let mut shell = Self::new(&OsString::from("sh"), &arguments, mask);
        shell.command.stdin(Stdio::null());
        shell
    }

    /// With its output into this pipe.
    ///
    /// # Errors
    /// Where no descriptor is left.
    pub(crate) fn output_to(mut self, pipe: &OwnedFd) -> io::Result<Self> {
        self.command.stdout(pipe.try_clone()?);
        self.command.stderr(pipe.try_clone()?);
        Ok(self)
    }

    /// In a process group of its own, and with its output thrown away.
    pub(crate) fn apart(mut self) -> Self {
        self.command.process_group(0);
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self
    }

    /// Sets a variable of its environment for the starts that follow.
    pub(crate) fn env(&mut self, key: &str, value: impl AsRef<OsStr>) {
        self.command.env(key, value);
    }

    /// Starts it.
    ///
    /// # Errors
    /// As fork(2) and execve(2): then nothing runs.
    pub(crate) fn start(&mut self) -> io::Result<Child> {
        // Before, not after: on a loaded machine it may run for long before we do again.
        let started = Instant::now();
        let child = self.command.spawn()?;
        Ok(Child {
            pid: i32::try_from(child.id()).unwrap_or(i32::MAX),
            started,
        })
    }
}

/// A child of ours that is not reaped yet: until then its PID is its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    /// Its PID.
    pub(crate) pid: i32,
    started: Instant,
}

impl Child {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        sys::signal_child(self.pid, signal);
    }

    /// Sends a signal to the process group that it leads.
    pub(crate) fn signal_group(&self, signal: Signal) {
        sys::signal_child(-self.pid, signal);
    }

    /// How long it has been running, by the monotonic clock.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
