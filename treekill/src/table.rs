//! All processes in one pass over `/proc/*/stat` (proc_pid_stat(5)).

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::identity::{Identity, Pinned};

/// What one `/proc/PID/stat` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process, and when it started.
    pub identity: Identity,
    /// Its name as the kernel keeps it: at most 15 bytes.
    pub comm: Vec<u8>,
    /// One letter: `R` running, `S` sleeping, `D` uninterruptible, `T` stopped, `Z` zombie, ….
    pub state: u8,
    /// Its parent; 0 where that is outside our PID namespace.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// Whether it has a controlling terminal.
    pub has_terminal: bool,
    /// Whether it is a kernel thread.
    pub is_kernel_thread: bool,
}

/// More than the fields of `/proc/PID/stat` up to the start time can be long.
const STAT_LENGTH: usize = 768;

/// PF_KTHREAD of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

impl Stat {
    /// Reads the one line of `/proc/PID/stat`; `None` where it is not of that form.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        // The name stands in parentheses and may itself hold spaces and parentheses.
        let open = line.iter().position(|&b| b == b'(')?;
        let close = line.iter().rposition(|&b| b == b')')?;
        let pid = number(line.get(..open)?.trim_ascii())?;
        let comm = line.get(open + 1..close)?.to_vec();
        let rest = line.get(close + 1..)?;
        let mut fields = rest
            .split(|b| b.is_ascii_whitespace())
            .filter(|field| !field.is_empty());
        let state = *fields.next()?.first()?;
        let ppid = number(fields.next()?)?;
        let pgrp = number(fields.next()?)?;
        let session = number(fields.next()?)?;
        let terminal: i32 = number(fields.next()?)?;
        let flags: u64 = number(fields.nth(1)?)?;
        let start = number(fields.nth(12)?)?;
        Some(Self {
            identity: Identity { pid, start },
            comm,
            state,
            ppid,
            pgrp,
            session,
            has_terminal: terminal != 0,
            is_kernel_thread: flags & KERNEL_THREAD != 0,
        })
    }

    /// Whether it lives: a zombie is dead unless threads of it still run, which a pidfd knows.
    #[must_use]
    pub fn is_alive(&self, proc: &Proc) -> bool {
        !matches!(self.state, b'Z' | b'X')
            || matches!(Pinned::open(proc, self.identity), Ok(Some(pinned)) if !pinned.is_dead())
    }

    /// The PID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.identity.pid
    }
}

/// The rest of the line that begins with `key`.
pub(crate) fn line_behind<'a>(status: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut lines = status.split(|&b| b == b'\n');
    lines.find_map(|line| line.strip_prefix(key.as_bytes()))
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The folder of processes, kept open: `/proc`, or another mount of it.
#[derive(Debug)]
pub struct Proc {
    folder: OwnedFd,
}

impl Proc {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// Where `/proc` is not there, is no procfs mount, or is one of another PID namespace.
    pub fn open() -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open("/proc", flags, Mode::empty())?;
        let proc = Self { folder };
        let unsupported = |why: &str| Err(io::Error::new(io::ErrorKind::Unsupported, why));
        match proc.stat_of("self") {
            None => unsupported("no process information there"),
            // Its numbers would be signalled as ours (pid_namespaces(7)).
            Some(stat) if stat.pid() != nix::unistd::getpid().as_raw() => {
                unsupported("it shows another PID namespace")
            }
            Some(_) => Ok(proc),
        }
    }

    /// What the process with this number looks like now; `None` where there is none.
    #[must_use]
    pub fn stat(&self, pid: i32) -> Option<Stat> {
        self.stat_of(&pid.to_string())
    }

    fn stat_of(&self, name: &str) -> Option<Stat> {
        let mut buffer = [0; STAT_LENGTH];
        let length = self.read_once(&format!("{name}/stat"), &mut buffer).ok()?;
        Stat::parse(buffer.get(..length)?)
    }

    /// What stands behind `key`, as in `Uid:`, in `/proc/PID/status` (proc_pid_status(5)); `None`
    /// where this kernel has no such line. In bytes: the name of a process need not be UTF-8.
    ///
    /// # Errors
    /// As [`Proc::read_into`].
    pub fn status_line(&self, pid: i32, key: &str) -> io::Result<Option<Vec<u8>>> {
        let mut status = Vec::new();
        self.read_into(&format!("{pid}/status"), &mut status)?;
        Ok(line_behind(&status, key).map(<[u8]>::to_vec))
    }

    /// Reads a file below `/proc` into `out`, which is emptied first.
    ///
    /// # Errors
    /// As open(2) and read(2): no such process, no permission.
    pub fn read_into(&self, path: &str, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.resize(4096, 0);
        let mut file = std::fs::File::from(self.open_below(path)?);
        let first = file.read(out)?;
        let is_whole = first < out.len();
        out.truncate(first);
        if is_whole {
            return Ok(());
        }
        file.read_to_end(out).map(drop)
    }

    /// One open, one read, one close: what runs once per process must not do more.
    fn read_once(&self, path: &str, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.open_below(path)?;
        Ok(nix::unistd::read(&fd, buffer)?)
    }

    fn open_below(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(openat(&self.folder, path, flags, Mode::empty())?)
    }

    /// All processes as they are now, in one pass.
    ///
    /// # Errors
    /// Where the folder itself cannot be listed. A process that ends meanwhile is left out.
    pub fn table(&self) -> io::Result<Table> {
        self.table_beside(|_| None)
    }

    /// All processes in one pass that reads nothing of those that are known: a number for which
    /// `known` has an answer is not looked at again.
    ///
    /// # Errors
    /// As [`Proc::table`].
    pub fn table_beside(&self, known: impl Fn(i32) -> Option<Stat>) -> io::Result<Table> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(Path::new("/proc"))? {
            numbers.extend(
                entry?
                    .file_name()
                    .to_str()
                    .and_then(|s| s.parse::<i32>().ok()),
            );
        }
        // The newest first: of a chain whose links live for a moment only, the last one listed is
        // still there.
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut stats = HashMap::with_capacity(numbers.len());
        for pid in numbers {
            if let Some(stat) = known(pid).or_else(|| self.stat(pid)) {
                stats.insert(pid, stat);
            }
        }
        Ok(Table { stats })
    }
}

/// All processes at one moment, by PID.
#[derive(Clone, Debug, Default)]
pub struct Table {
    stats: HashMap<i32, Stat>,
}

impl Table {
    /// The process with this number.
    #[must_use]
    pub fn get(&self, pid: i32) -> Option<&Stat> {
        self.stats.get(&pid)
    }

    /// The process itself, and not another one that has its number by now.
    #[must_use]
    pub fn find(&self, identity: Identity) -> Option<&Stat> {
        self.get(identity.pid)
            .filter(|stat| stat.identity == identity)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Stat> {
        self.stats.values()
    }

    /// The parents above `pid`, nearest first, as far as our PID namespace shows them.
    #[must_use]
    pub fn ancestors(&self, pid: i32) -> Vec<i32> {
        let mut chain = Vec::new();
        let mut at = pid;
        while let Some(parent) = self.get(at).map(|stat| stat.ppid) {
            // A parent that ended between two reads can make a loop of numbers.
            if parent <= 0 || chain.contains(&parent) {
                break;
            }
            chain.push(parent);
            at = parent;
        }
        chain
    }
}

impl FromIterator<Stat> for Table {
    fn from_iter<I: IntoIterator<Item = Stat>>(stats: I) -> Self {
        Self {
            stats: stats.into_iter().map(|stat| (stat.pid(), stat)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let line = b"42 (a) R 1 (b) S 7 40 30 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            stat.identity,
            Identity {
                pid: 42,
                start: 9876
            }
        );
        assert_eq!(stat.comm, b"a) R 1 (b");
        assert_eq!(
            (stat.state, stat.ppid, stat.pgrp, stat.session),
            (b'S', 7, 40, 30)
        );
        assert!(stat.has_terminal);
        assert!(!stat.is_kernel_thread);
    }

    #[test]
    fn what_is_no_stat_line() {
        for line in [
            &b""[..],
            b"42",
            b"42 (a",
            b"42 (a) S",
            b"x (a) S 1 1 1 0 0 0",
            b"() ()",
        ] {
            assert_eq!(Stat::parse(line), None);
        }
    }

    #[test]
    fn the_table_holds_ourselves_and_our_parents() {
        let proc = Proc::open().unwrap();
        let table = proc.table().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(
            table.get(me).unwrap().identity,
            proc.stat(me).unwrap().identity
        );
        assert_eq!(
            table.ancestors(me).first(),
            Some(&nix::unistd::getppid().as_raw())
        );
    }
}
