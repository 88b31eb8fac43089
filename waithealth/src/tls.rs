//! TLS by rustls: the system's roots, `--cacert`, `--insecure`.

use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, KeyProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SigningKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use crate::answer::Answer;
use crate::request::Request;
use crate::wire::Wire;

/// Whom we trust, and the TLS set-up made from it at the first handshake.
#[derive(Debug)]
pub(crate) struct Tls {
    trust: Trust,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

#[derive(Debug)]
enum Trust {
    System,
    Only(Vec<CertificateDer<'static>>),
    Anybody,
}

impl Tls {
    /// Reads `--cacert`, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate.
    pub(crate) fn new(request: &Request) -> Result<Self, String> {
        let trust = match &request.cacert {
            _ if request.insecure => Trust::Anybody,
            None => Trust::System,
            Some(path) => {
                let shown = path.display();
                let pem = std::fs::read(path).map_err(|error| {
                    format!("--cacert {shown}: {}", treekill::exec::os_words(&error))
                })?;
                let certificates: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(&pem).collect();
                match certificates {
                    Ok(certificates) if !certificates.is_empty() => Trust::Only(certificates),
                    _ => {
                        return Err(format!(
                            "--cacert {shown}: no certificate in it (PEM is wanted)"
                        ));
                    }
                }
            }
        };
        Ok(Self {
            trust,
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
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anybody => Arc::new(Anybody(Arc::clone(&provider))),
        Trust::System => {
            let system = rustls_native_certs::load_native_certs();
            usual(system.certs, &provider)?
        }
        Trust::Only(certificates) => Arc::new(Only {
            usual: usual(certificates.clone(), &provider)?,
            certificates: certificates.clone(),
        }),
    };
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

fn usual(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| "certificate: no roots to trust here (--cacert FILE names some)".to_owned())
}

/// Trusts what the given certificates sign, and those certificates themselves: what
/// `openssl req -x509` makes is its own authority, and no other verifier takes such a one from a
/// server.
#[derive(Debug)]
struct Only {
    usual: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self
            .usual
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match &verdict {
            // The dates have been checked before either of these is said.
            Err(Error::InvalidCertificate(why))
                if (is_own_authority(why) || *why == CertificateError::UnknownIssuer)
                    && self.certificates.contains(end_entity) =>
            {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn is_own_authority(error: &CertificateError) -> bool {
    match error {
        CertificateError::Other(other) => {
            other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}

/// `--insecure`: any certificate will do, as long as the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
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
