//! What a container engine answers when asked whose port it is.
#![no_main]
#![allow(dead_code)]

#[path = "../../../../portfree/src/forwarder.rs"]
mod forwarder;
#[path = "../../../../portfree/src/netlink.rs"]
mod netlink;
#[path = "../../../../portfree/src/origin.rs"]
mod origin;
#[path = "../../../../portfree/src/ports.rs"]
mod ports;
#[path = "../../../../portfree/src/procnet.rs"]
mod procnet;
#[path = "../../../../portfree/src/prove.rs"]
mod prove;
#[path = "../../../../portfree/src/sockets.rs"]
mod sockets;

use libfuzzer_sys::fuzz_target;
use sockets::{Protocol, Socket, State};

/// Whom the question is about.
const SOCKET: Socket = Socket {
    protocol: Protocol::Tcp,
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    port: 8000,
    state: State::LISTEN,
    uid: 0,
    inode: 1,
    ipv6_only: false,
    is_proof: false,
};

fuzz_target!(|bytes: &[u8]| {
    // The same bytes as a whole answer, and as its body.
    let body = [b"HTTP/1.0 200 OK\r\n\r\n", bytes].concat();
    for answer in [bytes, &body] {
        let containers = forwarder::containers(answer);
        let name = containers.and_then(|containers| forwarder::published(&containers, &SOCKET));
        if name.is_some() {
            let says = |word: &[u8]| answer.windows(word.len()).any(|window| window == word);
            assert!(says(b"8000") || says(b"\\u"));
        }
    }
});
