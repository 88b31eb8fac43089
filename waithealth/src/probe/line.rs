//! The connections under ureq: our own, so that all that is read and written on them ends by one
//! deadline, through redirects too.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use treekill::duration::Deadline;
use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ArrayVec, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::buffers::Growing;
use super::http::Shared;
use super::local;
use crate::answer::Answer;
use crate::cli::Family;
use crate::names::Names;
use crate::reach::Calls;
use crate::request::Request;
use crate::target::{HttpTarget, Peer, Route};
use crate::tls::Stream;
use crate::wire::Wire;

/// Connects for ureq: the first time with the connection that is open already, then to wherever
/// a redirect leads.
#[derive(Debug)]
pub(super) struct Line {
    first: Mutex<Option<Wire>>,
    target: Arc<HttpTarget>,
    family: Family,
    shared: Arc<Shared>,
    patience: Patience,
}

impl Line {
    /// A line whose first connection is this one.
    pub(super) fn new(
        wire: Wire,
        target: &Arc<HttpTarget>,
        family: Family,
        shared: &Arc<Shared>,
    ) -> Self {
        Self {
            patience: Patience::until(wire.deadline),
            first: Mutex::new(Some(wire)),
            target: Arc::clone(target),
            family,
            shared: Arc::clone(shared),
        }
    }

    /// When its reads end.
    pub(super) fn patience(&self) -> Patience {
        self.patience.clone()
    }

    fn open(&self, uri: &Uri) -> Result<Wire, Answer> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(wire) = first {
            return Ok(wire);
        }
        let deadline = self.patience.get();
        if let (Route::Socket(path), true) = (
            &self.target.route,
            uri.authority() == self.target.uri.authority(),
        ) {
            return local::open(path, deadline);
        }
        let nowhere = || Answer::unhealthy("redirect to no URL of ours");
        let host = uri.host().ok_or_else(nowhere)?;
        let usual = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let peer = Peer {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(usual),
        };
        let mut calls = Calls::new(Names::new(peer, self.family).addresses(deadline)?);
        calls.next(deadline).ok_or_else(|| calls.verdict())
    }
}

impl Line {
    /// Bytes that the head of a request may need: ureq writes it in one piece.
    fn room_for_a_request(&self, uri: &Uri) -> usize {
        let Request {
            method,
            headers,
            basic_auth,
            ..
        } = &self.shared.request;
        let headers = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4);
        let credentials = basic_auth.as_ref().or(self.target.credentials.as_ref());
        // The host stands in the URL and in a header; Base64 makes four bytes of three.
        method.as_str().len()
            + 2 * uri.to_string().len()
            + headers.sum::<usize>()
            + credentials.map_or(0, |text| 2 * text.len())
            + 1024
    }
}

impl Connector for Line {
    type Out = Talk;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Talk>, Error> {
        let wire = self.open(details.uri).map_err(Carried)?;
        let stream = if details.needs_tls() {
            let host = details.uri.host().unwrap_or_default();
            self.shared.tls.wrap(wire, host).map_err(Carried)?
        } else {
            Stream::Plain(wire)
        };
        Ok(Some(Talk {
            stream,
            buffers: Growing::new(self.room_for_a_request(details.uri)),
            patience: self.patience.clone(),
        }))
    }
}

/// An open connection as ureq wants it.
#[derive(Debug)]
pub(super) struct Talk {
    stream: Stream,
    buffers: Growing,
    patience: Patience,
}

impl Transport for Talk {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.stream.wire().deadline = self.patience.get();
        let output = &self.buffers.output[..amount];
        self.stream.write_all(output)?;
        Ok(self.stream.flush()?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        self.stream.wire().deadline = self.patience.get();
        let amount = self
            .stream
            .read(self.buffers.input_append_buf())
            .map_err(broken)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

/// A connection that breaks off is no end of a body: ureq would take these kinds for one.
fn broken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Carried(Answer::unhealthy("reset")).into()
        }
        io::ErrorKind::UnexpectedEof => {
            Carried(Answer::unhealthy("closed without an answer")).into()
        }
        _ => error.into(),
    }
}

/// ureq asks a resolver before it connects; [`Line`] looks names up itself.
#[derive(Debug)]
pub(super) struct Unused;

impl Resolver for Unused {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        Ok(ArrayVec::from_fn(|_| ([0, 0, 0, 0], 0).into()))
    }
}

/// When the reads of an exchange end: by the attempt's deadline, sooner once the verdict is in.
#[derive(Clone, Debug)]
pub(super) struct Patience(Arc<Mutex<Deadline>>);

impl Patience {
    fn until(deadline: Deadline) -> Self {
        Self(Arc::new(Mutex::new(deadline)))
    }

    fn get(&self) -> Deadline {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends them after `length`, if that is sooner.
    pub(super) fn shorten(&self, length: Duration) {
        let sooner = self.get().earlier(Deadline::after(length));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sooner;
    }
}

/// Our own answer on its way through ureq.
#[derive(Debug)]
pub(super) struct Carried(pub Answer);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Carried {}

impl From<Carried> for Error {
    fn from(carried: Carried) -> Self {
        Self::Other(Box::new(carried))
    }
}
