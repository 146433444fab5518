//! The byte stream under a connection: its line, plain or under TLS.
//!
//! A read never gives more than one line. mail-send's client reads a reply and throws
//! away what came behind it in the same read; given lines, it stops exactly at the end
//! of a reply, so that each of several replies is known even when the connection dies
//! after some of them. What was read is kept beside, verbatim.
//!
//! A write waits where the destination is to get no more bytes in a time.

use super::{outside::Line, throttle::Throttle};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::client::TlsStream;

const UNREAD_BYTES_MAX: usize = 4096;
/// mail-send refuses longer replies.
const HEARD_BYTES_MAX: usize = 4096;

/// See the [module](self).
pub struct Stream {
    wire: Wire,
    /// Came in, and was not given to a reader yet.
    unread: Vec<u8>,
    /// Given to readers since it was last taken.
    heard: Vec<u8>,
    ended: bool,
    throttle: Arc<Throttle>,
    /// A write waits for this.
    rest: Option<Pin<Box<Sleep>>>,
}

/// What is under it.
pub enum Wire {
    /// The line itself.
    Plain(Box<dyn Line>),
    /// TLS over it.
    Tls(Box<TlsStream<Box<dyn Line>>>),
}

impl Stream {
    /// A stream at its beginning.
    #[must_use]
    pub fn new(wire: Wire, throttle: Arc<Throttle>) -> Self {
        Self {
            wire,
            unread: Vec::new(),
            heard: Vec::new(),
            ended: false,
            throttle,
            rest: None,
        }
    }

    /// What was read since the last call, at most 4 KiB of it.
    pub fn take_heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }

    /// Whether the other side has closed its direction.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether something is there that nobody asked for: a farewell, the end of the
    /// stream, or a reply too many, after which no reply could be trusted any more.
    pub fn is_disturbed(&mut self) -> bool {
        if self.ended || !self.unread.is_empty() {
            return true;
        }
        let mut context = Context::from_waker(Waker::noop());
        !self.poll_fill(&mut context).is_pending()
    }

    /// The line, for STARTTLS; nothing when there is TLS already, or unread bytes,
    /// which somebody may have put in front of the handshake (RFC 3207 §4.2).
    #[must_use]
    pub fn into_plain(self) -> Option<Box<dyn Line>> {
        match self.wire {
            Wire::Plain(line) if self.unread.is_empty() => Some(line),
            _ => None,
        }
    }

    /// How much may be written, once something may.
    fn poll_grant(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        loop {
            if let Some(rest) = &mut self.rest {
                ready!(rest.as_mut().poll(context));
                self.rest = None;
            }
            match self.throttle.grant(Instant::now().into_std()) {
                Ok(bytes) => return Poll::Ready(bytes),
                Err(wait) => self.rest = Some(Box::pin(sleep(wait))),
            }
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; UNREAD_BYTES_MAX];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(match &mut self.wire {
            Wire::Plain(line) => Pin::new(line).poll_read(context, &mut buffer),
            Wire::Tls(tls) => Pin::new(tls).poll_read(context, &mut buffer),
        })?;
        self.ended |= buffer.filled().is_empty();
        self.unread.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() && !this.ended {
            ready!(this.poll_fill(context))?;
        }
        let line = match memchr::memchr(b'\n', &this.unread) {
            Some(at) => at + 1,
            None => this.unread.len(),
        };
        let given: Vec<u8> = this.unread.drain(..line.min(buffer.remaining())).collect();
        buffer.put_slice(&given);
        let room = HEARD_BYTES_MAX - this.heard.len().min(HEARD_BYTES_MAX);
        this.heard.extend(given.iter().take(room));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let granted = ready!(this.poll_grant(context)).min(bytes.len());
        let bytes = bytes.get(..granted).unwrap_or_default();
        let written = ready!(match &mut this.wire {
            Wire::Plain(line) => Pin::new(line).poll_write(context, bytes),
            Wire::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        })?;
        this.throttle.spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(line) => Pin::new(line).poll_flush(context),
            Wire::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(line) => Pin::new(line).poll_shutdown(context),
            Wire::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
