//! Which processes have a socket, and of which sockets none was seen.

use std::collections::{HashMap, HashSet};
use std::io;

use treekill::exec::os_words;
use treekill::identity::Identity;
use treekill::table::{Proc, Stat};

use crate::descriptors;
use crate::sockets::Socket;

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

/// Opens `/proc`, which holders are searched in.
///
/// # Errors
/// Where it is not mounted; the error says so.
pub(crate) fn open_proc() -> io::Result<Proc> {
    Proc::open().map_err(|error| {
        let why = os_words(&error);
        io::Error::new(
            error.kind(),
            format!("/proc: cannot look for processes: {why}"),
        )
    })
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
    // What no process has any more shows inode 0.
    let inodes = sockets
        .iter()
        .map(|socket| socket.inode)
        .filter(|&inode| inode != 0);
    let inodes: HashSet<u64> = inodes.collect();
    let hits = descriptors::search(proc, &inodes)?;
    let mut holders: HashMap<Identity, Holder> = HashMap::new();
    found.unseen = sockets.to_vec();
    for (stat, inode) in hits.found {
        found.unseen.retain(|socket| socket.inode != inode);
        let holder = holders.entry(stat.identity).or_insert_with(|| Holder {
            stat,
            sockets: Vec::new(),
        });
        for socket in sockets.iter().filter(|socket| socket.inode == inode) {
            if !holder.sockets.contains(socket) {
                holder.sockets.push(*socket);
            }
        }
    }
    found.closed_to_us = hits.closed_to_us;
    found.holders = holders.into_values().collect();
    found
        .holders
        .sort_by_key(|holder| (holder.stat.identity.start, holder.stat.pid()));
    Ok(found)
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
}
