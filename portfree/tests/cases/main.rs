//! What only portfree does, driven through its binary, with real sockets and processes, each
//! test in PID and network namespaces of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod containers;
mod faults;
mod freeing;
mod holders;
mod looking;
mod next;
mod permission;
mod restarted;
mod rounds;
mod server;
mod spared;
