//! What an operator's order changes in a domain.

use super::{
    commit::{Committer, Turn},
    layout::{DomainNumber, Key, KeyReader},
    record::{OrderRecord, decode},
    store::Walk,
};
use crate::{
    mail::QueueId,
    spool::{Canary, Cause, DomainCommand, DomainStatus, SpoolError},
};

/// Messages that may be told to go first: a person looks at each reply.
const CANARY_MAX: u32 = 1000;

impl Committer {
    /// Carries out an operator's order.
    pub(super) fn command(
        &mut self,
        turn: &mut Turn,
        name: &str,
        command: DomainCommand,
        cause: &Cause,
    ) -> Result<DomainStatus, SpoolError> {
        let now_ms = (self.clock)();
        let number = self.books.number(name);
        let number = number.ok_or_else(|| SpoolError::UnknownDomain(name.to_owned()))?;
        let canary = match command {
            DomainCommand::Release { canary, .. } => canary,
            _ => None,
        };
        let first = match canary {
            Some(wanted) => self.first_of_backlog(number, wanted, now_ms)?,
            None => None,
        };
        let batch = &mut turn.batch;
        if let DomainCommand::Limit(change) = command {
            self.books.limit(batch, number, change, cause, now_ms)?;
        }
        let course = &mut self.books.change(number)?.course;
        for what in course.take(command, first, now_ms) {
            self.books.note(batch, number, what, cause, now_ms)?;
        }
        self.books.settle(batch, now_ms)?;
        self.books.status(number)
    }

    /// The oldest messages that a release would send, at most `wanted`; nothing when there
    /// is none.
    fn first_of_backlog(
        &self,
        domain: DomainNumber,
        wanted: u32,
        now_ms: u64,
    ) -> Result<Option<Canary>, SpoolError> {
        let wanted = wanted.clamp(1, CANARY_MAX);
        let mut canary: Option<Canary> = None;
        let mut take = |message: QueueId| {
            let found = canary.get_or_insert(Canary {
                messages: 1,
                first: message,
                last: message,
                since_ms: now_ms,
                sent: false,
            });
            if found.last != message {
                if found.messages == wanted {
                    return Walk::Stop;
                }
                found.messages += 1;
                found.last = message;
            }
            Walk::On
        };
        let all = Key::orders(domain);
        self.store
            .walk(all.as_ref(), &all.after_prefix(), |key, value| {
                let mut reader = KeyReader::new(key);
                let (Some(_), Some(id)) = (reader.u32(), reader.delivery_id()) else {
                    return Ok(Walk::On);
                };
                let record: OrderRecord = decode(|| format!("the order of {}", id.message), value)?;
                Ok(match record.standing.holds_lane() {
                    true => take(id.message),
                    false => Walk::On,
                })
            })?;
        Ok(canary)
    }
}
