//! TLS towards destinations.

use super::{outside::Line, reply::FailureKind, target::Target};
use crate::{config::DestinationTls, trust::Trust};
use mail_send::smtp::tls::build_tls_connector;
use rustls::pki_types::ServerName;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// TLS cannot be set up on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS towards destinations cannot be set up: {detail}")]
pub struct TlsError {
    /// Why.
    pub detail: String,
}

/// The two ways to look at a destination's certificate.
#[derive(Clone)]
pub struct TlsClients {
    /// Any certificate will do (RFC 7435).
    any: TlsConnector,
    /// One of an authority that this host knows, for the destination's name. Where the
    /// host knows none, only destinations that ask for it suffer.
    verified: Result<TlsConnector, TlsError>,
}

impl TlsClients {
    /// Reads this host's certificate authorities.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new() -> Result<Self, TlsError> {
        let connector = |any| build_tls_connector(any).map_err(|detail| TlsError { detail });
        Ok(Self {
            any: connector(true)?,
            verified: connector(false),
        })
    }

    /// The handshake.
    ///
    /// # Errors
    /// [`FailureKind::Tls`] or [`FailureKind::Lost`].
    pub async fn handshake<L: Line>(
        &self,
        target: &Target,
        line: L,
    ) -> Result<TlsStream<L>, FailureKind> {
        let failed = |detail: String| FailureKind::Tls { detail };
        let host = &target.host;
        let connector = self.connector(target).map_err(failed)?;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| failed(format!("`{host}` is no name that a certificate could have")))?;
        connector
            .connect(name, line)
            .await
            .map_err(|error| failed(format!("the handshake failed: {error}")))
    }

    /// A file with authorities is read for each handshake: it may be renewed, and
    /// connections are kept.
    fn connector(&self, target: &Target) -> Result<TlsConnector, String> {
        let (ca, pin) = (target.ca.as_deref(), target.pin.as_deref());
        match (&self.verified, target.tls) {
            (_, DestinationTls::Verified) if ca.is_some() || pin.is_some() => {
                let trust = Trust::load(pin, ca).and_then(|trust| trust.connector());
                trust.map_err(|error| error.to_string())
            }
            (Ok(verified), DestinationTls::Verified) => Ok(verified.clone()),
            (Err(error), DestinationTls::Verified) => Err(error.to_string()),
            _ => Ok(self.any.clone()),
        }
    }
}
