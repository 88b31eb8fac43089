//! How much memory the tree uses, shared pages counted once.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use treekill::duration::{Deadline, FOREVER};
use treekill::table::Proc;

use crate::leftovers::Leftovers;

/// How often the tree is measured.
const INTERVAL: Duration = Duration::from_secs(2);

/// Measures the tree and compares it with a limit.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    system: System,
    due: Deadline,
}

impl Memory {
    /// The limit is in bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            system: System::new(),
            due: Deadline::after(FOREVER),
        }
    }

    /// The limit, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// COMMAND has been started.
    pub(crate) fn begin(&mut self) {
        self.due = Deadline::after(INTERVAL);
    }

    /// COMMAND has ended or is being stopped.
    pub(crate) fn end(&mut self) {
        self.due = Deadline::after(FOREVER);
    }

    /// When [`Memory::tick`] has something to do.
    pub(crate) fn due(&self) -> Deadline {
        self.due
    }

    /// Measures when it is due; the bytes, where they may be more than the limit.
    pub(crate) fn tick(&mut self, tree: &Leftovers) -> Option<u64> {
        if !self.due.passed() {
            return None;
        }
        self.due = Deadline::after(INTERVAL);
        let members = tree.members().ok()?;
        let pids: Vec<i32> = members.iter().map(|member| member.stat.pid()).collect();
        // Resident memory counts a shared page once per process: it is never less than what the
        // tree uses, and cheap. Only when that is too much are the pages themselves counted.
        if self.resident(&pids) <= self.limit {
            return None;
        }
        let proc = tree.proc();
        let used = pids
            .iter()
            .map(|&pid| proportional(proc, pid).unwrap_or_else(|| self.resident(&[pid])));
        Some(used.sum())
    }

    /// Resident bytes of these processes.
    fn resident(&mut self, pids: &[i32]) -> u64 {
        let pids: Vec<Pid> = pids
            .iter()
            .filter_map(|&pid| u32::try_from(pid).ok())
            .map(Pid::from_u32)
            .collect();
        let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
        pids.iter()
            .filter_map(|pid| self.system.process(*pid))
            .map(sysinfo::Process::memory)
            .sum()
    }
}

/// The proportional set size in bytes (`Pss:` of `/proc/PID/smaps_rollup`, proc(5)); `None` for a
/// process that does not show it to us.
fn proportional(proc: &Proc, pid: i32) -> Option<u64> {
    let mut rollup = Vec::new();
    proc.read_into(&format!("{pid}/smaps_rollup"), &mut rollup)
        .ok()?;
    pss(&String::from_utf8_lossy(&rollup))
}

/// The bytes that its line `Pss:` says.
pub(crate) fn pss(text: &str) -> Option<u64> {
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes = kilobytes.trim().strip_suffix(" kB")?;
    kilobytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_rollup() {
        let rollup = |pss| format!("559000-7ffe [rollup]\nRss:    3456 kB\nPss:  {pss} kB\n");
        assert_eq!(pss(&rollup(821_u64)), Some(821 << 10));
        assert_eq!(pss(&rollup(u64::MAX)), None);
        assert_eq!(pss("Rss:  1 kB\n"), None);
    }
}
