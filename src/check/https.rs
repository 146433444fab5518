//! One file from a web server over HTTPS: no redirect, bounded in time and size.

use super::{CONNECT_MAX, Checker, REPLY_MAX};
use axum::{
    body::Bytes,
    http::{Request, StatusCode, header},
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, crypto::ring::default_provider, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// RFC 8461 §3.3 suggests 64 kB for a policy.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A proxy's answer to CONNECT.
const PROXY_BYTES_MAX: usize = 8 * 1024;

/// A file.
pub(super) struct Fetched {
    pub(super) body: String,
    /// What the server's clock said, in milliseconds since 1970.
    pub(super) date_ms: Option<u64>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Silent,
    #[error("{host} has no address")]
    Nowhere { host: String },
    #[error(transparent)]
    Dns(#[from] crate::dns::DnsError),
    #[error("the proxy said `{said}`")]
    Proxy { said: String },
    #[error("it answered {status}")]
    Status { status: StatusCode },
    #[error("{detail}")]
    Http { detail: String },
}

/// `https://HOST PATH`, directly or through `check.https_proxy`.
pub(super) async fn fetch(
    checker: &Checker,
    host: &str,
    path: &str,
) -> Result<Fetched, FetchError> {
    let connected = timeout(CONNECT_MAX, connect(checker, host)).await;
    let tcp = connected.map_err(|_| FetchError::Silent)??;
    let work = timeout(REPLY_MAX, get(checker, host, path, tcp)).await;
    work.map_err(|_| FetchError::Silent)?
}

async fn connect(checker: &Checker, host: &str) -> Result<TcpStream, FetchError> {
    if let Some(proxy) = &checker.config.check.https_proxy {
        return tunnel(proxy, host).await;
    }
    let addresses = checker.dns.addresses(host).await?.records;
    let mut last = FetchError::Nowhere { host: host.into() };
    for address in addresses {
        match TcpStream::connect(at(address)).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 443)
}

/// RFC 9110 §9.3.6.
async fn tunnel(proxy: &str, host: &str) -> Result<TcpStream, FetchError> {
    let mut tcp = TcpStream::connect(proxy).await?;
    let request = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    tcp.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    // Byte by byte: what comes behind the answer is the web server's.
    while !said.ends_with(b"\r\n\r\n") && said.len() < PROXY_BYTES_MAX {
        said.push(tcp.read_u8().await?);
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    let first = said.lines().next().unwrap_or_default().to_owned();
    if first
        .split(' ')
        .nth(1)
        .is_some_and(|code| code.starts_with('2'))
    {
        return Ok(tcp);
    }
    Err(FetchError::Proxy { said: first })
}

async fn get(
    checker: &Checker,
    host: &str,
    path: &str,
    tcp: TcpStream,
) -> Result<Fetched, FetchError> {
    let http = |error: &dyn std::fmt::Display| FetchError::Http {
        detail: error.to_string(),
    };
    let tls = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| http(&error))?
        .with_root_certificates(checker.trust.roots())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| http(&error))?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| http(&error))?;
    // Its error is that of the request too.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "relay")
        .body(Empty::<Bytes>::new())
        .map_err(|error| http(&error))?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| http(&error))?;
    // RFC 8461 §3.3: anything but 200 is no policy; redirects are not followed.
    if answer.status() != StatusCode::OK {
        let status = answer.status();
        return Err(FetchError::Status { status });
    }
    let date = answer.headers().get(header::DATE);
    let date_ms = date.and_then(|date| {
        let date = jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok()?;
        u64::try_from(date.timestamp().as_millisecond()).ok()
    });
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect();
    let body = body.await.map_err(|error| http(&error))?.to_bytes();
    Ok(Fetched {
        body: String::from_utf8_lossy(&body).into_owned(),
        date_ms,
    })
}
