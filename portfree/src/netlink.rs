//! Socket diagnostics: one dump per family and protocol, filtered by the kernel (sock_diag(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::prove::TRAFFIC_CLASS;
use crate::sockets::{Protocol, Socket, State, Wanted};

/// `linux/sock_diag.h`, `linux/netlink.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x010;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `linux/inet_diag.h`: an attribute of the request, operations of the filter, and attributes
/// of the answer.
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_BC_S_GE: u8 = 2;
const INET_DIAG_BC_S_LE: u8 = 3;
const INET_DIAG_TOS: u16 = 5;
const INET_DIAG_TCLASS: u16 = 6;
const INET_DIAG_SKV6ONLY: u16 = 11;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_msg`, without its attributes.
const MESSAGE: usize = 72;
/// The kernel fills at most this much for one recv(2).
const BUFFER: usize = 32 * 1024;
/// A dump that was interrupted by changes is asked for again this often; the last one counts.
const TRIES: usize = 5;

/// A socket that is asked about sockets.
#[derive(Debug)]
pub(crate) struct Netlink {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    /// Opens the netlink socket.
    ///
    /// # Errors
    /// Where the kernel has no socket diagnostics, or a sandbox denies them.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self {
            fd,
            buffer: vec![0; BUFFER],
            sequence: 0,
        })
    }

    /// All sockets of this protocol, of both families, whose local port is in the range.
    ///
    /// # Errors
    /// What the kernel answered, such as ENOENT where it cannot diagnose this protocol.
    pub(crate) fn dump(
        &mut self,
        protocol: Protocol,
        ports: &RangeInclusive<u16>,
        wanted: Wanted,
    ) -> io::Result<Vec<Socket>> {
        let mut all = self.dump_family(libc::AF_INET, protocol, ports, wanted)?;
        match self.dump_family(libc::AF_INET6, protocol, ports, wanted) {
            Ok(mut sockets) => all.append(&mut sockets),
            // A kernel without IPv6.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
        Ok(all)
    }

    fn dump_family(
        &mut self,
        family: i32,
        protocol: Protocol,
        ports: &RangeInclusive<u16>,
        wanted: Wanted,
    ) -> io::Result<Vec<Socket>> {
        let mut sockets = Vec::new();
        for _ in 0..TRIES {
            self.sequence = self.sequence.wrapping_add(1);
            let request = request(self.sequence, family, protocol, ports, wanted);
            let kernel = NetlinkAddr::new(0, 0);
            sendto(self.fd.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
            let dump = self.receive(protocol)?;
            sockets = dump.sockets;
            if dump.is_consistent {
                break;
            }
        }
        Ok(sockets)
    }

    /// Reads one whole dump.
    fn receive(&mut self, protocol: Protocol) -> io::Result<Dump> {
        let mut dump = Dump::new(self.sequence, protocol);
        loop {
            let length = recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            if dump.take(self.buffer.get(..length).unwrap_or_default())? {
                return Ok(dump);
            }
        }
    }
}

/// What the kernel has answered to one request.
#[derive(Debug)]
pub(crate) struct Dump {
    sequence: u32,
    protocol: Protocol,
    /// Whether nothing changed in between.
    pub(crate) is_consistent: bool,
    /// The sockets so far.
    pub(crate) sockets: Vec<Socket>,
}

impl Dump {
    /// Nothing yet, of the request with this sequence number.
    pub(crate) fn new(sequence: u32, protocol: Protocol) -> Self {
        Self {
            sequence,
            protocol,
            is_consistent: true,
            sockets: Vec::new(),
        }
    }

    /// Takes one more answer; whether it is the last.
    ///
    /// # Errors
    /// What the kernel says instead of an answer.
    pub(crate) fn take(&mut self, answer: &[u8]) -> io::Result<bool> {
        for message in Messages(answer) {
            if message.sequence != self.sequence {
                continue;
            }
            self.is_consistent &= message.flags & NLM_F_DUMP_INTR == 0;
            match message.kind {
                NLMSG_ERROR | NLMSG_DONE => {
                    return match i32_at(message.body, 0) {
                        Some(code @ ..=-1) => {
                            Err(io::Error::from_raw_os_error(code.saturating_neg()))
                        }
                        _ => Ok(true),
                    };
                }
                _ => self.sockets.extend(parse(message.body, self.protocol)),
            }
        }
        Ok(false)
    }
}

/// `struct nlmsghdr`, `struct inet_diag_req_v2`, and a filter for the range of local ports.
fn request(
    sequence: u32,
    family: i32,
    protocol: Protocol,
    ports: &RangeInclusive<u16>,
    wanted: Wanted,
) -> Vec<u8> {
    let number = match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
    };
    let mut body = vec![
        family.to_le_bytes()[0],
        number.to_le_bytes()[0],
        // Attributes that are wanted; SKV6ONLY comes unasked.
        (1 << (INET_DIAG_TOS - 1)) | (1 << (INET_DIAG_TCLASS - 1)),
        0,
    ];
    body.extend(wanted.states(protocol).to_ne_bytes());
    body.extend([0; 48]); // struct inet_diag_sockid: any
    let filter = filter(*ports.start(), *ports.end());
    body.extend(u16_of(4 + filter.len()).to_ne_bytes());
    body.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
    body.extend(filter);

    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(u32::from(u16_of(HEADER + body.len())).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// A program of `struct inet_diag_bc_op`: at least `first`, at most `last`. The port to compare
/// with stands in the operation that follows; a "no" jumps past the end, which rejects.
fn filter(first: u16, last: u16) -> Vec<u8> {
    let operation = |code: u8, yes: u8, no: u16| {
        let [low, high] = no.to_ne_bytes();
        [code, yes, low, high]
    };
    [
        operation(INET_DIAG_BC_S_GE, 8, 20),
        operation(0, 0, first),
        operation(INET_DIAG_BC_S_LE, 8, 12),
        operation(0, 0, last),
    ]
    .concat()
}

fn u16_of(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// One netlink message.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages in a buffer; ends at the first one that does not fit.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            body: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Reads a `struct inet_diag_msg` and its attributes.
fn parse(body: &[u8], protocol: Protocol) -> Option<Socket> {
    let address = match i32::from(*body.first()?) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(bytes_at::<4>(body, 8)?)),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(bytes_at::<16>(body, 8)?)),
        _ => return None,
    };
    let attributes = body.get(MESSAGE..)?;
    Some(Socket {
        protocol,
        address,
        port: u16::from_be_bytes(bytes_at(body, 4)?),
        state: match State(*body.get(1)?) {
            // What is asked for as bound is answered as closed.
            State::UNCONNECTED if protocol == Protocol::Tcp => State::BOUND,
            state => state,
        },
        uid: u32_at(body, 64)?,
        inode: u32_at(body, 68)?.into(),
        ipv6_only: attribute(attributes, INET_DIAG_SKV6ONLY).is_some_and(|only| only != 0),
        is_proof: [INET_DIAG_TOS, INET_DIAG_TCLASS]
            .iter()
            .any(|&kind| attribute(attributes, kind) == Some(TRAFFIC_CLASS)),
    })
}

/// The one byte of an attribute (`struct nlattr`).
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<u8> {
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        if kind == wanted {
            return attributes.get(4).copied();
        }
        let next = usize::from(length.max(4)).next_multiple_of(4);
        attributes = attributes.get(next..).unwrap_or_default();
    }
    None
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}
fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes_at(bytes, at).map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, UdpSocket};

    fn dump(protocol: Protocol, port: u16, wanted: Wanted) -> Vec<Socket> {
        let mut netlink = Netlink::open().unwrap();
        netlink.dump(protocol, &(port..=port), wanted).unwrap()
    }

    #[test]
    fn the_kernel_names_a_listener_by_address_user_and_inode() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let found = dump(Protocol::Tcp, local.port(), Wanted::Holding);
        let [socket] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((socket.local(), socket.state), (local, State::LISTEN));
        assert_eq!(socket.uid, nix::unistd::geteuid().as_raw());
        let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
        let link = std::fs::read_link(link).unwrap();
        assert_eq!(link.to_str(), Some(&*format!("socket:[{}]", socket.inode)));
    }

    #[test]
    fn a_bound_socket_is_named_so() {
        let fd = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::empty(),
            None,
        )
        .unwrap();
        let any = nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 0);
        nix::sys::socket::bind(fd.as_raw_fd(), &any).unwrap();
        let local: nix::sys::socket::SockaddrIn =
            nix::sys::socket::getsockname(fd.as_raw_fd()).unwrap();
        let found = dump(Protocol::Tcp, local.port(), Wanted::Holding);
        // Kernels before 6.8 do not show it.
        assert!(
            found.iter().all(|s| s.state == State::BOUND && s.holds()),
            "{found:?}"
        );
    }

    #[test]
    fn udp_is_apart_from_tcp() {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(dump(Protocol::Udp, port, Wanted::Holding).len(), 1);
        assert_eq!(dump(Protocol::Tcp, port, Wanted::Holding).len(), 0);
        socket.connect("[::1]:9").unwrap();
        assert_eq!(dump(Protocol::Udp, port, Wanted::Holding).len(), 0);
        assert_eq!(dump(Protocol::Udp, port, Wanted::All).len(), 1);
    }

    #[test]
    fn an_error_may_have_any_number() {
        for code in [-1, i32::MIN] {
            let header = [20, NLMSG_ERROR.into(), 1, 0]
                .map(u32::to_ne_bytes)
                .concat();
            let answer = [&header, &code.to_ne_bytes()[..]].concat();
            assert!(Dump::new(1, Protocol::Tcp).take(&answer).is_err(), "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes: Vec<u8>) {
            let _ = Dump::new(1, Protocol::Tcp).take(&bytes);
            let _ = parse(&bytes, Protocol::Tcp);
            let _ = attribute(&bytes, INET_DIAG_SKV6ONLY);
        }
    }
}
