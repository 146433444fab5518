//! Buffered, bounded I/O with a client: lines and chunks in, replies out, each wait
//! with a deadline.

use super::Stream;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
    time::{self, Instant, Sleep},
};
use tokio_rustls::rustls::ServerConfig;

/// The input buffer while commands are read, in bytes.
const COMMAND_BUFFER_BYTES: usize = 8 * 1024;
/// The input buffer once a message has filled the smaller one.
const DATA_BUFFER_BYTES: usize = 64 * 1024;
/// What a client may still send after it was told that the connection is closed.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// One client's connection with its buffers.
pub struct Wire {
    stream: Stream,
    input: Vec<u8>,
    /// How much at the front of `input` is done with.
    done: usize,
    /// How often something has come in.
    reads: u64,
    /// A line that is too long is being thrown away.
    skipping: bool,
    line_bytes_max: usize,
    output: Vec<u8>,
    /// One timer for the whole connection; a new deadline is a store, not an allocation.
    deadline: Pin<Box<Sleep>>,
    stop: Stop,
}

/// The order to stop. Waited for by one future for the connection's whole life, so that
/// a wait for input costs nothing for it.
enum Stop {
    Awaited(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// And something large must be in by then.
    Ordered {
        by: Instant,
    },
}

/// A line, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// Without its CRLF.
    Whole(&'a [u8]),
    /// It ends in a bare LF.
    BareLf,
    /// It is longer than allowed, and was thrown away.
    TooLong,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// A line, with a small buffer; an order to stop ends the wait.
    Line,
    /// The rest of something large, with a large buffer once it fills the small one; an
    /// order to stop leaves it this much more time.
    Bulk {
        /// How long from the order on.
        grace: Duration,
    },
}

/// Why there is no more to read or no way to write.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The client has closed the connection.
    #[error("lost connection")]
    Closed,
    /// The connection broke.
    #[error("lost connection ({0})")]
    Io(#[from] io::Error),
    /// The deadline has passed.
    #[error("timeout")]
    Timeout,
    /// The server is to stop.
    #[error("shutting down")]
    Stopping,
}

impl Wire {
    /// Wraps a connection. `shutdown` turning true ends its waits as [`Expect`] says.
    #[must_use]
    pub fn new(
        stream: Stream,
        mut shutdown: watch::Receiver<bool>,
        line_bytes_max: usize,
        timeout: Duration,
    ) -> Self {
        Self {
            stream,
            input: Vec::with_capacity(COMMAND_BUFFER_BYTES),
            done: 0,
            reads: 0,
            skipping: false,
            line_bytes_max: line_bytes_max.min(COMMAND_BUFFER_BYTES),
            output: Vec::with_capacity(512),
            deadline: Box::pin(time::sleep(timeout)),
            // A sender that is gone cannot ask for a stop any more: then it is one.
            stop: Stop::Awaited(Box::pin(async move {
                let _ = shutdown.wait_for(|stop| *stop).await;
            })),
        }
    }

    /// Gives the client this long from now.
    pub fn set_deadline(&mut self, timeout: Duration) {
        let mut end = Instant::now() + timeout;
        if let Stop::Ordered { by } = self.stop {
            end = end.min(by);
        }
        self.deadline.as_mut().reset(end);
    }

    /// What is to be sent with the next [`Wire::flush`] or [`Wire::fill`].
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What was received and is not consumed yet.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        self.input.get(self.done..).unwrap_or_default()
    }

    /// These many bytes of the input are done with.
    pub fn consume(&mut self, bytes: usize) {
        self.done = self.input.len().min(self.done + bytes);
    }

    /// The next line that was received whole, and consumes it.
    pub fn line(&mut self) -> Option<Line<'_>> {
        let rest = self.input();
        let Some(at) = memchr::memchr(b'\n', rest) else {
            let unfinished_bytes = rest.len();
            if unfinished_bytes >= self.line_bytes_max || self.skipping {
                self.skipping = true;
                self.consume(unfinished_bytes);
            }
            return None;
        };
        let from = self.done;
        let end = from + at;
        self.done = end + 1;
        if std::mem::take(&mut self.skipping) || at + 1 > self.line_bytes_max {
            return Some(Line::TooLong);
        }
        let text = self.input.get(from..end).unwrap_or_default();
        // RFC 5321 §2.3.8: no other line end is recognized.
        Some(text.strip_suffix(b"\r").map_or(Line::BareLf, Line::Whole))
    }

    /// Sends what is to be sent, then waits for more input.
    ///
    /// # Errors
    /// [`WireError`]; after a time-out or a stop the client can still be written to.
    pub async fn fill(&mut self, expect: Expect) -> Result<(), WireError> {
        self.flush().await?;
        self.make_room(expect);
        loop {
            let Self {
                stream,
                input,
                stop,
                deadline,
                ..
            } = self;
            let ordered = async {
                match stop {
                    Stop::Awaited(order) => order.await,
                    Stop::Ordered { .. } if expect == Expect::Line => {}
                    Stop::Ordered { .. } => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = stream.read_buf(input) => return match read? {
                    0 => Err(WireError::Closed),
                    _ => {
                        self.reads += 1;
                        Ok(())
                    }
                },
                () = ordered => {}
                () = deadline => return Err(WireError::Timeout),
            }
            match expect {
                Expect::Line => return Err(WireError::Stopping),
                Expect::Bulk { grace } => {
                    let by = Instant::now() + grace;
                    self.stop = Stop::Ordered { by };
                    self.deadline.as_mut().reset(by);
                }
            }
        }
    }

    /// Takes in what the client has sent so far, as far as there is room, without waiting:
    /// what comes in later it sent later.
    pub fn sip(&mut self) {
        self.make_room(Expect::Line);
        if self.input.len() == self.input.capacity() {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        let read = std::pin::pin!(self.stream.read_buf(&mut self.input)).poll(&mut context);
        // The end of the connection, or a failure, is met again by the next wait.
        if matches!(read, Poll::Ready(Ok(1..))) {
            self.reads += 1;
        }
    }

    /// How often something has come in: more than before means that the client has sent
    /// something since.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// Sends what is to be sent, in one write where the system takes it.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn flush(&mut self) -> Result<(), WireError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let send = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        tokio::select! {
            biased;
            sent = send => sent?,
            () = &mut self.deadline => return Err(WireError::Timeout),
        }
        self.output.clear();
        Ok(())
    }

    /// The message is over: gives back what its buffer took.
    pub fn shrink(&mut self) {
        if self.input.capacity() > COMMAND_BUFFER_BYTES && self.input().is_empty() {
            self.input = Vec::with_capacity(COMMAND_BUFFER_BYTES);
            self.done = 0;
        }
    }

    /// Sends what is to be sent, throws away what was received, and goes on under TLS.
    ///
    /// # Errors
    /// [`WireError`] when the client does not come along; the connection is lost.
    pub async fn encrypt(mut self, config: Arc<ServerConfig>) -> Result<Self, WireError> {
        self.flush().await?;
        // RFC 3207 §4.2: whatever was put in front of the handshake is not the client's.
        self.input.clear();
        self.done = 0;
        self.skipping = false;
        let stream = tokio::select! {
            stream = self.stream.encrypt(config) => stream?,
            () = &mut self.deadline => return Err(WireError::Timeout),
        };
        Ok(Self { stream, ..self })
    }

    /// TLS version and cipher, where there is TLS.
    #[must_use]
    pub fn tls(&self) -> Option<String> {
        self.stream.tls()
    }

    /// Sends what is to be sent and closes, so that the client gets to read it: a
    /// connection that is closed with unread input is reset, and the last reply lost.
    pub async fn close(mut self) {
        self.set_deadline(LINGER);
        if self.flush().await.is_err() {
            return;
        }
        let linger = async {
            let _ = self.stream.shutdown().await;
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                self.input.clear();
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => left = left.saturating_sub(bytes),
                }
            }
        };
        let _ = time::timeout(LINGER, linger).await;
    }

    /// Makes room for the next read, within bounds.
    fn make_room(&mut self, expect: Expect) {
        // Something large that has filled the small buffer gets a large one.
        let was_full = self.input.len() == self.input.capacity();
        if self.done > 0 {
            self.input.drain(..self.done);
            self.done = 0;
        }
        if was_full && matches!(expect, Expect::Bulk { .. }) {
            let more = DATA_BUFFER_BYTES.saturating_sub(self.input.len());
            self.input.reserve_exact(more);
        }
    }
}
