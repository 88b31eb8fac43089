//! Looking at processes as the kernel shows them in `/proc` (proc(5)).

use std::fs;
use std::net::TcpStream;

/// One process, as `/proc/PID/stat` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its PID in our namespace.
    pub pid: i32,
    /// `R`, `S`, `T`, `Z`, …
    pub state: char,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// Its command line, words parted by blanks; its name in brackets where it has none.
    pub cmdline: String,
}

impl Seen {
    /// Whether it is a zombie, or just being reaped (`X`).
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Looks at one process; `None` when it is absent.
#[must_use]
pub fn look(pid: impl Into<i64>) -> Option<Seen> {
    let pid = i32::try_from(pid.into()).ok()?;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name stands in parentheses and may contain anything, parentheses too.
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse().ok();
    let (ppid, pgrp, session) = (number()?, number()?, number()?);
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    let cmdline = match words.trim_end() {
        "" => format!("[{name}]"),
        words => words.to_owned(),
    };
    Some(Seen {
        pid,
        state,
        ppid,
        pgrp,
        session,
        cmdline,
    })
}

/// Whether the process is absent, or a zombie that waits for its parent only.
#[must_use]
pub fn gone(pid: impl Into<i64>) -> bool {
    look(pid).is_none_or(|seen| seen.is_dead())
}

/// Every process of our PID namespace, zombies too, in order of PID.
#[must_use]
pub fn all() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut seen: Vec<Seen> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(look)
        .collect();
    seen.sort_by_key(|process| process.pid);
    seen
}

/// Every live process of the namespace but its init and this test: what a clean end leaves none of.
#[must_use]
pub fn others() -> Vec<Seen> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut seen = all();
    seen.retain(|process| process.pid != 1 && process.pid != own && !process.is_dead());
    seen
}

/// The same, and those besides whose first thread has ended while another runs.
#[must_use]
pub fn living() -> Vec<Seen> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut seen = all();
    seen.retain(|process| process.pid != 1 && process.pid != own);
    seen.retain(|process| !process.is_dead() || has_living_thread(process.pid));
    seen
}

fn has_living_thread(pid: i32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let stats = tasks.map(|task| fs::read_to_string(task.path().join("stat")));
    stats.flatten().any(|stat| {
        let tail = stat.rsplit_once(") ").map(|(_, tail)| tail);
        !matches!(
            tail.and_then(|tail| tail.chars().next()),
            Some('Z' | 'X') | None
        )
    })
}

/// The live children of `parent`.
#[must_use]
pub fn children(parent: impl Into<i64>) -> Vec<Seen> {
    let parent = i32::try_from(parent.into()).unwrap_or_default();
    let mut seen = all();
    seen.retain(|process| process.ppid == parent && !process.is_dead());
    seen
}

/// Whether somebody accepts connections on this port of 127.0.0.1.
///
/// # Panics
/// When `port` is no port number.
#[must_use]
pub fn accepts(port: impl ToString) -> bool {
    let port: u16 = port.to_string().parse().expect("a port number");
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
