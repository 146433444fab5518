//! Messages whose 250 may not have reached its client (RFC 1047): a client that sends the
//! same once more is told the queue id of the first, and it is kept once.
//!
//! A message is registered in the batch that makes it durable, and let go when its
//! connection confirms, or after the time that the receiver gave it. Confirmations cost
//! nothing of their own: they ride along with the next batch. Those that a crash takes
//! with it only make a message look unconfirmed until its time is over.

use super::{
    commit::{Committer, Turn},
    layout::{Key, Kind},
    record::{EventRecord, UnconfirmedRecord, decode},
    request::Once,
    store::{Batch, Store, Walk},
};
use crate::{
    mail::{DeliveryId, Digest, Envelope, QueueId, ReversePath},
    spool::{Cause, SpoolError},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// How many are remembered; then the oldest are let go. About 100 bytes each.
const UNCONFIRMED_MAX: usize = 100_000;

/// What a message and its repetition have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of who sent what from whom to whom, and how it was to be treated; not of the
    /// connection it came over, nor of the time.
    ///
    /// # Errors
    /// None that can happen with an envelope's types.
    pub fn of(envelope: &Envelope, digest: Digest) -> Result<Self, SpoolError> {
        let Envelope {
            reverse_path,
            recipients,
            body,
            smtputf8,
            ret,
            envid,
            client,
            received_ms: _,
        } = envelope;
        let treatment = (body, smtputf8, ret, envid);
        let mut hasher = Hasher(blake3::Hasher::new());
        hasher.take(&(client.ip, digest, treatment))?;
        hasher.take::<ReversePath>(reverse_path)?;
        hasher.take(recipients)?;
        let hash = hasher.0.finalize();
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        Ok(Self(bytes))
    }
}

struct Hasher(blake3::Hasher);

impl Hasher {
    fn take<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpoolError> {
        // postcard puts lengths in front, so that no two envelopes give the same bytes.
        let written = postcard::to_io(value, &mut self.0);
        written.map(drop).map_err(|error| SpoolError::Io {
            doing: "comparing a message with earlier ones".into(),
            detail: error.to_string(),
        })
    }
}

/// Confirmations that wait for the next batch. A connection confirms a message once, and
/// has none to confirm before the batch that holds it: there are never more than
/// connections.
#[derive(Clone, Default)]
pub struct Confirmations(Arc<Mutex<Vec<QueueId>>>);

impl Confirmations {
    /// The client has gone on after the 250 of this message.
    pub fn push(&self, id: QueueId) {
        self.lock().push(id);
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn take(&self) -> Vec<QueueId> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<QueueId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that are not confirmed, as the batch under way leaves them.
#[derive(Default)]
pub struct Unconfirmed {
    by_fingerprint: HashMap<Fingerprint, UnconfirmedRecord>,
    /// Oldest first.
    by_id: BTreeMap<QueueId, Fingerprint>,
}

impl Unconfirmed {
    /// Reads them from the database.
    pub fn load(store: &Store) -> Result<Self, SpoolError> {
        let mut all = Self::default();
        let prefix = Key::of(Kind::Unconfirmed);
        store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
            let bytes = key.get(1..).and_then(|bytes| bytes.try_into().ok());
            let Some(bytes) = bytes else {
                return Err(SpoolError::Corrupt {
                    what: "an unconfirmed message".into(),
                    detail: format!("its key has {} bytes", key.len()),
                });
            };
            let record: UnconfirmedRecord = decode(|| "an unconfirmed message".into(), value)?;
            all.by_id.insert(record.message, Fingerprint(bytes));
            all.by_fingerprint.insert(Fingerprint(bytes), record);
            Ok(Walk::On)
        })?;
        Ok(all)
    }

    /// The message that one of this fingerprint repeats.
    fn find(&self, fingerprint: Fingerprint, now_ms: u64) -> Option<QueueId> {
        let record = self.by_fingerprint.get(&fingerprint)?;
        (now_ms < record.until_ms).then_some(record.message)
    }

    fn insert(
        &mut self,
        batch: &mut Batch,
        fingerprint: Fingerprint,
        record: UnconfirmedRecord,
    ) -> Result<(), SpoolError> {
        batch.put(&Key::unconfirmed(fingerprint), &record)?;
        self.by_id.insert(record.message, fingerprint);
        if let Some(before) = self.by_fingerprint.insert(fingerprint, record) {
            self.by_id.remove(&before.message);
        }
        Ok(())
    }

    fn remove(&mut self, batch: &mut Batch, id: QueueId) {
        if let Some(fingerprint) = self.by_id.remove(&id) {
            self.by_fingerprint.remove(&fingerprint);
            batch.delete(&Key::unconfirmed(fingerprint));
        }
    }

    /// Lets go of what is over its time, and of the oldest where there are too many.
    fn expire(&mut self, batch: &mut Batch, now_ms: u64) {
        while let Some((&id, fingerprint)) = self.by_id.first_key_value() {
            let record = self.by_fingerprint.get(fingerprint);
            let over = record.is_none_or(|record| record.until_ms <= now_ms);
            if !over && self.by_id.len() <= UNCONFIRMED_MAX {
                break;
            }
            self.remove(batch, id);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        assert_eq!(self.by_id.len(), self.by_fingerprint.len());
        self.by_id.len()
    }
}

impl Committer {
    /// Adds to the batch what was confirmed or has expired since the last one.
    pub(super) fn settle_unconfirmed(&mut self, batch: &mut Batch) {
        for id in self.confirmations.take() {
            self.unconfirmed.remove(batch, id);
        }
        self.unconfirmed.expire(batch, (self.clock)());
    }

    /// The message that this one repeats, with an event for it.
    pub(super) fn repeated(
        &mut self,
        turn: &mut Turn,
        once: Once,
    ) -> Result<Option<QueueId>, SpoolError> {
        let now_ms = (self.clock)();
        if self.unconfirmed.find(once.fingerprint, now_ms).is_none() {
            return Ok(None);
        }
        // Perhaps it was confirmed since this batch was begun.
        self.settle_unconfirmed(&mut turn.batch);
        let Some(message) = self.unconfirmed.find(once.fingerprint, now_ms) else {
            return Ok(None);
        };
        let delivery = DeliveryId {
            message,
            recipient: 0,
        };
        match self.delivery(turn, delivery) {
            Ok(record) => {
                let event = EventRecord {
                    at_ms: now_ms,
                    from: record.standing,
                    to: record.standing,
                    cause: Cause::Repeated,
                    remote: None,
                };
                let key = Key::event(delivery, self.books.next_event());
                turn.batch.put(&key, &event)?;
            }
            // Delivered and forgotten meanwhile: kept once all the same.
            Err(SpoolError::UnknownDelivery(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(message))
    }

    /// Remembers a message until it is confirmed.
    pub(super) fn await_confirmation(
        &mut self,
        turn: &mut Turn,
        once: Once,
        message: QueueId,
    ) -> Result<(), SpoolError> {
        let until_ms = (self.clock)().saturating_add(once.window_ms);
        let record = UnconfirmedRecord { message, until_ms };
        self.unconfirmed
            .insert(&mut turn.batch, once.fingerprint, record)
    }
}
