//! Answers of socket diagnostics: what is in them, however many come in one read.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../portfree/src/netlink.rs"]
mod netlink;
#[path = "../../../../portfree/src/ports.rs"]
mod ports;
#[path = "../../../../portfree/src/procnet.rs"]
mod procnet;
#[path = "../../../../portfree/src/prove.rs"]
mod prove;
#[path = "../../../../portfree/src/sockets.rs"]
mod sockets;

use std::net::{IpAddr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use netlink::Dump;
use sockets::{Protocol, Socket};

/// The sequence number of the seeds.
const SEQUENCE: u32 = 1;
/// `struct nlmsghdr` and `struct inet_diag_msg`.
const SHORTEST: usize = 16 + 72;

fuzz_target!(|bytes: &[u8]| {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut dump = Dump::new(SEQUENCE, protocol);
        let ended = dump.take(bytes).map_err(|error| error.raw_os_error());
        assert!(dump.sockets.len() <= bytes.len().div_ceil(SHORTEST));
        assert!(ended != Err(None) && ended != Err(Some(0)));

        // The same in one read for each message.
        let mut other = Dump::new(SEQUENCE, protocol);
        let mut last = Ok(false);
        for message in messages(bytes) {
            last = other.take(message).map_err(|error| error.raw_os_error());
            if last != Ok(false) {
                break;
            }
        }
        assert_eq!((&last, &other.sockets), (&ended, &dump.sockets));
        assert_eq!(other.is_consistent, dump.is_consistent);
    }
    if let Some((fields, attributes)) = bytes.split_first_chunk::<34>() {
        reads_back(fields, attributes);
    }
});

/// The buffer cut after each message that fits.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let message = rest.get(..length).filter(|_| length >= 16)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// A message as the kernel writes it, with any attributes behind it.
fn reads_back(fields: &[u8; 34], attributes: &[u8]) {
    let address: [u8; 16] = *fields.first_chunk().unwrap_or(&[0; 16]);
    let [.., p1, p0, u3, u2, u1, u0, i3, i2, i1, i0, state, _] = *fields;
    let (port, uid, inode) = ([p1, p0], [u3, u2, u1, u0], [i3, i2, i1, i0]);
    let mut body = [0; 72];
    body[0] = 10; // AF_INET6
    body[1] = state;
    body[4..6].copy_from_slice(&port);
    body[8..24].copy_from_slice(&address);
    body[64..68].copy_from_slice(&uid);
    body[68..72].copy_from_slice(&inode);
    let length = u32::try_from(SHORTEST + attributes.len()).unwrap_or(u32::MAX);
    let head = [length, 20, SEQUENCE, 0].map(u32::to_ne_bytes).concat();
    let mut dump = Dump::new(SEQUENCE, Protocol::Udp);
    let ended = dump.take(&[&head, &body[..], attributes].concat());
    assert_eq!(ended.ok(), Some(false));
    let [
        Socket {
            address: ip,
            port: number,
            state: sockets::State(letter),
            uid: user,
            inode: node,
            ..
        },
    ] = dump.sockets[..]
    else {
        panic!("{} sockets", dump.sockets.len())
    };
    assert_eq!(ip, IpAddr::V6(Ipv6Addr::from(address)));
    assert_eq!((number, letter), (u16::from_be_bytes(port), state));
    assert_eq!(user, u32::from_ne_bytes(uid));
    assert_eq!(node, u64::from(u32::from_ne_bytes(inode)));
}
