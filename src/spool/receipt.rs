//! The proof that a message is on stable storage.

use crate::mail::{Digest, QueueId};

/// Only a commit that has been synced makes one, and only a receipt becomes the 250 that
/// answers end-of-data: its field is private to this file, its constructor to the spool.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the sender waits for the reply that this allows"]
pub struct Receipt {
    id: QueueId,
    digest: Digest,
    repeated: bool,
}

impl Receipt {
    pub(super) fn new(id: QueueId, digest: Digest) -> Self {
        Self {
            id,
            digest,
            repeated: false,
        }
    }

    pub(super) fn repeated(id: QueueId, digest: Digest) -> Self {
        Self {
            id,
            digest,
            repeated: true,
        }
    }

    /// The message's queue id.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Whether it is that of an earlier message which this one repeats.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The digest of the bytes that were stored.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
