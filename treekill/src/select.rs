//! Roots that are looked for: by name, by command line, by environment.

use regex_lite::Regex;
use treekill::describe::{describe, environment, user_of};
use treekill::guard::Guard;
use treekill::table::{Proc, Stat, Table};

/// Which processes are looked for; all that any of the first three finds, of that user.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Exact names.
    pub(crate) names: Vec<Vec<u8>>,
    /// What the command line matches.
    pub(crate) patterns: Vec<Regex>,
    /// `KEY=VALUE` of the environment.
    pub(crate) variables: Vec<Vec<u8>>,
    /// Only those with this effective user.
    pub(crate) user: Option<u32>,
}

impl Selection {
    /// Whether nothing is looked for.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty() && self.variables.is_empty()
    }

    /// Finds them among the processes of our own PID namespace, the lowest PID first.
    ///
    /// Passes over every treekill, which says on its command line what it looks for, over what is
    /// never signalled, and over the dead.
    #[must_use]
    pub(crate) fn find(&self, proc: &Proc, table: &Table, guard: &Guard) -> Vec<Stat> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Stat> = table
            .iter()
            .filter(|stat| stat.comm != b"treekill" && guard.refusal(stat).is_none())
            .filter(|stat| self.is_meant(proc, stat))
            .filter(|stat| is_in_our_namespace(proc, stat.pid()) && stat.is_alive(proc))
            .cloned()
            .collect();
        found.sort_by_key(Stat::pid);
        found
    }

    fn is_meant(&self, proc: &Proc, stat: &Stat) -> bool {
        let is_found = self.describes(proc, stat) || self.is_in_environment(proc, stat);
        let is_theirs = || {
            self.user
                .is_none_or(|user| user_of(proc, stat.pid()) == Some(user))
        };
        is_found && is_theirs()
    }

    fn describes(&self, proc: &Proc, stat: &Stat) -> bool {
        // A name begins with what the kernel keeps of it.
        let may_be_named = self.names.iter().any(|name| name.starts_with(&stat.comm));
        if !may_be_named && self.patterns.is_empty() {
            return false;
        }
        let description = describe(proc, stat);
        let cmdline = String::from_utf8_lossy(&description.cmdline);
        self.names.contains(&description.name)
            || (!cmdline.is_empty() && self.patterns.iter().any(|regex| regex.is_match(&cmdline)))
    }

    fn is_in_environment(&self, proc: &Proc, stat: &Stat) -> bool {
        !self.variables.is_empty()
            && environment(proc, stat)
                .split(|&b| b == 0)
                .any(|entry| self.variables.iter().any(|variable| variable == entry))
    }
}

/// Whether the process belongs to our PID namespace and not to one below it, a container's say:
/// it has one PID then (`NSpid` of proc_pid_status(5)).
fn is_in_our_namespace(proc: &Proc, pid: i32) -> bool {
    let Ok(numbers) = proc.status_line(pid, "NSpid:") else {
        return false;
    };
    // Kernels without PID namespaces have no such line.
    numbers.is_none_or(|numbers| {
        let numbers = numbers.split(u8::is_ascii_whitespace);
        numbers.filter(|number| !number.is_empty()).count() == 1
    })
}
