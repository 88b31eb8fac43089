//! Lines of `/proc/net/{tcp,tcp6,udp,udp6}`.
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

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sockets::{Protocol, Socket};

fuzz_target!(|text: &str| {
    for line in text.lines() {
        if let Some(socket) = procnet::parse(line, Protocol::Tcp) {
            assert_eq!(
                procnet::parse(&line_of(&socket), Protocol::Tcp),
                Some(socket)
            );
        }
    }
});

/// The line as the kernel writes it.
fn line_of(socket: &Socket) -> String {
    let words = |bytes: &[u8]| -> String {
        let words = bytes
            .chunks_exact(4)
            .filter_map(|word| word.try_into().ok());
        words
            .map(|word| format!("{:08X}", u32::from_ne_bytes(word)))
            .collect()
    };
    let address = match socket.address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    };
    let (port, state, uid) = (socket.port, socket.state.0, socket.uid);
    format!(
        "  12: {address}:{port:04X} 00000000:0000 {state:02X} 00000000:00000000 00:00000000 00000000 \
         {uid:5}        0 {} 1 0000000000000000 100 0 0 10 0",
        socket.inode
    )
}
