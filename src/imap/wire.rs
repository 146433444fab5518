//! Commands out, responses in.
//!
//! While a command is written, what arrives is read too, so that neither side waits for
//! the other to read. Each wait ends after [`Limits::idle`] without a single byte.

use super::{
    cursor::Odd,
    endpoint::Limits,
    error::Error,
    frame::{Frame, FrameError, Framer},
    response::{Condition, Kind, Response, Untagged},
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::timeout,
};

/// A connection, whatever is under it.
pub(super) trait Stream:
    AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug
{
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> Stream for T {}

/// Bytes of responses that are read ahead while a command is written.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// Bytes asked of the network at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of commands that are gathered before they are written.
const GATHER_BYTES: usize = 64 << 10;
/// Alerts that are kept for whoever asks.
const ALERTS_MAX: usize = 16;

/// One server's end.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    framer: Framer,
    out: BytesMut,
    idle: Duration,
    /// What is under way, for errors.
    during: &'static str,
    last_tag: u64,
    /// Commands without their tagged reply, oldest first.
    open: VecDeque<u64>,
    /// From the first write of a command until all is answered: a session in which that
    /// never came has lost its step.
    broken: bool,
    alerts: VecDeque<String>,
}

/// What a server says next.
#[derive(Debug)]
pub(super) enum Said {
    Untagged(Untagged),
    Continue,
    /// The end of the command with this number.
    Done(u64, Condition),
    /// A body begins; its response so far can be had from [`Wire::head`].
    Body(u64),
    Chunk(Bytes),
}

impl Wire {
    /// Over a stream from which these bytes have been read already.
    pub(super) fn new(stream: Box<dyn Stream>, ahead: &[u8], limits: &Limits) -> Self {
        let mut framer = Framer::new(limits.response_bytes);
        framer.input().extend_from_slice(ahead);
        Self {
            stream,
            framer,
            out: BytesMut::new(),
            idle: limits.idle,
            during: "-",
            last_tag: 0,
            open: VecDeque::new(),
            broken: false,
            alerts: VecDeque::new(),
        }
    }

    /// Says what is done from here on. Nothing may be open.
    pub(super) fn start(&mut self, command: &'static str) -> Result<(), Error> {
        if self.broken || !self.open.is_empty() {
            return Err(Error::Lost {
                during: command,
                detail: "an earlier command was broken off".into(),
            });
        }
        self.during = command;
        Ok(())
    }

    /// Begins a command: its tag. The number is given back by [`Said::Done`].
    pub(super) fn tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.open.push_back(self.last_tag);
        self.out
            .extend_from_slice(format!("r{} ", self.last_tag).as_bytes());
        self.last_tag
    }

    /// A whole command line.
    pub(super) fn command(&mut self, line: &[u8]) -> u64 {
        let tag = self.tag();
        self.put(line);
        self.put(b"\r\n");
        tag
    }

    /// Puts bytes behind what is to be written.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Commands that have no reply yet.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// The oldest of them.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.open.front().copied()
    }

    /// What the server wanted a person to read, since last asked.
    pub(super) fn take_alerts(&mut self) -> Vec<String> {
        self.alerts.drain(..).collect()
    }

    /// The response so far, at [`Said::Body`].
    pub(super) fn head(&self) -> &[u8] {
        self.framer.head()
    }

    /// Writes what was put, if it is much.
    pub(super) async fn flush_much(&mut self) -> Result<(), Error> {
        if self.out.len() >= GATHER_BYTES {
            return self.write().await;
        }
        Ok(())
    }

    /// Writes large pieces without copying them once more.
    pub(super) async fn put_body(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for piece in bytes.chunks(GATHER_BYTES) {
            self.put(piece);
            self.flush_much().await?;
        }
        Ok(())
    }

    /// Writes all that was put, and lets it go.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.write().await?;
        let (during, idle) = (self.during, self.idle);
        let flush = poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx));
        match timeout(idle, flush).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.broke(Error::Timeout {
                during,
                after: idle,
            })),
        }
    }

    /// Nothing can be said any more.
    pub(super) fn broke(&mut self, error: Error) -> Error {
        self.broken = true;
        error
    }

    /// The server broke the rules.
    pub(super) fn protocol(&mut self, text: impl Into<String>) -> Error {
        let error = Error::Protocol {
            during: self.during,
            text: text.into(),
        };
        self.broke(error)
    }

    fn lost(&mut self, error: &io::Error) -> Error {
        let error = Error::Lost {
            during: self.during,
            detail: error.to_string(),
        };
        self.broke(error)
    }

    async fn write(&mut self) -> Result<(), Error> {
        while !self.out.is_empty() {
            let (during, idle) = (self.during, self.idle);
            let progress = poll_fn(|cx| {
                match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(bytes)) => {
                        let _ = self.out.split_to(bytes);
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
                if self.framer.waiting() >= AHEAD_BYTES_MAX {
                    return Poll::Pending;
                }
                match ready!(poll_read(&mut self.stream, &mut self.framer, cx)) {
                    // A server that said goodbye may still have said why.
                    Ok(0) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    other => Poll::Ready(other.map(drop)),
                }
            });
            match timeout(idle, progress).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.last_words(&error).await),
                Err(_) => {
                    return Err(self.broke(Error::Timeout {
                        during,
                        after: idle,
                    }));
                }
            }
        }
        Ok(())
    }

    /// Why a write failed: perhaps there is a BYE that says it.
    async fn last_words(&mut self, error: &io::Error) -> Error {
        let read = async {
            for _ in 0..100 {
                match self.said().await {
                    Err(bye @ Error::Bye { .. }) => return Some(bye),
                    Err(_) => return None,
                    Ok(_) => {}
                }
            }
            None
        };
        match timeout(Duration::from_secs(1), read).await {
            Ok(Some(bye)) => bye,
            _ => self.lost(error),
        }
    }

    /// What the server says next, waiting for it. BYE, the end of the stream and what is
    /// no IMAP are errors.
    pub(super) async fn said(&mut self) -> Result<Said, Error> {
        match self.said_or_bye().await? {
            Said::Untagged(Untagged::Condition(condition)) if condition.kind == Kind::Bye => {
                let error = Error::Bye {
                    during: self.during,
                    text: condition.text,
                    code: condition.code,
                };
                Err(self.broke(error))
            }
            said => Ok(said),
        }
    }

    /// As [`Wire::said`], with BYE as what it is at the end.
    pub(super) async fn said_or_bye(&mut self) -> Result<Said, Error> {
        let frame = loop {
            match self.framer.next() {
                Ok(Some(frame)) => break frame,
                Ok(None) => self.read().await?,
                Err(error) => return Err(self.unframed(error)),
            }
        };
        let raw = match frame {
            Frame::Body(bytes) => return Ok(Said::Body(bytes)),
            Frame::Chunk(bytes) => return Ok(Said::Chunk(bytes)),
            Frame::Response(raw) => raw,
        };
        match Response::parse(&raw) {
            Ok(Response::Continue) => Ok(Said::Continue),
            Ok(Response::Tagged(tag, condition)) => self.done(&tag, condition),
            Ok(Response::Untagged(data)) => {
                if let Untagged::Condition(condition) = &data {
                    self.note_alert(condition);
                }
                Ok(Said::Untagged(data))
            }
            Err(Odd(what)) => {
                let line = raw.bytes.get(..200).unwrap_or(&raw.bytes);
                let line = line.escape_ascii();
                Err(self.protocol(format!("{what} expected: {line}")))
            }
        }
    }

    /// Ends the connection.
    pub(super) async fn close(mut self) {
        let close = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx));
        let _ = timeout(Duration::from_secs(1), close).await;
    }

    fn done(&mut self, tag: &str, condition: Condition) -> Result<Said, Error> {
        self.note_alert(&condition);
        let number = tag.strip_prefix('r').and_then(|number| number.parse().ok());
        let place = self.open.iter().position(|open| Some(*open) == number);
        match place.and_then(|place| self.open.remove(place)) {
            Some(number) => Ok(Said::Done(number, condition)),
            None => Err(self.protocol(format!("a reply with the tag {tag:?} of no command"))),
        }
    }

    fn note_alert(&mut self, condition: &Condition) {
        if condition.code == Some(super::code::Code::Alert) {
            if self.alerts.len() >= ALERTS_MAX {
                self.alerts.pop_front();
            }
            self.alerts.push_back(condition.text.clone());
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let (during, idle) = (self.during, self.idle);
        let read = poll_fn(|cx| poll_read(&mut self.stream, &mut self.framer, cx));
        match timeout(idle, read).await {
            Ok(Ok(0)) => Err(self.lost(&io::Error::other("the server hung up"))),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.broke(Error::Timeout {
                during,
                after: idle,
            })),
        }
    }

    fn unframed(&mut self, error: FrameError) -> Error {
        self.protocol(error.to_string())
    }
}

/// What a tagged NO or BAD is as an error.
pub(super) fn refused(command: &'static str, condition: Condition) -> Result<Condition, Error> {
    let Condition { kind, code, text } = condition;
    match kind {
        Kind::No => Err(Error::No {
            command,
            text,
            code,
        }),
        Kind::Bad => Err(Error::Bad {
            command,
            text,
            code,
        }),
        _ => Ok(Condition { kind, code, text }),
    }
}

fn poll_read(
    stream: &mut Box<dyn Stream>,
    framer: &mut Framer,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let input = framer.input();
    input.reserve(READ_BYTES);
    pin!(stream.read_buf(input)).poll(cx)
}
