//! A message as one chunk (RFC 3030 §2): its bytes as they are, counted and not stuffed.

use super::{
    connection::Connection,
    content::{Sent, broken, last_words, stopped, unreadable},
    deliver::{Fate, Orders},
    reply::{FailureKind, Phase},
};
use crate::{smtp::data::Encoder, spool::Body};
use tokio::sync::watch;

/// Up to this size in bytes a message travels with its envelope in one flight, and is in
/// memory as a whole. A longer one would be sent in vain if nobody took it, and saves
/// little by not asking first.
const FLIGHT_BYTES_MAX: u64 = 256 * 1024;

/// A message on its way into a chunk.
pub(super) struct Chunk {
    /// Of the chunk, in bytes, as the command will say.
    size: u64,
    /// Not sent yet; never empty before the end, since the last byte must wait for the
    /// body's digest.
    pending: Vec<u8>,
    /// Bytes of the message that were sent or are pending.
    had: u64,
    /// Refuses what a server behind the destination could take for the end of a message,
    /// as it would with DATA; nothing for BINARYMIME, which no such server may get.
    guard: Option<Encoder>,
}

impl Chunk {
    /// Begins with the command and `head`.
    ///
    /// # Errors
    /// [`FailureKind::Unfit`] if `head` could smuggle something.
    pub fn begin(size: u64, head: &[u8], binary: bool) -> Result<Self, FailureKind> {
        let mut chunk = Self {
            size,
            // RFC 3030 §2: the whole message is the last chunk as well.
            pending: format!("BDAT {size} LAST\r\n").into_bytes(),
            had: 0,
            guard: (!binary).then(Encoder::new),
        };
        chunk.append(head)?;
        Ok(chunk)
    }

    /// Whether it is short enough for one flight.
    pub fn is_short(&self) -> bool {
        self.size <= FLIGHT_BYTES_MAX
    }

    fn append(&mut self, content: &[u8]) -> Result<(), FailureKind> {
        if let Some(guard) = &mut self.guard {
            let mut wire = Vec::with_capacity(content.len());
            let guarded = guard.encode(content, &mut wire);
            guarded.map_err(|smuggling| FailureKind::Unfit {
                dsn: "5.6.0",
                detail: smuggling.to_string(),
            })?;
        }
        self.pending.extend_from_slice(content);
        self.had += content.len() as u64;
        match self.had > self.size {
            true => Err(self.missized()),
            false => Ok(()),
        }
    }

    fn missized(&self) -> FailureKind {
        FailureKind::Unfit {
            dsn: "5.3.0",
            detail: format!(
                "the message has not the {} bytes that the spool has noted",
                self.size
            ),
        }
    }

    /// Reads the rest, so that nothing can go wrong with it once the chunk has begun.
    ///
    /// # Errors
    /// As [`unreadable`], or [`FailureKind::Unfit`].
    pub async fn gather(&mut self, body: &mut dyn Body) -> Result<(), FailureKind> {
        while let Some(piece) = body.next().await.map_err(unreadable)? {
            self.append(&piece)?;
        }
        match self.had == self.size {
            true => Ok(()),
            false => Err(self.missized()),
        }
    }

    /// A [gathered](Self::gather) chunk in one piece with the envelope in front of it.
    pub fn behind(self, envelope: String) -> Vec<u8> {
        let mut whole = envelope.into_bytes();
        whole.extend_from_slice(&self.pending);
        whole
    }

    /// Sends a chunk that was [gathered](Self::gather). [`Fate::Failed`] means that it has
    /// not left as a whole: an error to write it says that its last byte was not taken.
    pub async fn send_gathered(
        self,
        connection: &mut Connection,
        orders: &watch::Receiver<Orders>,
    ) -> Sent {
        if *orders.borrow() >= Orders::Stop {
            return stopped(connection);
        }
        let limit = connection.timeouts.block;
        let write = connection.send(Phase::Data, limit, &self.pending).await;
        match write {
            Ok(()) => Sent::Whole,
            Err(failure) => Sent::Broken(Fate::Failed(failure)),
        }
    }

    /// Sends everything: what is there and what `body` still has. The last piece leaves
    /// only when the body has proved whole.
    pub async fn send(
        mut self,
        connection: &mut Connection,
        body: &mut dyn Body,
        orders: &mut watch::Receiver<Orders>,
    ) -> Sent {
        loop {
            let piece = match body.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return broken(connection, unreadable(error)),
            };
            let earlier = std::mem::take(&mut self.pending);
            if let Err(kind) = self.append(&piece) {
                return broken(connection, kind);
            }
            let write = connection.send(Phase::Data, connection.timeouts.block, &earlier);
            let written = tokio::select! {
                biased;
                _ = orders.wait_for(|orders| *orders >= Orders::Stop) => None,
                written = write => Some(written),
            };
            match written {
                None => return stopped(connection),
                Some(Err(failure)) => return last_words(connection, failure).await,
                Some(Ok(())) => {}
            }
        }
        if self.had != self.size {
            return broken(connection, self.missized());
        }
        if *orders.borrow() >= Orders::Stop {
            return stopped(connection);
        }
        // From here on nobody can tell whether it arrives, until the reply does.
        let limit = connection.timeouts.block;
        match connection
            .send(Phase::EndOfData, limit, &self.pending)
            .await
        {
            Ok(()) => Sent::Whole,
            Err(failure) => Sent::Broken(Fate::Doubt(failure)),
        }
    }
}
