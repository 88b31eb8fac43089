//! The probes: one attempt at a target, each protocol in a file of its own.

mod buffers;
mod exec;
mod http;
mod line;
mod local;
mod mongodb;
mod mysql;
mod postgres;
mod redis;

use std::path::PathBuf;
use std::sync::Arc;

use treekill::duration::Deadline;

use crate::answer::Answer;
use crate::cli::Family;
use crate::names::Names;
use crate::reach::reach;
use crate::target::{Kind, Peer};
use crate::wire::Wire;

pub(crate) use exec::{Running, Shell};
pub(crate) use http::Shared;

/// A target with what its attempts keep from one to the next.
pub(crate) enum Probe {
    /// HTTP, over any route.
    Http(Box<http::Http>),
    /// A server that is reached by TCP, and what is said to it.
    Server(Names, fn(Wire) -> Answer),
    /// A Unix socket.
    Socket(PathBuf),
    /// A file.
    File(PathBuf),
    /// A command.
    Command(Shell, Arc<Running>),
}

impl Probe {
    /// A probe of this target.
    pub(crate) fn new(
        kind: Kind,
        family: Family,
        shared: &Arc<Shared>,
        running: &Arc<Running>,
    ) -> Self {
        let server = |peer: Peer, speak| Self::Server(Names::new(peer, family), speak);
        match kind {
            Kind::Http(target) => Self::Http(Box::new(http::Http::new(target, family, shared))),
            Kind::Tcp(peer) => server(peer, |_| Answer::healthy("connected")),
            Kind::Postgres(peer) => server(peer, postgres::speak),
            Kind::Redis(peer) => server(peer, redis::speak),
            Kind::Mysql(peer) => server(peer, mysql::speak),
            Kind::Mongodb(peer) => server(peer, mongodb::speak),
            Kind::Unix(path) => Self::Socket(path),
            Kind::File(path) => Self::File(path),
            Kind::Exec(line) => Self::Command(Shell::new(&line), Arc::clone(running)),
        }
    }

    /// One attempt; it ends by the deadline.
    pub(crate) fn attempt(&mut self, deadline: Deadline) -> Answer {
        match self {
            Self::Http(http) => http.attempt(deadline),
            Self::Server(names, speak) => reach(names, deadline, *speak),
            Self::Socket(path) => local::socket(path, deadline),
            Self::File(path) => local::file(path),
            Self::Command(shell, running) => shell.attempt(running, deadline),
        }
    }
}
