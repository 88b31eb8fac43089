//! What every test of this house needs: a world of its own, real processes, and waiting on
//! conditions instead of hoping.
//!
//! # Theory of operation
//!
//! A test that signals by name, port, pattern or tree must not meet the machine it runs on. Its
//! first line is [`in_namespace!`](crate::in_namespace): the test binary runs itself again, for
//! this one test, in new PID, mount and network namespaces, and the outer test only reports how
//! that went. Three processes take part:
//!
//! ```text
//! outer test ── unshare(1) ── PID 1: the binary again, as init ── the binary again: the test
//! ```
//!
//! The init reaps every orphan at once and ends with the test's status; the kernel then kills
//! whatever the test left behind. The test itself leads a session without a terminal. As root
//! the namespaces are made directly, else through a user namespace; where neither is allowed the
//! test is skipped with its reason, and fails where `CI=true`.
//!
//! In that world a test starts servers as [`Running`], which end with their guard; runs a tool to
//! its end with [`Tool`], which yields a readable [`Ran`]; types into programs through a
//! [`Terminal`]; runs a server with the project's scripts as a [`Service`]; lets system calls of a
//! tool fail with [`faults`]; looks at processes with [`process`]; and waits with [`wait_until`].
//! What is not installed is asked for with [`needs!`](crate::needs!).
//!
//! ```no_run
//! use testkit::{Running, Tool, free_port, in_namespace, process, wait_until};
//!
//! #[test]
//! fn frees_a_port() {
//!     in_namespace!();
//!     let port = free_port().to_string();
//!     let server = Running::start(Tool::named("python3").args(["-m", "http.server", &port]));
//!     wait_until("the server listens", || process::accepts(&port));
//!     Tool::named("portfree").arg(&port).run().expect_code(0);
//!     assert!(process::gone(server.pid()));
//! }
//! ```

// The failure of a test's helper is the failure of the test.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod docker;
pub mod faults;
pub mod fire;
pub mod namespace;
pub mod needs;
pub mod packaging;
pub mod process;
mod running;
mod service;
pub mod sys;
mod systemd;
mod terminal;
mod tool;
mod world;

pub use namespace::Namespace;
pub use running::Running;
pub use service::{Service, script};
pub use systemd::Systemd;
pub use terminal::Terminal;
pub use tool::{Ran, Tool, bin};
pub use world::{DEADLINE, free_port, repository, scratch, wait_until, wait_within};
