//! What only waithealth does, driven through its binary.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod databases;
mod docker;
mod http;
mod kit;
mod no_tls;
mod outcome;
mod targets;
mod tls;
mod traps;
mod watched;
