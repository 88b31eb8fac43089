//! What the tests of this binary share.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::path::PathBuf;

use testkit::{Ran, Running, Tool, process, wait_until};

/// The binary under test.
pub(crate) const PROCWATCH: &str = env!("CARGO_BIN_EXE_procwatch");

/// procwatch with these arguments.
pub(crate) fn procwatch<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Tool {
    Tool::at(PROCWATCH).args(arguments)
}

/// `procwatch OPTIONS -- sh -c SCRIPT`, the options parted by blanks.
pub(crate) fn around(options: &str, script: &str) -> Tool {
    procwatch(options.split_whitespace()).args(["--", "bash", "-c", script])
}

/// The same, run to its end.
pub(crate) fn run(options: &str, script: &str) -> Ran {
    around(options, script).run()
}

/// The same, running beside the test.
pub(crate) fn start(options: &str, script: &str) -> Running {
    Running::start(around(options, script))
}

/// procwatch as PID 1 of a namespace below this one.
pub(crate) fn as_init(options: &str, script: &str) -> Tool {
    Tool::named("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", PROCWATCH])
        .args(options.split_whitespace())
        .args(["--", "bash", "-c", script])
}

/// Waits until the program has written this.
pub(crate) fn says(running: &Running, words: &str) {
    let what = format!("it says {words:?}, not only {:?}", running.output());
    wait_until(&what, || running.output().contains(words));
}

/// Sends any signal by its number, real-time ones too.
pub(crate) fn send(pid: u32, signal: i32) {
    let line = format!("kill -{signal} {pid}");
    Tool::named("bash").args(["-c", &line]).run().expect_code(0);
}

/// Live processes of this command line.
pub(crate) fn living(cmdline: &str) -> Vec<process::Seen> {
    let mut seen = process::others();
    seen.retain(|process| process.cmdline == cmdline);
    seen
}

/// A shell script that traps these signals and says `got N`, `ready` when it does.
pub(crate) fn listener(signals: &[i32]) -> String {
    let list: Vec<String> = signals.iter().map(i32::to_string).collect();
    format!(
        "for n in {}; do trap \"echo got $n\" $n; done; echo ready; while :; do sleep 0.01; done",
        list.join(" ")
    )
}

/// The file in this folder.
pub(crate) fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// Every signal that can be caught and passed on, the real-time ones too.
pub(crate) fn catchable() -> Vec<i32> {
    let not = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    (1..=31)
        .chain(34..=64)
        .filter(|signal| !not.contains(signal))
        .collect()
}
