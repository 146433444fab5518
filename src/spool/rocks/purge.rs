//! Removal of what has been kept long enough, or longer than there is space for: first a
//! finished message's bytes, later its records. The ledger goes on counting what was removed.

use super::{
    commit::{Committer, Turn},
    layout::{DomainNumber, Key, KeyReader, Kind, Stage},
    record::{BodyAt, DeliveryRecord, MessageRecord, decode},
    store::Walk,
};
use crate::{
    mail::QueueId,
    spool::{SpoolError, Standing},
};
use std::collections::HashSet;

impl Committer {
    /// Removes what expired before `now_ms`, of `limit` messages at most. Returns how many.
    pub(super) fn purge(
        &mut self,
        turn: &mut Turn,
        now_ms: u64,
        limit: usize,
    ) -> Result<usize, SpoolError> {
        let mut expired = Vec::new();
        let from = Key::of(Kind::Expiry);
        self.store
            .walk(from.as_ref(), Key::expiries(now_ms).as_ref(), |key, _| {
                let mut reader = KeyReader::new(key);
                let fields = (reader.u64(), reader.u8(), reader.queue_id());
                if let (Some(at_ms), Some(stage), Some(message)) = fields {
                    expired.push((key.to_vec(), at_ms, stage, message));
                }
                Ok(if expired.len() < limit {
                    Walk::On
                } else {
                    Walk::Stop
                })
            })?;
        let mut seen = HashSet::new();
        let mut removed = 0;
        for (key, at_ms, stage, message) in expired {
            // One that was delivered again has more than one trace. What this batch removes of
            // it is still there for whoever reads now: the other trace's turn comes later.
            if !seen.insert(message) {
                continue;
            }
            if let Err(error) = self.expire(turn, message, stage, at_ms) {
                tracing::error!("{message} is kept, for it cannot be removed: {error}");
                continue;
            }
            turn.batch.delete_raw(&key);
            removed += 1;
        }
        Ok(removed)
    }

    /// Nothing is changed by an error.
    fn expire(
        &mut self,
        turn: &mut Turn,
        message: QueueId,
        stage: u8,
        at_ms: u64,
    ) -> Result<(), SpoolError> {
        if !self.is_finished(turn, message)? {
            // It was rewound since, and expires anew when it is delivered again.
            return Ok(());
        }
        if stage != Stage::Body as u8 {
            return self.remove_records(turn, message);
        }
        self.remove_body(turn, message)?;
        let later = at_ms.saturating_add(self.retention.records_ms);
        turn.batch
            .mark(&Key::expiry(later, Stage::Records, message));
        Ok(())
    }

    /// Gives up the bytes of finished messages that are still kept, the oldest first.
    pub(super) fn relieve(&mut self, turn: &mut Turn, limit: usize) -> Result<usize, SpoolError> {
        let mut kept = Vec::new();
        let all = Key::of(Kind::Expiry);
        self.store
            .walk(all.as_ref(), &all.after_prefix(), |key, _| {
                let mut reader = KeyReader::new(key);
                let fields = (reader.u64(), reader.u8(), reader.queue_id());
                if let (Some(at_ms), Some(stage), Some(message)) = fields
                    && stage == Stage::Body as u8
                {
                    kept.push((key.to_vec(), at_ms, message));
                }
                Ok(match kept.len() < limit {
                    true => Walk::On,
                    false => Walk::Stop,
                })
            })?;
        let mut given_up = 0;
        for (key, at_ms, message) in kept {
            turn.batch.delete_raw(&key);
            if self.is_finished(turn, message)? {
                self.remove_body(turn, message)?;
                let later = at_ms.saturating_add(self.retention.records_ms);
                turn.batch
                    .mark(&Key::expiry(later, Stage::Records, message));
                given_up += 1;
            }
        }
        Ok(given_up)
    }

    fn remove_body(&self, turn: &mut Turn, id: QueueId) -> Result<(), SpoolError> {
        let key = Key::message(id);
        let Some(mut record) = self.store.get::<MessageRecord>(&key)? else {
            return Ok(());
        };
        match record.body {
            BodyAt::Inline => self.store.delete_body(&mut turn.batch, id)?,
            BodyAt::File(number) => {
                turn.batch.delete(&Key::file(number));
                turn.unowned_files.push(number);
            }
            BodyAt::Gone => {}
        }
        record.body = BodyAt::Gone;
        turn.batch.put(&key, &record)
    }

    fn remove_records(&mut self, turn: &mut Turn, id: QueueId) -> Result<(), SpoolError> {
        let (mut keys, mut finished) = (Vec::new(), Vec::new());
        let deliveries = Key::deliveries(id);
        self.store.walk(
            deliveries.as_ref(),
            &deliveries.after_prefix(),
            |key, value| {
                let record: DeliveryRecord = decode(|| format!("a delivery of {id}"), value)?;
                self.books.domain(DomainNumber(record.domain))?;
                finished.push(record);
                keys.push(key.to_vec());
                Ok(Walk::On)
            },
        )?;
        let events = Key::message_events(id);
        self.store
            .walk(events.as_ref(), &events.after_prefix(), |key, _| {
                keys.push(key.to_vec());
                Ok(Walk::On)
            })?;
        let message = self.store.get::<MessageRecord>(&Key::message(id))?;
        // All was read that has to be.
        for record in finished {
            let columns = &mut self.books.change(DomainNumber(record.domain))?.removed;
            let tally = match record.standing {
                Standing::Bounced => &mut columns.bounced,
                Standing::Dropped => &mut columns.dropped,
                _ => &mut columns.delivered,
            };
            tally.add(record.size);
        }
        for key in keys {
            turn.batch.delete_raw(&key);
        }
        if let Some(record) = message {
            turn.batch
                .delete(&Key::late(record.envelope.received_ms, id));
        }
        turn.batch.delete(&Key::message(id));
        Ok(())
    }
}
