//! The descriptors of every process: one pass over `/proc/*/fd`, matching the inodes of sockets
//! (proc_pid_fd(5)).

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use treekill::table::{Proc, Stat};

use crate::sys;

/// Whose threads are looked at one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// Those of a process that shows no descriptor: its first thread may have ended while others
    /// go on, and then `/proc/PID/fd` is empty.
    OfTheDead,
    /// Everybody's.
    All,
}

/// What a pass, or one worker of it, has found.
#[derive(Default)]
pub(crate) struct Hits {
    /// A process and the inode of a socket it has.
    pub(crate) found: Vec<(Stat, u64)>,
    /// How many processes did not let us look.
    pub(crate) closed_to_us: usize,
    /// The most of a long folder, to be shared among the workers.
    later: Vec<Names>,
}

/// Names in an open folder of descriptors.
struct Names {
    pid: i32,
    folder: Arc<OwnedFd>,
    listing: Vec<u8>,
}

/// Finds who has these sockets: in one pass, or in two where that left one without a process.
///
/// # Errors
/// Where `/proc` cannot be listed, or no descriptor is left (EMFILE, ENFILE).
pub(crate) fn search(proc: &Proc, inodes: &HashSet<u64>) -> io::Result<Hits> {
    if inodes.is_empty() {
        return Ok(Hits::default());
    }
    let hits = pass(proc, inodes, Threads::OfTheDead)?;
    let seen: HashSet<u64> = hits.found.iter().map(|(_, inode)| *inode).collect();
    if *inodes == seen {
        return Ok(hits);
    }
    // A thread can have descriptors of its own (unshare(2), CLONE_FILES).
    pass(proc, inodes, Threads::All)
}

/// One pass over all processes.
fn pass(proc: &Proc, inodes: &HashSet<u64>, threads: Threads) -> io::Result<Hits> {
    let worker = || Worker {
        proc,
        inodes,
        threads,
        hits: Hits::default(),
    };
    let pids = numbers(Path::new("/proc"))?;
    let mut hits = share(&pids, worker, |worker, pid| worker.process(*pid))?;
    let later = std::mem::take(&mut hits.later);
    let rest = share(&later, worker, |worker, names| {
        worker.names(names);
        Ok(())
    })?;
    hits.found.extend(rest.found);
    Ok(hits)
}

/// The pass is thousands of small questions to the kernel, one after the other: they are shared
/// among the processors, and among so many threads at most.
const MOST_WORKERS: usize = 4;

/// Has workers take one item after the other.
fn share<'a, T: Sync>(
    items: &[T],
    worker: impl Fn() -> Worker<'a> + Sync,
    work: impl Fn(&mut Worker<'a>, &T) -> io::Result<()> + Sync,
) -> io::Result<Hits> {
    let next = AtomicUsize::new(0);
    let run = || -> io::Result<Hits> {
        let mut worker = worker();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut worker, item)?;
        }
        Ok(worker.hits)
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = processors.min(MOST_WORKERS).min(items.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers)
            .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, run).ok())
            .collect();
        let mut all = run()?;
        for other in others {
            let hits = other
                .join()
                .map_err(|_| io::Error::other("a thread failed"))??;
            all.found.extend(hits.found);
            all.closed_to_us += hits.closed_to_us;
            all.later.extend(hits.later);
        }
        Ok(all)
    })
}

/// Looks through the descriptors of one process after the other.
struct Worker<'a> {
    proc: &'a Proc,
    inodes: &'a HashSet<u64>,
    threads: Threads,
    hits: Hits,
}

impl Worker<'_> {
    fn process(&mut self, pid: i32) -> io::Result<()> {
        let is_empty = match self.folder(pid, &format!("/proc/{pid}/fd")) {
            Ok(is_empty) => is_empty,
            Err(Errno::EACCES | Errno::EPERM) => {
                self.hits.closed_to_us += 1;
                return Ok(());
            }
            Err(error @ (Errno::EMFILE | Errno::ENFILE)) => return Err(error.into()),
            // The first thread has ended, or the whole process.
            Err(_) => true,
        };
        if is_empty || self.threads == Threads::All {
            let tasks = format!("/proc/{pid}/task");
            for thread in numbers(Path::new(&tasks)).unwrap_or_default() {
                if thread != pid {
                    let _ = self.folder(pid, &format!("{tasks}/{thread}/fd"));
                }
            }
        }
        Ok(())
    }

    /// Looks through one folder of descriptors, or puts a long one off; whether there is none.
    fn folder(&mut self, pid: i32, path: &str) -> Result<bool, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = Arc::new(nix::fcntl::open(path, flags, Mode::empty())?);
        let mut is_empty = true;
        loop {
            let mut listing = vec![0; 8 * 1024];
            let length = sys::read_folder(folder.as_fd(), &mut listing)?;
            if length == 0 {
                return Ok(is_empty);
            }
            listing.truncate(length);
            let names = Names {
                pid,
                folder: folder.clone(),
                listing,
            };
            is_empty &= names.iter().next().is_none();
            if length > 4 * 1024 {
                self.hits.later.push(names);
            } else {
                self.names(&names);
            }
        }
    }

    fn names(&mut self, names: &Names) {
        let folder = names.folder.as_fd();
        for name in names.iter() {
            let Some(inode) = wanted_inode(folder, name, self.inodes) else {
                continue;
            };
            // The folder belongs to the process and not to its number: where the link can be
            // read once more, the number was still this process's when its stat was read.
            let stat = self.proc.stat(names.pid);
            let again = wanted_inode(folder, name, self.inodes);
            if let (Some(stat), true) = (stat, again == Some(inode)) {
                self.hits.found.push((stat, inode));
            }
        }
    }
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = &CStr> {
        names_in(&self.listing)
    }
}

/// Each name but `.` and `..`. What [`sys::read_folder`] read is a row of `struct linux_dirent64`:
/// inode and offset of 8 bytes each, its own length of 2, a type of 1, and the name with its NUL.
pub(crate) fn names_in(listing: &[u8]) -> impl Iterator<Item = &CStr> {
    let mut rest = listing;
    let entries = std::iter::from_fn(move || {
        let length = rest.get(16..18)?.try_into().map(u16::from_ne_bytes).ok()?;
        let name = rest.get(19..usize::from(length))?;
        rest = rest.get(usize::from(length)..)?;
        CStr::from_bytes_until_nul(name).ok()
    });
    entries.filter(|name| !name.to_bytes().starts_with(b"."))
}

/// The inode of the socket behind a descriptor, if it is one of those that are searched for.
fn wanted_inode(folder: BorrowedFd<'_>, name: &CStr, inodes: &HashSet<u64>) -> Option<u64> {
    let mut link = [0; 32];
    let inode = inode_of(sys::read_link_at(folder, name, &mut link)?)?;
    inodes.contains(&inode).then_some(inode)
}

/// The inode of `socket:[N]`.
pub(crate) fn inode_of(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The entries of a folder that are numbers.
fn numbers(folder: &Path) -> io::Result<Vec<i32>> {
    let entries = std::fs::read_dir(folder)?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let expected: HashSet<String> = (0..1000).map(|n| format!("entry {n}")).collect();
        for name in &expected {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let open = std::fs::File::open(folder.path()).unwrap();
        let (mut buffer, mut names) = ([0; 500], HashSet::new());
        let folder = Arc::new(OwnedFd::from(open));
        while let Ok(length @ 1..) = sys::read_folder(folder.as_fd(), &mut buffer) {
            let found = Names {
                pid: 0,
                folder: folder.clone(),
                listing: buffer[..length].to_vec(),
            };
            names.extend(found.iter().map(|name| name.to_str().unwrap().to_owned()));
        }
        assert_eq!(names, expected);
    }

    #[test]
    fn only_sockets_have_a_socket_inode() {
        assert_eq!(inode_of(b"socket:[4026531840]"), Some(4_026_531_840));
        for link in [
            &b"pipe:[1]"[..],
            b"socket:[]",
            b"socket:[1",
            b"/tmp/socket:[1]",
            b"",
        ] {
            assert_eq!(inode_of(link), None);
        }
    }
}
