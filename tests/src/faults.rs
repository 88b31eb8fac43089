//! System calls that fail when a tool makes them, by strace(1).

use crate::{Ran, Tool, scratch};

/// A tool that was run with a system call failing.
#[derive(Debug)]
pub struct Faulty {
    /// What came of it.
    pub ran: Ran,
    /// The calls that were traced, a line each.
    pub calls: String,
}

impl Faulty {
    /// Whether a call came to fail: the tool makes so many.
    #[must_use]
    pub fn is_struck(&self) -> bool {
        self.calls.contains("(INJECTED)")
    }
}

/// Runs a tool whose `call` fails with `error` at the `nth` time and from then on; it and what it
/// starts are counted apart. The signals that they send are traced besides.
///
/// # Panics
/// When strace tells nothing.
#[must_use]
pub fn run(tool: Tool, call: &str, error: &str, nth: usize) -> Faulty {
    let folder = scratch();
    let log = folder.path().join("calls");
    let strace = Tool::named("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={call},kill,pidfd_send_signal")])
        .args(["-e", &format!("inject={call}:error={error}:when={nth}+")]);
    let ran = tool.run_by(strace).run();
    let calls = std::fs::read(&log).expect("what strace has told");
    let calls = String::from_utf8_lossy(&calls).into_owned();
    Faulty { ran, calls }
}
