//! A hook that is an address on the web: the event is posted to it.

use super::{ANSWER_BYTES_MAX, Said};
use crate::{
    config::{Hooks, without_secret},
    trust::Trust,
};
use axum::{
    body::Bytes,
    http::{Request, Uri, header},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::Path;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::rustls::pki_types::ServerName;

/// Posts the event to `url`, and waits for the answer as long as the hooks may take.
pub async fn call(hooks: &Hooks, url: &str, event: Vec<u8>) -> Result<Said, String> {
    let timeout = hooks.timeout;
    let called = tokio::time::timeout(timeout, post(url, hooks.ca.as_deref(), event)).await;
    let said = called.map_err(|_| format!("no answer within {} s", timeout.as_secs_f64()));
    said.and_then(|said| said)
        .map_err(|why| format!("{}: {why}", without_secret(url)))
}

async fn post(url: &str, ca: Option<&Path>, event: Vec<u8>) -> Result<Said, String> {
    // The configuration has checked all of it.
    let uri: Uri = url.parse().map_err(|_| "is no address".to_owned())?;
    let host = uri.host().ok_or("has no host")?;
    // An IPv6 address stands in brackets there.
    let name = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((&*name, port)).await.map_err(words)?;
    if !secure {
        return exchange(stream, &uri, event).await;
    }
    let connector = (Trust::load(None, ca).and_then(|trust| trust.connector())).map_err(words)?;
    let server = ServerName::try_from(name).map_err(words)?;
    let stream = connector.connect(server, stream).await.map_err(words)?;
    exchange(stream, &uri, event).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    uri: &Uri,
    event: Vec<u8>,
) -> Result<Said, String> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(words)?;
    // Its error is that of the request too.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(
            header::HOST,
            uri.authority().map_or("", |host| host.as_str()),
        )
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("relay/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(event)))
        .map_err(words)?;
    let answer = sender.send_request(request).await.map_err(words)?;
    let status = answer.status();
    // Its words are of use only while they are few.
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    Ok(Said {
        is_yes: status.is_success(),
        status: status.to_string(),
        text: text.unwrap_or_default(),
    })
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
