//! The durable queue, seen from outside: what a message and a delivery are on disk, and
//! what may be asked of them.
//!
//! [`Spool`] is a queue, not a key-value store: begin a message, append to it, commit it
//! for a [`Receipt`]; walk deliveries by domain and order; move a delivery from one
//! state to the next; count. Every call is all or nothing, and whatever a call has
//! answered is on stable storage. What a call has answered with [`SpoolError::Failed`] or
//! [`SpoolError::Stalled`] may be there all the same: then it is counted, in its place.
//! After a failure the spool opens itself again, and tells of it by [`Change::Reopened`]. The embedded engine stands in [`rocks`]; a replicated
//! one can stand beside it, so nothing of an engine shows here.

mod course;
mod domain;
mod error;
mod ledger;
mod measures;
mod model;
mod plan;
mod receipt;
#[cfg(feature = "engine")]
pub mod rocks;
#[cfg(feature = "engine")]
pub(crate) mod steps;

pub use course::Course;
pub use domain::{DomainCommand, DomainEvent, DomainStatus, Phase};
pub use error::SpoolError;
pub use ledger::{Ledger, Recount, RecountedDomain, Tally};
pub use measures::Measures;
pub use model::*;
pub use plan::{Canary, Gate};
pub use receipt::Receipt;

use crate::mail::{DeliveryId, Digest, Envelope, Lane, QueueId};
use std::{future::Future, pin::Pin, time::Duration};
use tokio::sync::broadcast;

/// What an asynchronous call of the spool returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SpoolError>> + Send + 'a>>;

/// The durable queue. All methods may be called from any task.
pub trait Spool: Send + Sync + 'static {
    /// Begins a message. Dropping the draft leaves nothing behind.
    fn begin(&self) -> Box<dyn Draft>;

    /// Whether a message of `bytes` would be taken now.
    ///
    /// # Errors
    /// [`SpoolError::Full`] below the free space asked for; [`SpoolError::Failed`] after
    /// a failed write; [`SpoolError::Stalled`] while the disk does not answer. All mean: try
    /// again later.
    fn admit(&self, bytes: u64) -> Result<(), SpoolError>;

    /// Bytes that are free for more mail, where the engine knows.
    fn free_bytes(&self) -> Option<u64>;

    /// Writes and syncs, as every 250 does, and changes nothing: whether mail could be taken.
    ///
    /// # Errors
    /// [`SpoolError::Failed`] when it could not.
    fn probe(&self) -> Answer<'_, ()>;

    /// How long commits took and how many shared one, since the start.
    fn measures(&self) -> &Measures;

    /// The client of this message has seen its 250: what it sends from now on is new, even
    /// if it is the same. Never waits.
    fn confirm(&self, id: QueueId);

    /// Makes each of these names known, in phase `hold` if it is new.
    fn add_domains(&self, names: Vec<String>) -> Answer<'_, ()>;

    /// Every domain with its phase and counters, by name. Answered from memory.
    fn domains(&self) -> Vec<DomainStatus>;

    /// One domain. Answered from memory.
    fn domain(&self, name: &str) -> Option<DomainStatus> {
        self.domains()
            .into_iter()
            .find(|domain| domain.name == name)
    }

    /// When the oldest unfinished message of a domain arrived, milliseconds since 1970.
    fn oldest(&self, domain: String) -> Answer<'_, Option<u64>>;

    /// Carries out an operator's order on a domain.
    ///
    /// # Errors
    /// [`SpoolError::UnknownDomain`].
    fn command(
        &self,
        domain: String,
        command: DomainCommand,
        cause: Cause,
    ) -> Answer<'_, DomainStatus>;

    /// Moves deliveries on, each with its event. Every step is checked against the state
    /// that the delivery is in ([`Step`] says from which states it may be taken); if one
    /// does not fit, none is taken. Returns the messages whose last delivery came to its
    /// end with these steps.
    ///
    /// # Errors
    /// [`SpoolError::Conflict`] names the first delivery that a step does not fit.
    fn advance(&self, transitions: Vec<Transition>) -> Answer<'_, Vec<QueueId>>;

    /// Takes steps as [`Spool::advance`] does, and stores the reports about them as mail
    /// of [`REPORTS_DOMAIN`](crate::mail::REPORTS_DOMAIN), in one write: neither is there
    /// without the other. Returns the reports' queue ids, in their order.
    ///
    /// # Errors
    /// As [`Spool::advance`]; [`SpoolError::UnknownDomain`] when that domain was not added.
    fn bounce(
        &self,
        transitions: Vec<Transition>,
        reports: Vec<Report>,
    ) -> Answer<'_, Vec<QueueId>>;

    /// Messages that were accepted before this time, milliseconds since 1970, whose senders
    /// asked to be told of a delay and were not; the oldest first, at most `limit`.
    fn late(&self, before_ms: u64, limit: usize) -> Answer<'_, Vec<QueueId>>;

    /// The sender of a [late](Spool::late) message is told, by this report, or need not be:
    /// it is late no more. Returns the report's queue id; nothing when it was told before.
    ///
    /// # Errors
    /// [`SpoolError::UnknownDomain`] when [`REPORTS_DOMAIN`](crate::mail::REPORTS_DOMAIN) was
    /// not added.
    fn warn(&self, id: QueueId, report: Option<Report>) -> Answer<'_, Option<QueueId>>;

    /// A message's record, or nothing when there is none.
    fn message(&self, id: QueueId) -> Answer<'_, Option<StoredMessage>>;

    /// The exact bytes that the sender sent.
    ///
    /// # Errors
    /// [`SpoolError::NoBody`] when it was removed after its retention.
    fn body(&self, id: QueueId) -> Answer<'_, Box<dyn Body>>;

    /// The state of each of a message's deliveries, in the order of its recipients.
    fn deliveries(&self, id: QueueId) -> Answer<'_, Vec<Delivery>>;

    /// The history of a message's deliveries, oldest first.
    fn events(&self, id: QueueId) -> Answer<'_, Vec<Event>>;

    /// The number that the next event will have at least: everything that was written by now
    /// has a lower one.
    fn next_event(&self) -> Answer<'_, u64>;

    /// The history of a domain: phases, pauses, targets, oldest first.
    fn domain_events(&self, domain: String) -> Answer<'_, Vec<DomainEvent>>;

    /// Deliveries of a domain that are not at their end (waiting, deferred, in doubt or
    /// parked), in arrival order, beginning behind `after`; at most `limit`.
    fn unfinished(
        &self,
        domain: String,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>>;

    /// The same within one lane and without the parked ones, from its oldest up to and
    /// including `until`.
    fn lane(
        &self,
        domain: String,
        lane: Lane,
        after: Option<DeliveryId>,
        until: DeliveryId,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>>;

    /// Message records in arrival order behind `after`, finished ones too; at most `limit`.
    fn messages(&self, after: Option<QueueId>, limit: usize) -> Answer<'_, Vec<StoredMessage>>;

    /// Removes bodies (and later records) whose retention has passed; at most `limit`
    /// messages. Returns how many were removed.
    fn purge(&self, now_ms: u64, limit: usize) -> Answer<'_, usize>;

    /// When so little space is free that mail will soon be refused: gives up the bytes of
    /// finished messages before their time, the oldest first, of `limit` messages at most.
    /// Returns of how many; 0 when there is space enough, or nothing to give up.
    fn relieve(&self, limit: usize) -> Answer<'_, usize>;

    /// Counts everything again from the records and compares: states with counters, the
    /// order, bodies without a record; with `verify_bodies` also every body with its
    /// digest. Changes nothing.
    fn recount(&self, verify_bodies: bool) -> Answer<'_, Recount>;

    /// Puts right what [`Spool::recount`] finds and what can be put right without losing
    /// mail. Returns what was done, in words.
    fn repair(&self) -> Answer<'_, Vec<String>>;

    /// Tells of what a release has to know. A receiver that lags behind must start over
    /// from what is on disk.
    fn subscribe(&self) -> broadcast::Receiver<Change>;

    /// Stops taking writes, finishes those under way and closes the files. Idempotent.
    fn close(&self) -> Answer<'_, ()>;
}

/// A message that is being received. It exists only for its session until committed.
pub trait Draft: Send {
    /// Takes the next bytes. Memory stays bounded whatever the message's size.
    fn append<'a>(&'a mut self, bytes: &'a [u8]) -> Answer<'a, ()>;

    /// Bytes taken so far.
    fn size(&self) -> u64;

    /// The first bytes, at least the first 16 KiB of a longer message.
    fn head(&self) -> &[u8];

    /// Puts message and envelope on stable storage, in one atomic write, and in the order
    /// of the queue ids. Only then is there a receipt.
    ///
    /// # Errors
    /// Any [`SpoolError`], within half a minute; the sender must then get a 4xx. The message
    /// is absent, or whole; after [`SpoolError::Stalled`] it may come to be later.
    fn commit(self: Box<Self>, envelope: Envelope) -> Answer<'static, Receipt> {
        self.commit_once(envelope, Duration::ZERO)
    }

    /// The same, except that a message which repeats an earlier one gets the earlier one's
    /// receipt, an event, and is not kept again (RFC 1047). It does where the same client
    /// sent the same bytes with the same envelope less than that one's `window` before, and
    /// that one was not confirmed ([`Spool::confirm`]) since. With a `window` of zero it is
    /// neither compared nor remembered.
    ///
    /// # Errors
    /// As [`Draft::commit`].
    fn commit_once(
        self: Box<Self>,
        envelope: Envelope,
        window: Duration,
    ) -> Answer<'static, Receipt>;
}

/// A stored message's bytes, read in pieces.
pub trait Body: Send {
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`SpoolError::Corrupt`] in the place of the final `None` when the digest differs:
    /// a caller that has not sent its end-of-data yet can still stop.
    fn next(&mut self) -> Answer<'_, Option<Vec<u8>>>;

    /// What the digest must be.
    fn digest(&self) -> Digest;

    /// Length in bytes.
    fn size(&self) -> u64;
}
