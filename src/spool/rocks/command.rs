//! What an operator's order changes in a domain.

use super::{
    commit::{Committer, Turn},
    layout::{DomainNumber, Key, KeyReader},
    record::{OrderRecord, decode},
    store::Walk,
};
use crate::{
    mail::QueueId,
    spool::{Canary, Cause, DomainCommand, DomainStatus, Gate, Phase, SpoolError},
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
        let before = self.books.domain(number)?.phase;
        let batch = &mut turn.batch;
        let mut what = None;
        match command {
            DomainCommand::Hold => {
                let record = self.books.change(number)?;
                record.canary = None;
                record.gate = Gate::Open;
                if before != Phase::Hold {
                    self.books
                        .enter(batch, number, Phase::Hold, cause, now_ms)?;
                }
            }
            DomainCommand::Release {
                to,
                then,
                canary,
                gate,
            } => {
                let first = match canary {
                    Some(wanted) => self.first_of_backlog(number, wanted, now_ms)?,
                    None => None,
                };
                let record = self.books.change(number)?;
                record.then = then;
                record.paused = None;
                record.canary = first;
                let waits = record.gate != gate && gate != Gate::Open;
                record.gate = gate;
                let mut said = Vec::new();
                if to.is_some() && record.to != to {
                    record.to.clone_from(&to);
                    said.push(format!("destination {}", to.unwrap_or_default()));
                }
                said.extend(first.map(|first| format!("canary {}", first.messages)));
                said.extend(waits.then(|| format!("gate {gate}")));
                for what in said {
                    self.books.note(batch, number, what, cause, now_ms)?;
                }
                if before != Phase::Release {
                    self.books
                        .enter(batch, number, Phase::Release, cause, now_ms)?;
                }
            }
            DomainCommand::Open => {
                let gate = std::mem::take(&mut self.books.change(number)?.gate);
                what = (gate != Gate::Open).then(|| format!("gate {gate} -> open"));
            }
            DomainCommand::EndCanary => {
                let record = self.books.change(number)?;
                if let Some(canary) = record.canary.as_mut().filter(|canary| !canary.sent) {
                    canary.sent = true;
                    let reason = format!("the canary of {} was sent", canary.messages);
                    what = Some(format!("paused: {reason}"));
                    record.paused = Some(reason);
                }
            }
            DomainCommand::Pause { reason } => {
                what = Some(format!("paused: {reason}"));
                self.books.change(number)?.paused = Some(reason);
            }
            DomainCommand::Resume => {
                let record = self.books.change(number)?;
                // Whoever goes on has looked at it.
                record.canary = record.canary.filter(|canary| !canary.sent);
                what = record.paused.take().map(|_| "resumed".into());
            }
            DomainCommand::Limit(change) => {
                self.books.limit(batch, number, change, cause, now_ms)?;
            }
        }
        if let Some(what) = what {
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
