//! Whose certificates are believed when relay is the client: of an IMAP server, of a
//! destination.

use mail_send::smtp::tls::build_tls_connector;
use ring::digest::{SHA256, digest};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsConnector;

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that this host knows.
    System,
    /// Only these authorities, as PEM.
    Authorities(Vec<u8>),
    /// Only the server certificate with this SHA-256 (of its DER form), whatever its name,
    /// dates and issuer.
    Pin([u8; 32]),
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file with the authorities.
    #[error("{}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it, or what this host has.
    #[error("{detail}")]
    Unusable {
        /// Why.
        detail: String,
    },
}

impl Trust {
    /// What a configuration says: a pin (64 hexadecimal digits) before authorities, and
    /// without both this host's.
    ///
    /// # Errors
    /// [`TrustError::Unreadable`].
    pub fn load(pin: Option<&str>, ca: Option<&Path>) -> Result<Self, TrustError> {
        match (pin.and_then(sha256), ca) {
            (Some(pin), _) => Ok(Self::Pin(pin)),
            (None, Some(file)) => {
                let pem = std::fs::read(file).map_err(|source| TrustError::Unreadable {
                    file: file.to_owned(),
                    source,
                })?;
                Ok(Self::Authorities(pem))
            }
            (None, None) => Ok(Self::System),
        }
    }

    /// For handshakes with those that are believed.
    ///
    /// # Errors
    /// [`TrustError::Unusable`].
    pub fn connector(&self) -> Result<TlsConnector, TrustError> {
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| unusable(error.to_string()))
        };
        let config = match self {
            Self::System => return build_tls_connector(false).map_err(unusable),
            Self::Authorities(pem) => builder()?
                .with_root_certificates(authorities(pem)?)
                .with_no_client_auth(),
            Self::Pin(sha256) => builder()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned {
                    sha256: *sha256,
                    provider: default_provider(),
                }))
                .with_no_client_auth(),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn unusable(detail: String) -> TrustError {
    TrustError::Unusable { detail }
}

/// 64 hexadecimal digits, as the configuration has checked.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut pin = [0; 32];
    for (place, byte) in pin.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(pin)
}

/// The authorities in a PEM file.
///
/// # Errors
/// [`TrustError::Unusable`].
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, TrustError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| unusable(format!("authorities: {error:?}")))?;
        (store.add(certificate)).map_err(|error| unusable(format!("authorities: {error}")))?;
    }
    if store.is_empty() {
        return Err(unusable("authorities: no certificate in it".into()));
    }
    Ok(store)
}

/// Believes one certificate only, whatever else is in it. That the server has its key is
/// still checked: the certificate itself is public.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
    provider: CryptoProvider,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if digest(&SHA256, end_entity).as_ref() == self.sha256 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        (self.provider.signature_verification_algorithms).supported_schemes()
    }
}
