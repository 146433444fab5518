//! TLS towards an IMAP server.

use super::{endpoint::Endpoint, error::Error};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

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
    let connector = (endpoint.trust.connector()).map_err(|error| failed(error.to_string()))?;
    (connector.connect(name, stream).await).map_err(|error| failed(error.to_string()))
}

fn failed(detail: String) -> Error {
    Error::Tls { detail }
}
