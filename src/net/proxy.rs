//! The header that a load balancer puts in front of a connection (PROXY protocol, versions
//! 1 and 2, <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>).
//!
//! Not a byte behind the header is taken from the socket: what follows may be a TLS
//! handshake.

mod header;

pub use header::HeaderError;
use header::{FIXED_BYTES, LINE_BYTES_MAX, length, parse};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time};

/// Why there is no header to believe.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The connection ended, or broke, before the header did.
    #[error("no PROXY header: {0}")]
    Lost(#[from] io::Error),
    /// It took too long.
    #[error("no PROXY header in time")]
    Slow,
    /// What came is not to be believed.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Reads the header of a connection. None: the balancer speaks for itself (a health check),
/// or does not know the client.
///
/// # Errors
/// [`ProxyError`]: the connection is of no use.
pub async fn proxied(
    stream: &mut TcpStream,
    patience: Duration,
) -> Result<Option<SocketAddr>, ProxyError> {
    match time::timeout(patience, read_header(stream)).await {
        Ok(read) => read,
        Err(_) => Err(ProxyError::Slow),
    }
}

async fn read_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = Vec::new();
    let mut peeked = [0; FIXED_BYTES + LINE_BYTES_MAX];
    loop {
        let bytes = stream.peek(&mut peeked).await?;
        if bytes == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let new = peeked.get(..bytes).unwrap_or_default();
        let have = header.len();
        header.extend_from_slice(new);
        let wanted = length(&header)?;
        // What belongs to it is taken, and the rest left where it is.
        header.truncate(wanted.unwrap_or(header.len()));
        let taken = header.get_mut(have..).unwrap_or_default();
        stream.read_exact(taken).await?;
        if wanted.is_some_and(|wanted| wanted == header.len()) {
            return Ok(parse(&header)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{header::SIGNATURE, *};
    use tokio::io::AsyncWriteExt as _;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What is read of `pieces`, and what is left behind it.
    async fn read(pieces: &[&[u8]]) -> (Result<Option<SocketAddr>, ProxyError>, Vec<u8>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let receive = async {
            let read = proxied(&mut stream, PATIENCE).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            (read, rest)
        };
        let ((), received) = tokio::join!(send, receive);
        received
    }

    fn version_2(source: &str, destination: &str) -> Vec<u8> {
        let address = proxy_header::ProxiedAddress::stream(
            source.parse().unwrap(),
            destination.parse().unwrap(),
        );
        let mut bytes = vec![0; 1024];
        let header = proxy_header::ProxyHeader::with_address(address);
        let length = header.encode_to_slice_v2(&mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    #[tokio::test]
    async fn both_versions_name_the_client_wherever_they_are_cut() {
        let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 25\r\n".to_vec();
        let line6 = b"PROXY TCP6 2001:db8::9 2001:db8::1 4321 25\r\n".to_vec();
        let binary = version_2("203.0.113.9:4321", "192.0.2.1:25");
        let binary6 = version_2("[2001:db8::9]:4321", "[2001:db8::1]:25");
        for (header, client) in [
            (line, "203.0.113.9:4321"),
            (line6, "[2001:db8::9]:4321"),
            (binary, "203.0.113.9:4321"),
            (binary6, "[2001:db8::9]:4321"),
        ] {
            for cut in 0..=header.len() {
                let (first, second) = header.split_at(cut);
                let (read, rest) = read(&[first, second, b"EHLO x\r\n"]).await;
                assert_eq!(read.unwrap(), Some(client.parse().unwrap()), "{cut}");
                assert_eq!(rest, b"EHLO x\r\n");
            }
        }
    }

    #[tokio::test]
    async fn a_balancer_may_speak_for_itself() {
        let local = [SIGNATURE, b"\x20\x00\x00\x00"].concat();
        for header in [b"PROXY UNKNOWN\r\n".as_slice(), &local] {
            let (read, rest) = read(&[header, b"QUIT\r\n"]).await;
            assert_eq!(read.unwrap(), None);
            assert_eq!(rest, b"QUIT\r\n");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let padded = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat();
        let huge = [SIGNATURE, b"\x21\x11\xff\xff"].concat();
        let datagram = {
            let mut header = version_2("203.0.113.9:4321", "192.0.2.1:25");
            header[13] = 0x12;
            header
        };
        let short = [SIGNATURE, b"\x21\x11\x00\x04abcd"].concat();
        let version = [SIGNATURE, b"\x31\x11\x00\x00"].concat();
        for bad in [
            b"EHLO client.test\r\n".as_slice(),
            b"PROXY TCP4 203.0.113.9\r\n",
            b"PROXY TCP4 203.0.113.999 192.0.2.1 1 25\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 1 99999\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 1 25\n",
            b"PROXY UDP4 203.0.113.9 192.0.2.1 1 25\r\n",
            b"PROX",
            b"",
            b"\r\n\r\nx",
            &long,
            &padded,
            &huge,
            &datagram,
            &short,
            &version,
        ] {
            let (read, _) = read(&[bad]).await;
            assert!(read.is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[tokio::test]
    async fn a_slow_one_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client.write_all(b"PROXY TCP4 ").await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = proxied(&mut stream, Duration::from_millis(50)).await;
        assert!(matches!(read, Err(ProxyError::Slow)));
    }
}
