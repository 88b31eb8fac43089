//! The sockets that the kernel knows on a port, as plain data, and the way to them.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use treekill::exec::os_words;

use crate::netlink::Netlink;
use crate::ports::Target;
use crate::procnet;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// A stream, with a LISTEN state.
    Tcp,
    /// Datagrams, with none.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err("after the slash, tcp or udp is wanted".to_owned()),
        }
    }
}

/// A socket's state by the kernel's number (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(pub(crate) u8);

impl State {
    /// Of UDP: bound, and open to everybody.
    pub(crate) const UNCONNECTED: Self = Self(7);
    /// Of TCP: accepts connections.
    pub(crate) const LISTEN: Self = Self(10);
    /// Of TCP: bound, neither listening nor connected (since Linux 6.8).
    pub(crate) const BOUND: Self = Self(13);

    /// Its name as ss(8) writes it.
    pub(crate) fn name(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "UNKNOWN",
            "ESTAB",
            "SYN-SENT",
            "SYN-RECV",
            "FIN-WAIT-1",
            "FIN-WAIT-2",
            "TIME-WAIT",
            "UNCONN",
            "CLOSE-WAIT",
            "LAST-ACK",
            "LISTEN",
            "CLOSING",
            "SYN-RECV",
            "BOUND",
        ];
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// Whether it is what an ended connection leaves behind, without a process.
    pub(crate) fn is_leftover(self) -> bool {
        // FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, LAST-ACK, CLOSING
        matches!(self.0, 4..=6 | 9 | 11)
    }

    /// Whether it turns into another one within a round trip: FIN-WAIT-1, LAST-ACK, CLOSING.
    fn is_passing(self) -> bool {
        matches!(self.0, 4 | 9 | 11)
    }

    /// The bit of this state in a mask of states.
    pub(crate) fn bit(self) -> u32 {
        1_u32.checked_shl(self.0.into()).unwrap_or(0)
    }
}

/// A socket with a local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
    /// Its local address.
    pub(crate) address: IpAddr,
    /// Its local port.
    pub(crate) port: u16,
    /// Its state.
    pub(crate) state: State,
    /// The user who made it.
    pub(crate) uid: u32,
    /// Its inode; 0 when no process has it any more.
    pub(crate) inode: u64,
    /// Whether an IPv6 socket leaves IPv4 alone.
    pub(crate) ipv6_only: bool,
    /// Whether it is another portfree's proof that the port is free, and gone in a moment.
    pub(crate) is_proof: bool,
}

impl Socket {
    /// Whether it holds its port: it listens, is bound but not listening, or is a UDP socket
    /// open to everybody. A connection does not.
    pub(crate) fn holds(&self) -> bool {
        match self.protocol {
            Protocol::Tcp => matches!(self.state, State::LISTEN | State::BOUND),
            Protocol::Udp => self.state == State::UNCONNECTED,
        }
    }

    /// Whether it may be gone in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_proof || self.state.is_passing()
    }

    /// Its local address and port.
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Which sockets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that hold a port.
    Holding,
    /// Connections and their leftovers too.
    All,
}

impl Wanted {
    /// The states of this protocol as a mask of bits.
    pub(crate) fn states(self, protocol: Protocol) -> u32 {
        match (self, protocol) {
            (Self::Holding, Protocol::Tcp) => State::LISTEN.bit() | State::BOUND.bit(),
            (Self::Holding, Protocol::Udp) => State::UNCONNECTED.bit(),
            (Self::All, _) => u32::MAX,
        }
    }
}

/// The kernel's sockets: by socket diagnostics, or by `/proc/net` where those are denied.
#[derive(Debug)]
pub(crate) struct Sockets {
    netlink: Result<Netlink, io::Error>,
    /// Inodes of clients' connections.
    connections: HashSet<u64>,
}

impl Sockets {
    /// Opens the way to the sockets.
    pub(crate) fn open() -> Self {
        Self {
            netlink: Netlink::open(),
            connections: HashSet::new(),
        }
    }

    /// Why `/proc/net` is read instead of asking for socket diagnostics.
    pub(crate) fn denied(&self) -> Option<&io::Error> {
        self.netlink.as_ref().err()
    }

    /// The sockets on these ports.
    ///
    /// # Errors
    /// Where neither socket diagnostics nor `/proc/net` answer.
    pub(crate) fn look(&mut self, targets: &[Target], wanted: Wanted) -> io::Result<Vec<Socket>> {
        let mut found = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let Some(ports) = span(targets, protocol) else {
                continue;
            };
            let mut sockets = self.ask(protocol, &ports, wanted)?;
            sockets.retain(|socket| targets.iter().any(|t| t.port_of(socket).is_some()));
            found.append(&mut sockets);
        }
        Ok(found)
    }

    /// The sockets that hold these ports.
    ///
    /// # Errors
    /// As [`Sockets::look`].
    pub(crate) fn holding(&mut self, targets: &[Target]) -> io::Result<Vec<Socket>> {
        let mut found = self.look(targets, Wanted::Holding)?;
        found.retain(|socket| self.is_holder(socket));
        Ok(found)
    }

    /// Remembers the connections on these ports, which hold none. A client that had chosen its
    /// port keeps it when its server is killed: its socket is bound then, and still a client's.
    ///
    /// # Errors
    /// As [`Sockets::look`].
    pub(crate) fn remember_connections(&mut self, targets: &[Target]) -> io::Result<()> {
        let all = self.look(targets, Wanted::All)?;
        let connections = all.iter().filter(|socket| !socket.holds());
        self.connections
            .extend(connections.map(|socket| socket.inode));
        Ok(())
    }

    /// Whether the socket holds its port: it is neither a proof nor was a connection.
    pub(crate) fn is_holder(&self, socket: &Socket) -> bool {
        socket.holds() && !socket.is_proof && !self.connections.contains(&socket.inode)
    }

    fn ask(
        &mut self,
        protocol: Protocol,
        ports: &RangeInclusive<u16>,
        wanted: Wanted,
    ) -> io::Result<Vec<Socket>> {
        if let Ok(netlink) = &mut self.netlink {
            match netlink.dump(protocol, ports, wanted) {
                Ok(sockets) => return Ok(sockets),
                Err(error) => self.netlink = Err(error),
            }
        }
        procnet::read(protocol, ports, wanted).map_err(|error| {
            let why = os_words(&error);
            let what = format!("neither socket diagnostics nor /proc/net answer: {why}");
            io::Error::new(error.kind(), what)
        })
    }
}

/// From the lowest to the highest port of this protocol.
fn span(targets: &[Target], protocol: Protocol) -> Option<RangeInclusive<u16>> {
    let of_protocol = || targets.iter().filter(|t| t.protocol == protocol);
    let first = of_protocol().map(|t| *t.ports.start()).min()?;
    let last = of_protocol().map(|t| *t.ports.end()).max()?;
    Some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_no_holder() {
        let socket = |protocol, state| Socket {
            protocol,
            address: IpAddr::from([127, 0, 0, 1]),
            port: 1,
            state: State(state),
            uid: 0,
            inode: 1,
            ipv6_only: false,
            is_proof: false,
        };
        for state in 0..=20 {
            let holds = socket(Protocol::Tcp, state).holds();
            assert_eq!(holds, [10, 13].contains(&state), "tcp {state}");
            assert_eq!(
                socket(Protocol::Udp, state).holds(),
                state == 7,
                "udp {state}"
            );
        }
    }
}
