//! What can go wrong with the spool, with the data that an operator needs.

use crate::mail::{DeliveryId, QueueId};
use std::path::PathBuf;

use super::State;

/// A refusal or failure of the spool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// Too little free space to take mail.
    #[error(
        "the spool has {free_bytes} bytes free, and {needed_bytes} are needed (spool.min_free)"
    )]
    Full {
        /// Free on the file system.
        free_bytes: u64,
        /// `min_free` and the message that asked.
        needed_bytes: u64,
    },
    /// A write or sync failed, and nothing is written until the spool is opened again:
    /// after a failed sync nobody knows what the disk holds.
    #[error("the spool refuses writes since {reason}; it is opened again in {retry_in_s} s")]
    Failed {
        /// The last failure.
        reason: String,
        /// Until the next try to open it, in seconds.
        retry_in_s: u64,
    },
    /// The disk does not answer. What was asked for may still be done when it does.
    #[error("the spool refuses writes since the disk has not answered for {waited_s} s")]
    Stalled {
        /// How long somebody waited, in seconds.
        waited_s: u64,
    },
    /// The spool is being closed.
    #[error("the spool is closed")]
    Closed,
    /// Another process holds the spool.
    #[error("the spool {path:?} is in use by {holder}")]
    InUse {
        /// The spool's directory.
        path: PathBuf,
        /// Process id and command of the one that holds it.
        holder: String,
    },
    /// Written by another version of relay.
    #[error("{what} has format version {found}, and this relay reads version {expected}")]
    Version {
        /// A record or the whole spool.
        what: String,
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// A record or body does not decode, or its digest differs.
    #[error("{what} is damaged: {detail}")]
    Corrupt {
        /// Which record.
        what: String,
        /// How it was noticed.
        detail: String,
    },
    /// Acknowledged commits are missing after a crash or a damaged disk.
    #[error(
        "the spool {path:?} has lost acknowledged data: its last commit is {found}, but {acknowledged} was acknowledged; \
         the files are left untouched"
    )]
    Lost {
        /// The spool's directory.
        path: PathBuf,
        /// The last commit found.
        found: u64,
        /// The highest commit that was acknowledged.
        acknowledged: u64,
    },
    /// No such message.
    #[error("there is no message {0}")]
    UnknownMessage(QueueId),
    /// The message has no such recipient.
    #[error("message {} has no recipient number {}", .0.message, .0.recipient)]
    UnknownDelivery(DeliveryId),
    /// The bytes were removed after their retention.
    #[error("the bytes of message {0} were removed after spool.retain_delivered")]
    NoBody(QueueId),
    /// No such domain.
    #[error("the domain {0} is not configured")]
    UnknownDomain(String),
    /// The delivery is not in a state from which this step can be taken.
    #[error("delivery {}:{} is {state}, and so cannot be {step}", .delivery.message, .delivery.recipient)]
    Conflict {
        /// Which delivery.
        delivery: DeliveryId,
        /// Its state.
        state: State,
        /// What was asked for.
        step: &'static str,
    },
    /// Any other failure of the files below.
    #[error("{doing}: {detail}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        detail: String,
    },
}
