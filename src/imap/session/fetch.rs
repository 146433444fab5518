//! Bodies.

use super::Session;
use crate::imap::{
    error::Error,
    frame::CHUNK_BYTES_MAX,
    message::{BodySink, Fetched, Meta},
    response::{Body, Fetch, Untagged},
    uid_set::UidSet,
    wire::{Said, refused},
};
use std::io;

const COMMAND: &str = "UID FETCH";
/// What of a command line is not UIDs, in bytes.
const AROUND_UIDS_BYTES: usize = 200;
/// Messages in one command.
const MESSAGES_MAX: u32 = 500;
/// Commands in flight: the server works on one while another is read.
const PIPELINE: usize = 2;

impl Session {
    /// Gives the bodies of these messages to the sink, each at most once, and says which
    /// came whole. One that is not among them was not given by the server, which said OK
    /// all the same: it is expunged, or the server cannot read it.
    ///
    /// # Errors
    /// [`Error`]: a NO in the middle too, whatever came before it; bodies that the sink
    /// was told the end of are whole. [`Error::Local`] when the sink fails.
    pub async fn fetch<S: BodySink>(
        &mut self,
        uids: &UidSet,
        sink: &mut S,
    ) -> Result<UidSet, Error> {
        let mut bodies = Bodies {
            wanted: uids,
            alone: None,
            done: UidSet::new(),
            current: None,
            is_blind: false,
            sink,
        };
        let room = (self.limits.command_bytes).saturating_sub(AROUND_UIDS_BYTES);
        let chunks = uids.chunks(room, MESSAGES_MAX);
        self.fetch_chunks(&chunks, PIPELINE, &mut bodies).await?;
        if bodies.is_blind {
            // This server says the UID behind the body. Asked for a message alone, it can
            // only be that one; the UID is compared when it comes.
            let left: Vec<u32> = (uids.iter())
                .filter(|uid| !bodies.done.contains(*uid))
                .collect();
            for uid in left {
                bodies.alone = Some(uid);
                let alone = UidSet::range(uid, uid);
                self.fetch_chunks(&[alone], 1, &mut bodies).await?;
            }
        }
        Ok(bodies.done)
    }

    async fn fetch_chunks<S: BodySink>(
        &mut self,
        chunks: &[UidSet],
        pipeline: usize,
        bodies: &mut Bodies<'_, S>,
    ) -> Result<(), Error> {
        self.calm(COMMAND).await?;
        let mut chunks = chunks.iter();
        let mut result = Ok(());
        loop {
            while result.is_ok()
                && self.wire.open() < pipeline
                && let Some(chunk) = chunks.next()
            {
                let items = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])";
                let line = format!("UID FETCH {chunk} {items}");
                self.wire.command(line.as_bytes());
            }
            if self.wire.open() == 0 {
                return result;
            }
            self.wire.flush().await?;
            if let Err(error) = self.fetch_until_done(bodies).await? {
                result = Err(error);
            }
        }
    }

    /// Up to a tagged reply: whether it was OK.
    async fn fetch_until_done<S: BodySink>(
        &mut self,
        bodies: &mut Bodies<'_, S>,
    ) -> Result<Result<(), Error>, Error> {
        loop {
            let took = match self.wire.said().await? {
                Said::Done(_, condition) => {
                    self.count(&condition);
                    return Ok(refused(COMMAND, condition).map(drop));
                }
                Said::Continue => return Err(self.wire.protocol("`+` that nobody waits for")),
                Said::Body(bytes) => match Fetch::head(self.wire.head()) {
                    Ok(head) => bodies.begin(head.meta.uid, bytes).await,
                    Err(odd) => return Err(self.wire.protocol(format!("{} expected", odd.0))),
                },
                Said::Chunk(bytes) => bodies.chunk(&bytes).await,
                Said::Untagged(Untagged::Fetch(fetch)) => bodies.response(fetch).await,
                Said::Untagged(_) => Ok(()),
            };
            match took {
                Ok(()) => {}
                Err(Trouble::Server(text)) => return Err(self.wire.protocol(text)),
                Err(Trouble::Sink(error)) => {
                    return Err(self.wire.broke(Error::Local {
                        during: COMMAND,
                        detail: error.to_string(),
                    }));
                }
            }
        }
    }
}

/// Why a body was not taken.
enum Trouble {
    Server(&'static str),
    Sink(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Sink(error)
    }
}

/// Bodies on their way to the sink.
struct Bodies<'a, S> {
    wanted: &'a UidSet,
    /// The only one that was asked for.
    alone: Option<u32>,
    done: UidSet,
    /// Whose body the sink is getting.
    current: Option<u32>,
    /// A body came before its UID, and was passed over.
    is_blind: bool,
    sink: &'a mut S,
}

impl<S: BodySink> Bodies<'_, S> {
    async fn begin(&mut self, uid: u32, bytes: u64) -> Result<(), Trouble> {
        let uid = match (uid, self.alone) {
            (0, Some(alone)) => alone,
            (0, None) => {
                self.is_blind = true;
                return Ok(());
            }
            (uid, _) => uid,
        };
        if self.wanted.contains(uid) && !self.done.contains(uid) {
            self.current = Some(uid);
            self.sink.begin(Fetched { uid, bytes }).await?;
        }
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        if self.current.is_some() {
            self.sink.chunk(bytes).await?;
        }
        Ok(())
    }

    async fn response(&mut self, fetch: Fetch) -> Result<(), Trouble> {
        let meta = fetch.meta;
        match fetch.body {
            Body::Absent | Body::Nil => Ok(()),
            Body::Inline(bytes) => {
                self.begin(meta.uid, bytes.len() as u64).await?;
                for piece in bytes.chunks(CHUNK_BYTES_MAX) {
                    self.chunk(piece).await?;
                }
                self.end(meta).await
            }
            Body::Streamed => self.end(meta).await,
        }
    }

    async fn end(&mut self, meta: Meta) -> Result<(), Trouble> {
        let Some(uid) = self.current.take() else {
            return Ok(());
        };
        // A body without any UID could be of whatever message.
        if meta.uid != uid {
            return Err(Trouble::Server("a body with the UID of another message"));
        }
        self.sink.end(meta).await?;
        self.done.insert(uid);
        Ok(())
    }
}
