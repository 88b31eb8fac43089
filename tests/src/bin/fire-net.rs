//! Holds random sockets: for the fire test of portfree.
//!
//! `fire-net WORD...` does as each word says, in order, then says `ready` on standard output and sleeps.
//! What cannot be bound is said as `cannot`, and ends it.
//!
//! ```text
//! listen=ADDRESS        a TCP server     plainly=ADDRESS  the same without SO_REUSEADDR
//! bind=ADDRESS          TCP, not listening
//! udp=ADDRESS           a UDP server
//! connect=ADDRESS       a TCP client     from=OWN=ADDRESS  with this address of its own
//! udp-connect=ADDRESS   a UDP client     udp-from=OWN=ADDRESS
//! accept                takes the connections that come to the first of its sockets
//! share                 a child with the same sockets
//! worker                a child without any
//! ignores | blocks      signals that ask it to end; all of them
//! session               leads a session
//! ```

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, accept, bind, connect, listen,
    setsockopt, socket, sockopt,
};
use nix::unistd::{pause, setsid};
use testkit::sys::{fork, ignore};

fn main() -> ExitCode {
    let mut sockets = Vec::new();
    let mut accepts = false;
    for word in std::env::args().skip(1) {
        if word == "accept" {
            accepts = true;
        } else if let Err(error) = obey(&word, &mut sockets) {
            let _ = writeln!(io::stdout(), "cannot {word}: {error}");
            return ExitCode::FAILURE;
        }
    }
    let _ = writeln!(io::stdout(), "ready");
    while let Some(server) = sockets.first().filter(|_| accepts) {
        // The connection stays open: nobody closes this number.
        accepts = accept(server.as_raw_fd()).is_ok();
    }
    rest()
}

fn rest() -> ! {
    loop {
        pause();
    }
}

fn obey(word: &str, sockets: &mut Vec<OwnedFd>) -> io::Result<()> {
    let words: Vec<&str> = word.split('=').collect();
    let address = |text: &str| text.parse().map_err(io::Error::other);
    match words[..] {
        ["listen", at] => sockets.push(bound(SockType::Stream, address(at)?, true)?),
        ["plainly", at] => sockets.push(bound(SockType::Stream, address(at)?, false)?),
        ["bind", at] => sockets.push(bound(SockType::Stream, address(at)?, true)?),
        ["udp", at] => sockets.push(bound(SockType::Datagram, address(at)?, false)?),
        ["connect", to] => sockets.push(client(SockType::Stream, None, address(to)?)?),
        ["from", own, to] => {
            sockets.push(client(SockType::Stream, Some(address(own)?), address(to)?)?);
        }
        ["udp-connect", to] => sockets.push(client(SockType::Datagram, None, address(to)?)?),
        ["udp-from", own, to] => {
            sockets.push(client(
                SockType::Datagram,
                Some(address(own)?),
                address(to)?,
            )?);
        }
        ["share"] => {
            if fork()?.is_none() {
                rest();
            }
        }
        ["worker"] => {
            if fork()?.is_none() {
                sockets.clear();
                rest();
            }
        }
        ["ignores"] => {
            let asking = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
            asking.into_iter().for_each(ignore);
        }
        ["blocks"] => SigSet::all().thread_block()?,
        ["session"] => drop(setsid()?),
        _ => return Err(io::Error::other("no such word")),
    }
    if matches!(words[0], "listen" | "plainly") {
        let last = sockets
            .last()
            .ok_or_else(|| io::Error::other("no socket"))?;
        listen(last, Backlog::MAXCONN)?;
    }
    Ok(())
}

fn new_socket(kind: SockType, like: SocketAddr) -> io::Result<OwnedFd> {
    let family = if like.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

fn bound(kind: SockType, at: SocketAddr, reusable: bool) -> io::Result<OwnedFd> {
    let fd = new_socket(kind, at)?;
    if reusable {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(fd)
}

fn client(kind: SockType, own: Option<SocketAddr>, to: SocketAddr) -> io::Result<OwnedFd> {
    let fd = match own {
        Some(own) => bound(kind, own, false)?,
        None => new_socket(kind, to)?,
    };
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(fd)
}
