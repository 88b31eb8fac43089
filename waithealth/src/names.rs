//! From a host to its addresses, never waiting longer than the attempt lasts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use treekill::duration::Deadline;

use crate::answer::Answer;
use crate::cli::Family;
use crate::mailbox::Mailbox;
use crate::target::Peer;

/// How long addresses are used before they are asked for again: polling every 5 ms must not
/// become a flood of queries to a name server.
const FRESH: Duration = Duration::from_secs(1);

/// The addresses of one target's host.
#[derive(Debug)]
pub(crate) struct Names {
    peer: Peer,
    family: Family,
    known: Option<(Instant, Vec<SocketAddr>)>,
    /// A look-up that has not come back. A resolver that hangs is not asked a second time.
    asked: Option<Mailbox<Vec<SocketAddr>>>,
    /// Which address comes first.
    turn: usize,
}

impl Names {
    /// Nothing is looked up yet.
    pub(crate) fn new(peer: Peer, family: Family) -> Self {
        Self {
            peer,
            family,
            known: None,
            asked: None,
            turn: 0,
        }
    }

    /// Lets another address come first in the next attempt: this one has used up its time.
    pub(crate) fn take_turns(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// The host's addresses of the wanted family, at least one.
    ///
    /// # Errors
    /// What stands in the way: the name does not resolve, or not by the deadline.
    pub(crate) fn addresses(&mut self, deadline: Deadline) -> Result<Vec<SocketAddr>, Answer> {
        let mut addresses = self.in_order(deadline)?;
        let first = self.turn % addresses.len().max(1);
        addresses.rotate_left(first);
        Ok(addresses)
    }

    fn in_order(&mut self, deadline: Deadline) -> Result<Vec<SocketAddr>, Answer> {
        if let Some(addresses) = self.without_resolver() {
            return self.of_family(addresses);
        }
        match &self.known {
            Some((at, addresses)) if at.elapsed() < FRESH => Ok(addresses.clone()),
            _ => self.look_up(deadline),
        }
    }

    /// An address, or `localhost`, which is decided here: an empty container has no /etc/hosts.
    fn without_resolver(&self) -> Option<Vec<SocketAddr>> {
        let Peer { host, port } = &self.peer;
        if host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case("localhost.") {
            let both = [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            return Some(both.map(|ip| SocketAddr::new(ip, *port)).to_vec());
        }
        let ip: IpAddr = host.parse().ok()?;
        Some(vec![SocketAddr::new(ip, *port)])
    }

    fn of_family(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Answer> {
        addresses.retain(|address| match self.family {
            Family::Both => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        });
        if addresses.is_empty() {
            return Err(Answer::unhealthy("name does not resolve"));
        }
        Ok(addresses)
    }

    fn look_up(&mut self, deadline: Deadline) -> Result<Vec<SocketAddr>, Answer> {
        let mailbox = match self.asked.take() {
            Some(mailbox) => mailbox,
            None => ask(self.peer.clone())?,
        };
        let Some(addresses) = mailbox.take(deadline) else {
            self.asked = Some(mailbox);
            return Err(Answer::unresolved());
        };
        let addresses = self.of_family(addresses)?;
        self.known = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

/// Asks the system's resolver (getaddrinfo(3)), which has no deadline, in a thread of its own.
/// No addresses are what a name that does not resolve has.
fn ask(peer: Peer) -> Result<Mailbox<Vec<SocketAddr>>, Answer> {
    let mailbox = Mailbox::new();
    let answer = mailbox.clone();
    let look_up = move || {
        let found = (peer.host.as_str(), peer.port).to_socket_addrs();
        answer.put(found.map(Iterator::collect).unwrap_or_default());
    };
    std::thread::Builder::new()
        .name("resolver".into())
        .spawn(look_up)
        .map_err(|error| Answer::from_io(&error))?;
    Ok(mailbox)
}
