//! Which processes have a socket: one pass over `/proc/*/fd`, matching inodes (proc_pid_fd(5)).

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use treekill::table::{Proc, Stat};

use crate::sockets::Socket;
use crate::sys;

/// A process, and which of the sockets it has.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// The process.
    pub(crate) stat: Stat,
    /// Its sockets, of those that were searched for.
    pub(crate) sockets: Vec<Socket>,
}

/// What the pass found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Every process that has one of the sockets, the oldest first: a parent comes before the
    /// workers that inherited from it.
    pub(crate) holders: Vec<Holder>,
    /// The sockets of which no process was seen.
    pub(crate) unseen: Vec<Socket>,
    /// How many processes did not let us look at their descriptors.
    pub(crate) closed_to_us: usize,
}

/// Finds every process that has one of the sockets.
///
/// # Errors
/// Where `/proc` cannot be listed, or no descriptor is left (EMFILE, ENFILE).
pub(crate) fn find(proc: &Proc, sockets: &[Socket]) -> io::Result<Found> {
    let mut found = Found::default();
    if sockets.is_empty() {
        return Ok(found);
    }
    let mut search = Search::new(proc, sockets);
    search.pass(Threads::OfTheDead)?;
    if !search.missing().is_empty() {
        // A thread can have descriptors of its own (unshare(2), CLONE_FILES).
        search.pass(Threads::All)?;
    }
    found.unseen = search.missing();
    found.closed_to_us = search.closed_to_us;
    found.holders = search.holders.into_values().collect();
    found
        .holders
        .sort_by_key(|h| (h.stat.identity.start, h.stat.pid()));
    Ok(found)
}

/// Whose threads are looked at one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// Those of a process that shows no descriptor: its first thread may have ended while others
    /// go on, and then `/proc/PID/fd` is empty.
    OfTheDead,
    /// Everybody's.
    All,
}

struct Search<'a> {
    proc: &'a Proc,
    sockets: &'a [Socket],
    by_inode: HashMap<u64, Vec<usize>>,
    holders: HashMap<i32, Holder>,
    seen: Vec<bool>,
    closed_to_us: usize,
}

impl<'a> Search<'a> {
    fn new(proc: &'a Proc, sockets: &'a [Socket]) -> Self {
        let mut by_inode: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, socket) in sockets.iter().enumerate() {
            // What no process has any more shows inode 0.
            if socket.inode != 0 {
                by_inode.entry(socket.inode).or_default().push(index);
            }
        }
        Self {
            proc,
            sockets,
            by_inode,
            holders: HashMap::new(),
            seen: vec![false; sockets.len()],
            closed_to_us: 0,
        }
    }

    /// The sockets that nobody was seen to have.
    fn missing(&self) -> Vec<Socket> {
        let pairs = self.sockets.iter().zip(&self.seen);
        pairs.filter(|(_, seen)| !**seen).map(|(s, _)| *s).collect()
    }

    fn pass(&mut self, threads: Threads) -> io::Result<()> {
        self.closed_to_us = 0;
        if self.by_inode.is_empty() {
            return Ok(());
        }
        for pid in numbers(Path::new("/proc"))? {
            let empty = match self.folder(pid, &format!("/proc/{pid}/fd")) {
                Ok(count) => count == 0,
                Err(Errno::EACCES | Errno::EPERM) => {
                    self.closed_to_us += 1;
                    continue;
                }
                Err(error @ (Errno::EMFILE | Errno::ENFILE)) => return Err(error.into()),
                // The first thread has ended, or the whole process.
                Err(_) => true,
            };
            if empty || threads == Threads::All {
                let tasks = format!("/proc/{pid}/task");
                for thread in numbers(Path::new(&tasks)).unwrap_or_default() {
                    if thread != pid {
                        let _ = self.folder(pid, &format!("{tasks}/{thread}/fd"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks through one folder of descriptors; how many there are.
    fn folder(&mut self, pid: i32, path: &str) -> Result<usize, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = nix::fcntl::open(path, flags, Mode::empty())?;
        let mut listing = Dir::from_fd(folder.try_clone().map_err(|_| Errno::EMFILE)?)?;
        let mut count = 0;
        let mut link = [0; 32];
        for entry in listing.iter().flatten() {
            let name = entry.file_name();
            if name.to_bytes().first() == Some(&b'.') {
                continue;
            }
            count += 1;
            let target = sys::read_link_at(folder.as_fd(), name, &mut link);
            let Some(inode) = target.and_then(inode_of) else {
                continue;
            };
            if !self.by_inode.contains_key(&inode) {
                continue;
            }
            // The folder belongs to the process and not to its number: where the link can be
            // read once more, the number was still this process's when its stat was read.
            let stat = self.proc.stat(pid);
            let again = sys::read_link_at(folder.as_fd(), name, &mut link).and_then(inode_of);
            if let (Some(stat), true) = (stat, again == Some(inode)) {
                self.note(stat, inode);
            }
        }
        Ok(count)
    }

    fn note(&mut self, stat: Stat, inode: u64) {
        let holder = self.holders.entry(stat.pid()).or_insert_with(|| Holder {
            stat,
            sockets: Vec::new(),
        });
        for &index in self.by_inode.get(&inode).into_iter().flatten() {
            if let (Some(socket), Some(seen)) = (self.sockets.get(index), self.seen.get_mut(index))
            {
                *seen = true;
                if !holder.sockets.contains(socket) {
                    holder.sockets.push(*socket);
                }
            }
        }
    }
}

/// The inode of `socket:[N]`.
fn inode_of(link: &[u8]) -> Option<u64> {
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
    use crate::sockets::{Sockets, Wanted};
    use std::net::TcpListener;

    #[test]
    fn we_hold_what_we_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let target = port.parse().unwrap();
        let sockets = Sockets::open().look(&[target], Wanted::Holding).unwrap();
        let found = find(&Proc::open().unwrap(), &sockets).unwrap();
        let me = nix::unistd::getpid().as_raw();
        assert!(found.holders.iter().any(|holder| holder.stat.pid() == me));
        assert!(found.unseen.is_empty());
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
