//! The fallback where socket diagnostics are denied: `/proc/net/{tcp,tcp6,udp,udp6}` (proc_net(5)).
//!
//! It shows no socket that is bound without listening, and not which ones are IPv6-only.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::sockets::{Protocol, Socket, State, Wanted};

/// All sockets of this protocol, of both families, whose local port is in the range.
///
/// # Errors
/// Where the files cannot be read; a missing file of IPv6 is a kernel without it.
pub(crate) fn read(
    protocol: Protocol,
    ports: &RangeInclusive<u16>,
    wanted: Wanted,
) -> io::Result<Vec<Socket>> {
    let states = wanted.states(protocol);
    let mut sockets = Vec::new();
    for family in ["", "6"] {
        let file = match File::open(format!("/proc/net/{protocol}{family}")) {
            Ok(file) => file,
            Err(error) if family == "6" && error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            let socket = parse(&line?, protocol);
            sockets.extend(
                socket.filter(|socket| {
                    ports.contains(&socket.port) && states & socket.state.bit() != 0
                }),
            );
        }
    }
    Ok(sockets)
}

/// Reads one line: `sl local rem st tx:rx tr:when retrnsmt uid timeout inode …`, in hexadecimal.
pub(crate) fn parse(line: &str, protocol: Protocol) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let uid = fields.nth(3)?;
    let inode = fields.nth(1)?;
    Some(Socket {
        protocol,
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        state: State(u8::from_str_radix(state, 16).ok()?),
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
        ipv6_only: false,
        is_proof: false,
    })
}

/// An address is written as 32-bit numbers of this machine's byte order, each 8 digits.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let number = u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(number.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = words.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Netlink;
    use proptest::prelude::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn both_ways_show_the_same_sockets() {
        let tcp: Vec<_> = ["127.0.0.1:0", "[::1]:0"].map(TcpListener::bind).into();
        let udp: Vec<_> = ["127.0.0.1:0", "[::1]:0"].map(UdpSocket::bind).into();
        let locals = tcp.iter().map(|s| s.as_ref().unwrap().local_addr());
        let locals = locals.map(|local| (Protocol::Tcp, local.unwrap()));
        let udp = udp.iter().map(|s| s.as_ref().unwrap().local_addr());
        let locals = locals.chain(udp.map(|local| (Protocol::Udp, local.unwrap())));
        for (protocol, local) in locals {
            let ports = local.port()..=local.port();
            let here = read(protocol, &ports, Wanted::Holding).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let mut there = netlink.dump(protocol, &ports, Wanted::Holding).unwrap();
            there.iter_mut().for_each(|s| s.ipv6_only = false);
            assert_eq!(here, there);
            assert_eq!(here.first().map(Socket::local), Some(local));
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in "\\PC*") {
            let _ = parse(&line, Protocol::Tcp);
        }
    }
}
