//! A process in words: the few that are shown.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use treekill::describe::{Description, describe, user_name, user_of};
use treekill::record::escape;
use treekill::table::{Proc, Stat};

use crate::origin::Origin;

/// What people want to know of a process.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Its PID.
    pub(crate) pid: i32,
    /// Its name and command line.
    pub(crate) text: Description,
    /// Its user.
    pub(crate) user: Option<String>,
    /// Its resident memory in bytes.
    pub(crate) memory: Option<u64>,
    /// How long it has been there.
    pub(crate) age: Duration,
    /// Its service unit and container.
    pub(crate) origin: Origin,
}

impl Described {
    /// Describes the process as it is now.
    pub(crate) fn of(proc: &Proc, stat: &Stat) -> Self {
        let pid = u32::try_from(stat.pid())
            .map(Pid::from_u32)
            .unwrap_or(Pid::from_u32(0));
        let wanted = ProcessRefreshKind::nothing().with_memory().without_tasks();
        let mut system = System::new();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
        let process = system.process(pid);
        Self {
            pid: stat.pid(),
            text: describe(proc, stat),
            user: user_of(proc, stat.pid()).map(user_name),
            memory: process.map(sysinfo::Process::memory),
            age: stat.identity.age(),
            origin: Origin::of(proc, stat.pid()),
        }
    }

    /// `nginx (PID 7)`.
    pub(crate) fn label(&self) -> String {
        format!("{} (PID {})", escape(&self.text.name), self.pid)
    }

    /// `nginx (PID 7) of user www-data, 90 s old, 12 MB, nginx.service`: as much as is known.
    pub(crate) fn at_length(&self) -> String {
        let mut text = self.label();
        if let Some(user) = &self.user {
            text.push_str(&format!(" of user {}", escape(user.as_bytes())));
        }
        text.push_str(&format!(", {} s old", self.age.as_secs()));
        if let Some(memory) = self.memory {
            text.push_str(&format!(", {} MB", memory / 1_000_000));
        }
        text.push_str(&self.place());
        text
    }

    /// `, service nginx.service` or `, container 0123456789ab`, where that is known.
    pub(crate) fn place(&self) -> String {
        let container = self.origin.container.as_ref();
        let container = container.map(|c| format!(", container {}", escape(c.name.as_bytes())));
        let unit = self.origin.unit.as_ref();
        let unit = unit.map(|u| format!(", service {}", escape(u.name.as_bytes())));
        [unit, container].into_iter().flatten().collect()
    }
}

/// `nginx (PID 7)`, from the table alone.
pub(crate) fn label(stat: &Stat) -> String {
    format!("{} (PID {})", escape(&stat.comm), stat.pid())
}
