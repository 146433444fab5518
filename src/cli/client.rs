//! The client of the control socket.

use crate::control::{ApiError, ErrorKind};
use axum::{
    body::Bytes,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};
use tokio::net::UnixStream;

/// The longest JSON line that is taken: a message with far more recipients than allowed.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Why the daemon did not answer. What it answered is an [`ApiError`].
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no daemon answers at {socket:?}; start it with `relay serve`, or name its socket with --socket"
    )]
    NoDaemon {
        /// Where.
        socket: PathBuf,
    },
    /// The system does not let us.
    #[error("cannot connect to the daemon at {socket:?}: {source}; its user and root may")]
    Connect {
        /// Where.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer broke off.
    #[error("the daemon broke off its answer to {call} ({source}); its log tells why")]
    Broken {
        /// What was asked.
        call: String,
        /// How.
        source: hyper::Error,
    },
    /// The answer is not as documented.
    #[error("the daemon's answer to {call} cannot be read: {detail}; is it of another version?")]
    Strange {
        /// What was asked.
        call: String,
        /// How.
        detail: String,
    },
}

/// A daemon that answered when this was made.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// An answer that comes piece by piece.
pub struct Pieces {
    call: String,
    body: Incoming,
}

impl Client {
    /// Finds out whether a daemon listens.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`] and [`ClientError::Connect`].
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let client = Self {
            socket: socket.to_owned(),
        };
        client.open().await.map(|_| client)
    }

    /// GET, for one JSON document.
    ///
    /// # Errors
    /// [`ClientError`] and [`ApiError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.one(Method::GET, path, Vec::new()).await
    }

    /// POST, for one JSON document.
    ///
    /// # Errors
    /// [`ClientError`] and [`ApiError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.one(Method::POST, path, serde_json::to_vec(body)?)
            .await
    }

    /// PUT, for one JSON document.
    ///
    /// # Errors
    /// [`ClientError`] and [`ApiError`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.one(Method::PUT, path, serde_json::to_vec(body)?).await
    }

    /// GET, piece by piece.
    ///
    /// # Errors
    /// [`ClientError`] and [`ApiError`].
    pub async fn pieces(&self, path: &str) -> anyhow::Result<Pieces> {
        let call = format!("GET {path}");
        let answer = self.ask(Method::GET, path, Vec::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(refusal(&call, answer).await);
        }
        let body = answer.into_body();
        Ok(Pieces { call, body })
    }

    /// GET, for JSON lines, each given to `take`.
    ///
    /// # Errors
    /// [`ClientError`], [`ApiError`] and those of `take`.
    pub async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        take: &mut (dyn FnMut(T) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        let mut pieces = self.pieces(path).await?;
        let mut rest: Vec<u8> = Vec::new();
        while let Some(piece) = pieces.next().await? {
            let mut piece = &*piece;
            while let Some(end) = piece.iter().position(|&byte| byte == b'\n') {
                let (line, after) = piece.split_at(end);
                rest.extend_from_slice(line);
                take(parse(&pieces.call, &rest)?)?;
                rest.clear();
                piece = after.get(1..).unwrap_or_default();
            }
            rest.extend_from_slice(piece);
            if rest.len() > LINE_BYTES_MAX {
                return Err(strange(&pieces.call, "a line without end").into());
            }
        }
        Ok(())
    }

    async fn one<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        let call = format!("{method} {path}");
        let answer = self.ask(method, path, body).await?;
        if answer.status() != StatusCode::OK {
            return Err(refusal(&call, answer).await);
        }
        Ok(parse(&call, &collect(&call, answer).await?)?)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Response<Incoming>> {
        let call = format!("{method} {path}");
        let broken = |source| ClientError::Broken {
            call: call.clone(),
            source,
        };
        let stream = self.open().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Its error is that of the request too.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "relay")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        Ok(sender.send_request(request).await.map_err(broken)?)
    }

    async fn open(&self) -> Result<UnixStream, ClientError> {
        UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NoDaemon { socket }
                }
                _ => ClientError::Connect { socket, source },
            }
        })
    }
}

impl Pieces {
    /// The next piece; `None` when all was received.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the daemon gave up on its way.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| ClientError::Broken {
                call: self.call.clone(),
                source,
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// A part of a path or query, with everything escaped that could end it (RFC 3986 §2.1).
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

async fn collect(call: &str, answer: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = answer.into_body().collect().await;
    let body = body.map_err(|source| ClientError::Broken {
        call: call.to_owned(),
        source,
    })?;
    Ok(body.to_bytes())
}

async fn refusal(call: &str, answer: Response<Incoming>) -> anyhow::Error {
    let status = answer.status();
    let body = match collect(call, answer).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    match serde_json::from_slice::<ApiError>(&body) {
        // Ours may be the newer one.
        Ok(error) if error.error == ErrorKind::NoSuchCall => strange(call, &error.detail).into(),
        Ok(error) => error.into(),
        Err(_) => strange(call, status.as_str()).into(),
    }
}

fn parse<T: DeserializeOwned>(call: &str, json: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(json).map_err(|error| strange(call, &error.to_string()))
}

fn strange(call: &str, detail: &str) -> ClientError {
    ClientError::Strange {
        call: call.to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_part_of_a_path() {
        assert_eq!(
            escape("a+b@c.example/?&#é"),
            "a%2Bb%40c.example%2F%3F%26%23%C3%A9"
        );
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = Client::connect(&dir.path().join("s")).await.unwrap_err();
        assert!(matches!(error, ClientError::NoDaemon { .. }));
        assert!(error.to_string().contains("relay serve"));
    }
}
