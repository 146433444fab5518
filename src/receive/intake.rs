//! Where a message's bytes go while it comes in: into a draft, or nowhere once it is
//! clear that it will be refused.

use super::answers;
use crate::{
    smtp::{Reply, Session},
    spool::{Draft, Spool},
};

/// Pieces shorter than this are gathered before they go to the draft.
const PIECE_BYTES_MIN: usize = 1024;
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// A message that is coming in.
pub(super) struct Intake {
    fate: Fate,
    /// Short pieces, as they come from lines that had to be changed. Takes no memory
    /// unless there are any.
    gathered: Vec<u8>,
    bytes: u64,
    bytes_max: u64,
}

enum Fate {
    Keep(Box<dyn Draft>),
    /// The rest is read, since a client does not listen before its end-of-data.
    Refuse(Reply),
}

impl Intake {
    pub(super) fn new(spool: &dyn Spool, bytes_max: u64) -> Self {
        Self {
            fate: Fate::Keep(spool.begin()),
            gathered: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Bytes that have come in so far, kept or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether so much was read in vain that waiting for the end makes no sense.
    pub(super) fn is_hopeless(&self) -> bool {
        self.bytes > self.bytes_max.saturating_mul(2)
    }

    pub(super) async fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let Fate::Keep(draft) = &mut self.fate else {
            return;
        };
        // RFC 1870 §6.3: counted, whatever was announced.
        if self.bytes > self.bytes_max {
            self.fate = Fate::Refuse(Session::too_large());
            self.gathered = Vec::new();
            return;
        }
        let appended = if self.gathered.is_empty() && piece.len() >= PIECE_BYTES_MIN {
            draft.append(piece).await
        } else {
            self.gathered.extend_from_slice(piece);
            if self.gathered.len() < GATHERED_BYTES_MAX {
                return;
            }
            let appended = draft.append(&self.gathered).await;
            self.gathered.clear();
            appended
        };
        if let Err(error) = appended {
            self.fate = Fate::Refuse(answers::spool_refusal(&error));
        }
    }

    /// Why it will be refused, if it will be.
    pub(super) fn refusal(&self) -> Option<Reply> {
        match &self.fate {
            Fate::Keep(_) => None,
            Fate::Refuse(reply) => Some(reply.clone()),
        }
    }

    /// The whole message as a draft to commit, or the refusal.
    pub(super) async fn finish(self) -> Result<Box<dyn Draft>, Reply> {
        match self.fate {
            Fate::Refuse(reply) => Err(reply),
            Fate::Keep(draft) if self.gathered.is_empty() => Ok(draft),
            Fate::Keep(mut draft) => match draft.append(&self.gathered).await {
                Ok(()) => Ok(draft),
                Err(error) => Err(answers::spool_refusal(&error)),
            },
        }
    }
}
