//! What async-imap is given in the place of the connection.
//!
//! Its reader gives up on lines that it does not know, panics on some, keeps no response
//! code and reads ahead. So lines are read here, one at a time and bounded, kept as what
//! they say, and handed on reduced to what async-imap waits for: the greeting, `+` and
//! tagged replies. Nothing is ever left behind in its buffer.

use super::{
    frame::Raw,
    response::{Condition, Kind, Response, Untagged},
    wire::Stream,
};
use bytes::{Buf as _, BytesMut};
use memchr::memchr;
use std::{
    future::Future as _,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Longest line before the login, in bytes (RFC 9051 has no bound).
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes asked of the network at once.
const READ_BYTES: usize = 16 << 10;
/// Lines in the answer to one command, at most.
const LINES_MAX: usize = 100;

/// A connection, a line at a time.
#[derive(Debug)]
pub(super) struct Tap {
    stream: Box<dyn Stream>,
    /// Read, and not looked at.
    input: BytesMut,
    /// Looked at, and not handed on.
    give: BytesMut,
    /// What the server said since [`Tap::forget`].
    heard: Vec<Response>,
    is_greeted: bool,
    /// Hands on bytes as they come.
    is_open: bool,
}

impl Tap {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            give: BytesMut::new(),
            heard: Vec::new(),
            is_greeted: false,
            is_open: false,
        }
    }

    /// On a connection whose greeting has been read.
    pub(super) fn greeted(stream: Box<dyn Stream>) -> Self {
        Self {
            is_greeted: true,
            ..Self::new(stream)
        }
    }

    /// From here on bytes pass as they are.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// The connection, and what was read of it beyond the last line.
    pub(super) fn into_parts(self) -> (Box<dyn Stream>, BytesMut) {
        (self.stream, self.input)
    }

    /// Before a command.
    pub(super) fn forget(&mut self) {
        self.heard.clear();
    }

    /// The capabilities that were last told, as data or as a code.
    pub(super) fn capabilities(&self) -> Option<&[String]> {
        use super::code::Code;
        self.heard.iter().rev().find_map(|said| match said {
            Response::Untagged(Untagged::Capability(all)) => Some(all.as_slice()),
            Response::Tagged(_, condition) | Response::Untagged(Untagged::Condition(condition)) => {
                match &condition.code {
                    Some(Code::Capability(all)) => Some(all.as_slice()),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// The last word: a tagged reply, BYE or the greeting.
    pub(super) fn last(&self) -> Option<&Condition> {
        self.heard.iter().rev().find_map(|said| match said {
            Response::Tagged(_, condition) => Some(condition),
            Response::Untagged(Untagged::Condition(condition))
                if condition.kind == Kind::Bye || self.heard.len() == 1 =>
            {
                Some(condition)
            }
            _ => None,
        })
    }

    /// Looks at a line.
    fn hear(&mut self, line: &[u8]) -> io::Result<()> {
        let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let line = (line.strip_suffix(b"\r")).ok_or_else(|| odd("a line without CR at its end"))?;
        let raw = Raw {
            bytes: line.to_vec(),
            cut: None,
        };
        let said = Response::parse(&raw)
            .map_err(|error| odd(&format!("{} expected: {}", error.0, line.escape_ascii())))?;
        match &said {
            Response::Continue => self.give.extend_from_slice(b"+ \r\n"),
            Response::Tagged(tag, condition) => {
                let word = match condition.kind {
                    Kind::Ok => "OK",
                    Kind::No => "NO",
                    _ => "BAD",
                };
                let line = format!("{tag} {word} .\r\n");
                self.give.extend_from_slice(line.as_bytes());
            }
            Response::Untagged(_) if !self.is_greeted => {
                self.is_greeted = true;
                self.give.extend_from_slice(b"* OK .\r\n");
            }
            Response::Untagged(_) => {}
        }
        let is_bye = matches!(&said, Response::Untagged(Untagged::Condition(condition))
            if condition.kind == Kind::Bye);
        if self.heard.len() >= LINES_MAX {
            return Err(odd("too many lines"));
        }
        self.heard.push(said);
        if is_bye {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let ready = if this.is_open {
                &mut this.input
            } else {
                &mut this.give
            };
            if !ready.is_empty() {
                let bytes = ready.len().min(buffer.remaining());
                buffer.put_slice(&ready.split_to(bytes));
                return Poll::Ready(Ok(()));
            }
            if this.is_open {
                return Pin::new(&mut this.stream).poll_read(cx, buffer);
            }
            if let Some(at) = memchr(b'\n', &this.input) {
                let line = this.input.split_to(at);
                this.input.advance(1);
                this.hear(&line)?;
                continue;
            }
            if this.input.len() > LINE_BYTES_MAX {
                let error = io::Error::new(io::ErrorKind::InvalidData, "a line without end");
                return Poll::Ready(Err(error));
            }
            this.input.reserve(READ_BYTES);
            let read = ready!(pin!(this.stream.read_buf(&mut this.input)).poll(cx))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
