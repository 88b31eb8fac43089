//! The proof that a port is free: binding it, as a server would (bind(2), socket(7), ipv6(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use crate::ports::Port;
use crate::sockets::Protocol;

/// The traffic class of a socket that only proves a port (an unused one, DSCP 63): socket
/// diagnostics show it, so that no other portfree takes the proof for a holder.
pub(crate) const TRAFFIC_CLASS: u8 = 0xfc;

/// What trying to bind an address came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A server can start there now.
    Free,
    /// Something is in the way.
    InUse,
    /// This user may not bind it, so binding proves nothing.
    NotAllowed,
    /// This machine has no such address, or not this family.
    NoSuchAddress,
}

/// The addresses a server may want of this port: its own, or all of both families.
pub(crate) fn addresses(port: Port) -> Vec<IpAddr> {
    match port.address {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

/// Binds the address for a moment, and never listens. TCP with SO_REUSEADDR as servers do, which
/// passes over what TIME-WAIT they left; UDP without, where it would also pass over a holder.
/// Never with SO_REUSEPORT, which passes over a holder that has set it too.
///
/// # Errors
/// What has nothing to do with the port, such as no descriptor left.
pub(crate) fn bind_for_a_moment(
    protocol: Protocol,
    address: IpAddr,
    number: u16,
) -> io::Result<Proof> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let fd = match socket(family, kind, SockFlag::SOCK_CLOEXEC, None) {
        Ok(fd) => fd,
        Err(Errno::EAFNOSUPPORT) => return Ok(Proof::NoSuchAddress),
        Err(error) => return Err(error.into()),
    };
    // Where a sandbox denies the mark, the proof is as good.
    let _ = match address {
        IpAddr::V4(_) => setsockopt(&fd, sockopt::Ipv4Tos, &TRAFFIC_CLASS.into()),
        IpAddr::V6(_) => setsockopt(&fd, sockopt::Ipv6TClass, &TRAFFIC_CLASS.into()),
    };
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    if protocol == Protocol::Tcp {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    let local = SockaddrStorage::from(SocketAddr::new(address, number));
    match bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &local) {
        Ok(()) => Ok(Proof::Free),
        Err(Errno::EADDRINUSE) => Ok(Proof::InUse),
        Err(Errno::EACCES | Errno::EPERM) => Ok(Proof::NotAllowed),
        // EINVAL: a link-local address without its interface.
        Err(Errno::EADDRNOTAVAIL | Errno::EINVAL) => Ok(Proof::NoSuchAddress),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_listener_is_in_the_way_until_it_is_closed() {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let prove = || bind_for_a_moment(Protocol::Tcp, LOOPBACK, port).unwrap();
        assert_eq!(prove(), Proof::InUse);
        drop(listener);
        assert_eq!(prove(), Proof::Free);
    }

    #[test]
    fn udp_and_tcp_do_not_meet() {
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let prove = |protocol| bind_for_a_moment(protocol, LOOPBACK, port).unwrap();
        assert_eq!(prove(Protocol::Udp), Proof::InUse);
        assert_eq!(prove(Protocol::Tcp), Proof::Free);
    }

    #[test]
    fn an_address_of_another_machine() {
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let proof = bind_for_a_moment(Protocol::Tcp, elsewhere, 0).unwrap();
        assert_eq!(proof, Proof::NoSuchAddress);
    }
}
