//! A process with a hostile name: `hostile [PORT] [WORD...]` calls itself something that would
//! forge a record and colour a terminal, listens on PORT (0: on none), ignores TERM where a WORD
//! is `deaf`, and waits to be killed.

use std::ffi::CString;
use std::io;
use std::net::TcpListener;

use nix::sys::signal::{SigSet, Signal};

fn main() -> io::Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let port = words.first().and_then(|word| word.to_str()?.parse().ok());
    let _listener = match port {
        None | Some(0) => None,
        Some(port) => Some(TcpListener::bind(("127.0.0.1", port))?),
    };
    if words.iter().any(|word| word == "deaf") {
        SigSet::from(Signal::SIGTERM).thread_block()?;
    }
    // Not valid UTF-8, and 15 bytes at most.
    let name = CString::new(b"1\t2\n\x1b[31m\\\xff\r").map_err(io::Error::other)?;
    nix::sys::prctl::set_name(&name)?;
    loop {
        nix::unistd::pause();
    }
}
