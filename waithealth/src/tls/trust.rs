//! Whom we trust: what checks a server's certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::request::Request;

/// Whom we trust.
#[derive(Debug)]
pub(super) enum Trust {
    /// The roots of this system.
    System,
    /// What is in `--cacert`.
    Only(Vec<CertificateDer<'static>>),
    /// `--insecure`.
    Anybody,
}

impl Trust {
    /// Reads `--cacert`, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate.
    pub(super) fn new(request: &Request) -> Result<Self, String> {
        if request.insecure {
            return Ok(Self::Anybody);
        }
        let Some(path) = &request.cacert else {
            return Ok(Self::System);
        };
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|error| {
            let why = treekill::exec::os_words(&error);
            format!("--cacert {shown}: {why}")
        })?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(Self::Only(certificates)),
            _ => Err(format!(
                "--cacert {shown}: no certificate in it (PEM is wanted)"
            )),
        }
    }

    /// What checks certificates in this way.
    ///
    /// # Errors
    /// There are no roots to trust.
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        Ok(match self {
            Self::Anybody => Arc::new(Anybody(Arc::clone(provider))),
            Self::System => usual(rustls_native_certs::load_native_certs().certs, provider)?,
            Self::Only(certificates) => Arc::new(Only {
                usual: usual(certificates.clone(), provider)?,
                certificates: certificates.clone(),
            }),
        })
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

/// Whether a server shows an authority's certificate as its own.
pub(super) fn is_own_authority(error: &CertificateError) -> bool {
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
