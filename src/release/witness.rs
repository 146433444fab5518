//! What a release asks about a delivery of which nobody knows whether it arrived.

use crate::mail::{Address, Digest, QueueId};
use std::{future::Future, pin::Pin};

/// Whoever can look into the mailboxes of the destination.
pub trait Witness: Send + Sync + 'static {
    /// Looks once. It answers in bounded time, and changes nothing.
    fn look(&self, question: Question) -> Pin<Box<dyn Future<Output = Sighting> + Send + '_>>;
}

/// Whether this message is in that mailbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The queue id, which stands in the trace field that relay puts in front.
    pub message: QueueId,
    /// Whose mailbox.
    pub recipient: Address,
    /// The digest of what follows that field.
    pub digest: Digest,
    /// Its first bytes as received, with its header or most of it.
    pub head: Vec<u8>,
}

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sighting {
    /// It is there.
    Found {
        /// Which server says so.
        server: String,
        /// Where it is, in words.
        place: String,
    },
    /// It is certainly not there now.
    Absent {
        /// Which server says so.
        server: String,
    },
    /// Nobody can say.
    Unable {
        /// Why.
        reason: String,
    },
}
