//! What `pidlock` promises, asked of its binary with real processes and a real kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod detach;
mod faults;
mod files;
mod guarantees;
mod jobs;
mod options;
mod status;
mod storms;
mod world;
