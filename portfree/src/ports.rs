//! What the user calls a port: `8000`, `8000-8010`, `53/udp`, `127.0.0.1:8000`, `[::1]:8000`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::sockets::{Protocol, Socket};

/// Ports of one protocol, on one address or on all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
    /// The one address meant; `None` for all, IPv4 and IPv6.
    pub(crate) address: Option<IpAddr>,
    /// The ports; never 0.
    pub(crate) ports: RangeInclusive<u16>,
}

/// One port of a target: what is proved, and what messages name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
    /// The one address meant; `None` for all.
    pub(crate) address: Option<IpAddr>,
    /// Its number.
    pub(crate) number: u16,
}

impl Target {
    /// How many ports these are.
    pub(crate) fn count(&self) -> usize {
        self.ports.len()
    }

    /// Each of its ports.
    pub(crate) fn each(&self) -> impl Iterator<Item = Port> + use<> {
        let (protocol, address) = (self.protocol, self.address);
        self.ports.clone().map(move |number| Port {
            protocol,
            address,
            number,
        })
    }

    /// The port of this target that the socket keeps a server from binding.
    pub(crate) fn port_of(&self, socket: &Socket) -> Option<Port> {
        let port = Port {
            protocol: self.protocol,
            address: self.address,
            number: socket.port,
        };
        (self.ports.contains(&socket.port) && port.is_met_by(socket)).then_some(port)
    }
}

impl Port {
    /// Whether a socket is bound to this port, on an address that overlaps with ours.
    pub(crate) fn is_met_by(&self, socket: &Socket) -> bool {
        self.protocol == socket.protocol
            && self.number == socket.port
            && self.address.is_none_or(|ours| overlap(ours, socket))
    }
}

/// Whether a server on `ours` meets the socket: the same address, or one of the two is all
/// addresses of a family. `::` takes IPv4 along unless the socket is IPv6-only (ipv6(7)).
fn overlap(ours: IpAddr, socket: &Socket) -> bool {
    let theirs = socket.address.to_canonical();
    match (ours, theirs) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
            ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
        }
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
            ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
        }
        (IpAddr::V4(_), IpAddr::V6(theirs)) => theirs.is_unspecified() && !socket.ipv6_only,
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((rest, protocol)) => (rest, protocol.parse()?),
        };
        let (address, ports) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((address, ports)) => (parse_address(address)?, ports),
        };
        Ok(Self {
            protocol,
            address,
            ports: parse_ports(ports)?,
        })
    }
}

/// Reads what stands before the last colon; nothing at all (`:8000`) is every address.
fn parse_address(text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => text.parse().map(IpAddr::V4).ok(),
    };
    let wanted = "an IP address is wanted before the port, as in 127.0.0.1:8000 or [::1]:8000";
    address
        .map(|address| Some(address.to_canonical()))
        .ok_or_else(|| wanted.to_owned())
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let Some((first, last)) = text.split_once('-') else {
        let port = parse_port(text)?;
        return Ok(port..=port);
    };
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    if first > last {
        return Err("the range ends before it begins".to_owned());
    }
    Ok(first..=last)
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if digits => Ok(port),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

impl fmt::Display for Port {
    /// `8000/tcp`, `127.0.0.1:8000/tcp`, `[::1]:8000/udp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.address)?;
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl fmt::Display for Target {
    /// As the user may write it, the protocol always said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.address)?;
        match (self.ports.start(), self.ports.end()) {
            (first, last) if first == last => write!(f, "{first}")?,
            (first, last) => write!(f, "{first}-{last}")?,
        }
        write!(f, "/{}", self.protocol)
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, address: Option<IpAddr>) -> fmt::Result {
    match address {
        None => Ok(()),
        Some(IpAddr::V4(address)) => write!(f, "{address}:"),
        Some(IpAddr::V6(address)) => write!(f, "[{address}]:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::State;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_a_port() {
        for (text, canonical) in [
            ("8000", "8000/tcp"),
            (":8000", "8000/tcp"),
            ("8000/tcp", "8000/tcp"),
            ("53/udp", "53/udp"),
            ("8000-8010", "8000-8010/tcp"),
            ("1-65535/udp", "1-65535/udp"),
            ("127.0.0.1:8000", "127.0.0.1:8000/tcp"),
            ("[::1]:8000-8001/udp", "[::1]:8000-8001/udp"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80/tcp"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_port() {
        for text in [
            "",
            " ",
            "x",
            "0",
            "65536",
            "-1",
            "+80",
            "8000-",
            "-8000",
            "8010-8000",
            "0-5",
            "8000 ",
            "8000/",
            "8000/sctp",
            "8000/TCP/",
            "::1:8000",
            "[::1]",
            "[::1:8000",
            "1.2.3:80",
            "[1.2.3.4]:80",
            "localhost:80",
            "80:80",
            "８０",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<Target>();
        }

        #[test]
        fn what_is_written_reads_back(
            first in 1_u16.., length in 0_u16..200, v4: [u8; 4], family in 0..3, udp: bool,
        ) {
            let target = Target {
                protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
                address: match family {
                    0 => None,
                    1 => Some(IpAddr::from(v4)),
                    _ => Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(v4[0])])),
                },
                ports: first..=first.saturating_add(length),
            };
            prop_assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    fn socket(address: &str, ipv6_only: bool) -> Socket {
        Socket {
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
            port: 8000,
            state: State::LISTEN,
            uid: 0,
            inode: 1,
            ipv6_only,
            is_proof: false,
        }
    }

    #[test]
    fn which_sockets_are_in_the_way_of_which_address() {
        for (target, address, ipv6_only, meets) in [
            ("8000", "127.0.0.1", false, true),
            ("8000", "::1", false, true),
            ("8001", "127.0.0.1", false, false),
            ("8000/udp", "127.0.0.1", false, false),
            ("127.0.0.1:8000", "127.0.0.1", false, true),
            ("127.0.0.1:8000", "127.0.0.2", false, false),
            ("127.0.0.1:8000", "0.0.0.0", false, true),
            ("127.0.0.1:8000", "::", false, true),
            ("127.0.0.1:8000", "::", true, false),
            ("127.0.0.1:8000", "::ffff:127.0.0.1", false, true),
            ("127.0.0.1:8000", "::1", false, false),
            ("0.0.0.0:8000", "127.0.0.2", false, true),
            ("[::1]:8000", "::", true, true),
            ("[::1]:8000", "0.0.0.0", false, false),
            ("[::]:8000", "::1", false, true),
        ] {
            let target: Target = target.parse().unwrap();
            let met = target.port_of(&socket(address, ipv6_only)).is_some();
            assert_eq!(met, meets, "{target} and {address}");
        }
    }
}
