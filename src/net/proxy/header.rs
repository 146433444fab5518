//! The header as such: how long it is, and whom it names. Knows no socket.

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use std::net::SocketAddr;

/// The longest header of version 1, CRLF included (§2.1).
pub(super) const LINE_BYTES_MAX: usize = 107;
/// What version 2 begins with (§2.2).
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and length.
pub(super) const FIXED_BYTES: usize = 16;
/// The longest header of version 2 that is read. Addresses take 36 bytes (216 for Unix
/// sockets); what balancers add behind them, such as a connection's id, takes a few hundred.
const HEADER_BYTES_MAX: usize = 4096;

/// Why a header is not to be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// What came is none.
    #[error("a malformed PROXY header, or none")]
    Malformed,
    /// It is longer than any balancer needs.
    #[error("a PROXY header of {bytes} bytes")]
    TooLong {
        /// How long it says it is.
        bytes: usize,
    },
}

/// How long the header that begins with `seen` is; none: that is not to be seen yet.
///
/// # Errors
/// [`HeaderError`], as soon as it is certain.
pub fn length(seen: &[u8]) -> Result<Option<usize>, HeaderError> {
    let begins = |whole: &[u8]| {
        let common = seen.len().min(whole.len());
        seen.get(..common) == whole.get(..common)
    };
    if begins(SIGNATURE) {
        let Some(&[high, low]) = seen.get(FIXED_BYTES - 2..FIXED_BYTES) else {
            return Ok(None);
        };
        let bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
        return match bytes {
            ..=HEADER_BYTES_MAX => Ok(Some(bytes)),
            _ => Err(HeaderError::TooLong { bytes }),
        };
    }
    if !begins(b"PROXY ") {
        return Err(HeaderError::Malformed);
    }
    match memchr::memchr(b'\n', seen) {
        Some(end) if end < LINE_BYTES_MAX => Ok(Some(end + 1)),
        None if seen.len() < LINE_BYTES_MAX => Ok(None),
        _ => Err(HeaderError::TooLong { bytes: seen.len() }),
    }
}

/// Whom a whole header names as the client; none: nobody, for the balancer speaks for itself.
///
/// # Errors
/// [`HeaderError::Malformed`].
pub fn parse(header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (parsed, bytes) = ProxyHeader::parse(header, config).map_err(|_| HeaderError::Malformed)?;
    match parsed.proxied_address() {
        _ if bytes != header.len() => Err(HeaderError::Malformed),
        Some(address) if address.protocol == Protocol::Stream => Ok(Some(address.source)),
        // Mail does not come by UDP.
        Some(_) => Err(HeaderError::Malformed),
        None => Ok(None),
    }
}
