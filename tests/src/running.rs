//! A program that runs beside the test and ends with its guard.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use crate::{Tool, wait_until};

/// A started program. Its guard kills it, it alone, through its own handle, and reaps it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: NamedTempFile,
}

impl Running {
    /// Starts it with no input and its output kept for [`Running::output`].
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(tool: Tool) -> Self {
        let output = NamedTempFile::new().expect("a file for output");
        let again = || File::options().append(true).open(output.path());
        let mut command = tool.into_command();
        let child = command
            .stdin(Stdio::null())
            .stdout(again().expect("the file for output"))
            .stderr(again().expect("the file for output"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, output }
    }

    /// Its PID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, on both streams.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = std::fs::read(self.output.path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends it a signal. It is not reaped yet, so its PID is its own.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a PID");
        let _ = kill(Pid::from_raw(pid), signal);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits for its end: its exit code, or 128+N as a shell says it.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> i32 {
        let mut ending = None;
        wait_until("the program ends", || {
            ending = self.ended();
            ending.is_some()
        });
        let status = ending.expect("it has ended");
        let signal = || status.signal().map(|signal| 128 + signal);
        status.code().or_else(signal).expect("a code or a signal")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_the_program_ended_and_what_it_said() {
        let mut shell = Running::start(Tool::named("sh").args(["-c", "echo up; exec sleep 1000"]));
        wait_until("it speaks", || shell.output() == "up\n");
        assert!(shell.ended().is_none());
        shell.signal(Signal::SIGTERM);
        assert_eq!(shell.wait(), 128 + 15);
    }
}
