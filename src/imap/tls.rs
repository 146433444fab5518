//! TLS towards an IMAP server.

use super::{
    endpoint::{Endpoint, Trust},
    error::Error,
};
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
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The handshake.
///
/// # Errors
/// [`Error::Tls`].
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &Endpoint,
    stream: S,
) -> Result<TlsStream<S>, Error> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| failed(format!("`{}` is no name of a server", endpoint.host)))?;
    let connector = connector(&endpoint.trust)?;
    (connector.connect(name, stream).await).map_err(|error| failed(error.to_string()))
}

fn failed(detail: String) -> Error {
    Error::Tls { detail }
}

fn connector(trust: &Trust) -> Result<TlsConnector, Error> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))
    };
    let config = match trust {
        Trust::System => return build_tls_connector(false).map_err(failed),
        Trust::Authorities(pem) => builder()?
            .with_root_certificates(authorities(pem)?)
            .with_no_client_auth(),
        Trust::Pin(sha256) => builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                sha256: *sha256,
                provider: default_provider(),
            }))
            .with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| failed(format!("authorities: {error:?}")))?;
        (store.add(certificate)).map_err(|error| failed(format!("authorities: {error}")))?;
    }
    if store.is_empty() {
        return Err(failed("authorities: no certificate in it".into()));
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
