//! A build without TLS: `https://` targets are refused before anything is probed.

use std::io::{self, Read, Write};

use crate::answer::Answer;
use crate::request::Request;
use crate::wire::Wire;

/// No TLS.
#[derive(Debug)]
pub(crate) struct Tls;

impl Tls {
    /// # Errors
    /// `--cacert` has no meaning here.
    pub(crate) fn new(request: &Request) -> Result<Self, String> {
        match request.cacert {
            Some(_) => Err("--cacert: built without TLS".into()),
            None => Ok(Self),
        }
    }

    /// Where a redirect leads to `https://`.
    pub(crate) fn wrap(&self, _: Wire, _: &str) -> Result<Stream, Answer> {
        Err(Answer::unhealthy("redirect to https: built without TLS"))
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without TLS, as all are here.
    Plain(Wire),
}

impl Stream {
    /// The connection underneath.
    pub(crate) fn wire(&mut self) -> &mut Wire {
        let Self::Plain(wire) = self;
        wire
    }

    /// Never encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        false
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire().read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire().flush()
    }
}
