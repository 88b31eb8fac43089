//! TLS by rustls: the system's roots, `--cacert`, `--insecure`.

mod trust;

use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, StreamOwned};

use crate::answer::Answer;
use crate::request::Request;
use crate::wire::Wire;
use trust::{Trust, is_own_authority};

/// Whom we trust, and the TLS set-up made from it at the first handshake.
#[derive(Debug)]
pub(crate) struct Tls {
    trust: Trust,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    /// Reads `--cacert`, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate.
    pub(crate) fn new(request: &Request) -> Result<Self, String> {
        Ok(Self {
            trust: Trust::new(request)?,
            config: OnceLock::new(),
        })
    }

    /// Speaks TLS on a connection to `host`, and checks that it is `host`.
    pub(crate) fn wrap(&self, mut wire: Wire, host: &str) -> Result<Stream, Answer> {
        let config = self.config.get_or_init(|| configure(&self.trust));
        let config = config.as_ref().map_err(Answer::unhealthy)?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Answer::unhealthy("certificate: no certificate can have such a name"))?;
        let mut connection = ClientConnection::new(Arc::clone(config), name)
            .map_err(|error| in_words(&error, host))?;
        while connection.is_handshaking() {
            connection
                .complete_io(&mut wire)
                .map_err(|error| from_io(&error, host))?;
        }
        Ok(Stream::Tls(Box::new(StreamOwned::new(connection, wire))))
    }
}

fn configure(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(CryptoProvider {
        key_provider: &NoKeys,
        ..ring::default_provider()
    });
    let verifier = trust.verifier(&provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// We show no certificate of our own: what reads and uses private keys stays out of the binary.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("no keys here".into()))
    }
}

fn from_io(error: &io::Error, host: &str) -> Answer {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(inner) => in_words(inner, host),
        None => Answer::from_io(error),
    }
}

/// A failed handshake in a few words.
fn in_words(error: &Error, host: &str) -> Answer {
    let why = match error {
        Error::InvalidCertificate(why) => format!("certificate: {}", reason(why, host)),
        Error::AlertReceived(alert) => format!("TLS: the server refuses ({alert:?})"),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => "no TLS".to_owned(),
        other => format!("TLS: {other}"),
    };
    Answer::unhealthy(why)
}

fn reason(error: &CertificateError, host: &str) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("not valid for {host}")
        }
        CertificateError::UnknownIssuer => "unknown issuer".into(),
        own if is_own_authority(own) => "self-signed".into(),
        other => format!("{other}"),
    }
}

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without.
    Plain(Wire),
    /// With.
    Tls(Box<StreamOwned<ClientConnection, Wire>>),
}

impl Stream {
    /// The connection underneath.
    pub(crate) fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(tls) => tls.get_mut(),
        }
    }

    /// Whether it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
