//! A look at an SMTP server: its greeting, its name, and the certificates that it shows after
//! STARTTLS, whoever signed them. The releases' own connections tell no certificate, and
//! end where a server is the relay itself.

use super::{CONNECT_MAX, Checker, REPLY_MAX};
use crate::{
    config::DestinationProtocol,
    release::{
        commands::{Features, hello},
        target::Target,
    },
};
use rustls::pki_types::CertificateDer;
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// A reply with all its lines.
const REPLY_BYTES_MAX: u64 = 64 * 1024;

/// What a server shows, the server's own certificate first.
pub(super) type Chain = Vec<CertificateDer<'static>>;

/// What was seen.
pub(super) struct Seen {
    /// What it calls itself.
    pub(super) name: String,
    /// Its certificates; nothing where it has no TLS.
    pub(super) chain: Option<Chain>,
}

/// Why there was nothing to see.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    /// No connection, or none any more.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing came in time.
    #[error("no answer in {} s", REPLY_MAX.as_secs())]
    Silent,
    /// Not what a server says.
    #[error("it said `{text}`")]
    Said {
        /// Its words.
        text: String,
    },
    /// No TLS although it was offered.
    #[error("STARTTLS is offered, and fails: {detail}")]
    Tls {
        /// Why.
        detail: String,
    },
}

/// Looks at the server at `address`; `host` is the name for TLS.
pub(super) async fn look(
    checker: &Checker,
    address: SocketAddr,
    host: &str,
    protocol: DestinationProtocol,
) -> Result<Seen, ProbeError> {
    let tcp = within(TcpStream::connect(address)).await?;
    let mut stream = BufReader::new(tcp);
    let greeting = read(&mut stream, "220").await?;
    let command = hello(protocol, &checker.config.hostname);
    within(stream.write_all(command.as_bytes())).await?;
    let features = Features::parse(read(&mut stream, "250").await?.as_bytes());
    let name = greeting.get(4..).unwrap_or_default();
    let name = name
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    if !features.starttls {
        let _ = within(stream.write_all(b"QUIT\r\n")).await;
        return Ok(Seen { name, chain: None });
    }
    within(stream.write_all(b"STARTTLS\r\n")).await?;
    read(&mut stream, "220").await?;
    let target = Target::new(None, Some(host)).ok_or_else(|| ProbeError::Tls {
        detail: format!("`{host}` is no name"),
    })?;
    let handshake = checker.tls.handshake(&target, stream.into_inner());
    let secure = timeout(CONNECT_MAX, handshake).await;
    let mut secure = match secure {
        Ok(Ok(secure)) => secure,
        Ok(Err(kind)) => {
            let detail = format!("{kind:?}");
            return Err(ProbeError::Tls { detail });
        }
        Err(_) => return Err(ProbeError::Silent),
    };
    let chain = secure.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
    let _ = within(secure.write_all(b"QUIT\r\n")).await;
    let _ = within(secure.shutdown()).await;
    Ok(Seen {
        name,
        chain: Some(chain),
    })
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, ProbeError> {
    match timeout(REPLY_MAX, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ProbeError::Silent),
    }
}

/// A whole reply with this code.
async fn read(stream: &mut BufReader<TcpStream>, code: &str) -> Result<String, ProbeError> {
    let mut text = Vec::new();
    let lines = async {
        let mut limited = stream.take(REPLY_BYTES_MAX);
        loop {
            let from = text.len();
            limited.read_until(b'\n', &mut text).await?;
            let line = text.get(from..).unwrap_or_default();
            // RFC 5321 §4.2.1: a hyphen behind the code where another line follows.
            if line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    };
    within(lines).await?;
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    if text.starts_with(code) {
        return Ok(text);
    }
    let text = match &*text {
        "" => "nothing, and closed the connection".to_owned(),
        said => said.chars().take(200).collect(),
    };
    Err(ProbeError::Said { text })
}
