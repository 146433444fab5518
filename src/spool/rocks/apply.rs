//! What each request changes.

use super::{
    commit::{Committer, Turn},
    layout::{DomainNumber, Key, Stage},
    record::{BodyAt, DeliveryRecord, EventRecord, MessageRecord, OrderRecord},
    request::{Accept, Bytes},
    store::Walk,
};
use crate::{
    mail::{DeliveryId, Digest, QueueId, REPORTS_DOMAIN, report::Kind},
    spool::{
        Change, Phase, Receipt, Report, SpoolError, Standing, Step, Transition, steps::Effect,
    },
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A step, the record of its delivery, and what it does.
type Planned = (Transition, DeliveryRecord, Effect);

impl Committer {
    /// A message comes to be: body, record, a delivery for each recipient, counters.
    pub(super) fn accept(
        &mut self,
        turn: &mut Turn,
        accept: Accept,
    ) -> Result<Receipt, SpoolError> {
        let Accept {
            envelope,
            size,
            digest,
            bytes,
            once,
            account,
        } = accept;
        if let Some(once) = once
            && let Some(first) = self.repeated(turn, once)?
        {
            return Ok(Receipt::repeated(first, digest));
        }
        let mut domains = Vec::with_capacity(envelope.recipients.len());
        for recipient in &envelope.recipients {
            let name = match account {
                Some(account) => account.to_owned(),
                None => recipient.address.domain(),
            };
            let number = self.books.number(&name);
            domains.push(number.ok_or(SpoolError::UnknownDomain(name))?);
        }
        let id = self.books.head.next_id;
        self.books.head.next_id = id.next();
        let body = match bytes {
            Bytes::Memory(bytes) => {
                self.store.put_body(&mut turn.batch, id, &bytes)?;
                BodyAt::Inline
            }
            Bytes::File(mut file) => {
                let number = file.hand_over();
                turn.new_files.push(number);
                turn.batch.put(&Key::file(number), &id)?;
                BodyAt::File(number)
            }
        };
        for (index, (recipient, domain)) in (0..).zip(envelope.recipients.iter().zip(domains)) {
            let delivery = DeliveryId {
                message: id,
                recipient: index,
            };
            let record = DeliveryRecord {
                domain: domain.0,
                lane: recipient.address.lane(),
                size,
                standing: Standing::Waiting,
                attempts: 0,
                changed_ms: envelope.received_ms,
            };
            self.put_delivery(turn, delivery, &record)?;
            let ledger = &mut self.books.change(domain)?.ledger;
            ledger.accept(record.standing, size);
            self.arrived(turn, domain, envelope.received_ms)?;
        }
        let recipients = &mut envelope.recipients.iter();
        if account.is_none() && recipients.any(|to| Kind::Delayed.is_wanted(to)) {
            turn.batch.mark(&Key::late(envelope.received_ms, id));
        }
        turn.batch.put(
            &Key::message(id),
            &MessageRecord {
                envelope,
                size,
                digest,
                body,
            },
        )?;
        if let Some(once) = once {
            self.await_confirmation(turn, once, id)?;
        }
        Ok(Receipt::new(id, digest))
    }

    fn arrived(
        &mut self,
        turn: &mut Turn,
        domain: DomainNumber,
        at_ms: u64,
    ) -> Result<(), SpoolError> {
        let record = self.books.change(domain)?;
        record.last_arrival_ms = record.last_arrival_ms.max(at_ms);
        if record.course.phase != Phase::Hold {
            let name = self.books.name(domain).unwrap_or_default().to_owned();
            let change = Change::Arrived { domain: name };
            if !turn.changes.contains(&change) {
                turn.changes.push(change);
            }
        }
        Ok(())
    }

    /// Steps of deliveries: all are checked before the first is taken. Returns the messages
    /// that came to their end.
    pub(super) fn advance(
        &mut self,
        turn: &mut Turn,
        steps: Vec<Transition>,
    ) -> Result<Vec<QueueId>, SpoolError> {
        let mut planned = Vec::with_capacity(steps.len());
        let mut seen = HashSet::new();
        for transition in steps {
            let record = self.delivery(turn, transition.delivery)?;
            let phase = self.books.domain(DomainNumber(record.domain))?.course.phase;
            let attempting = self.books.attempts.contains(&transition.delivery);
            if transition.step == Step::Rewind {
                self.check_body(transition.delivery.message)?;
            }
            let effect = transition.effect(record.standing, phase, attempting)?;
            if !seen.insert(transition.delivery) {
                return Err(transition.conflict(record.standing, phase));
            }
            planned.push((transition, record, effect));
        }
        // All that has to be read is read before anything is changed.
        let finished = self.finished_by(turn, &planned)?;
        for (transition, record, effect) in planned {
            let id = transition.delivery;
            match effect {
                Effect::Begin => {
                    self.books.attempts.insert(id);
                    turn.batch.mark(&Key::attempt(id));
                    let record = DeliveryRecord {
                        attempts: record.attempts.saturating_add(1),
                        ..record
                    };
                    turn.batch.put(&Key::delivery(id), &record)?;
                    turn.deliveries.insert(id, record);
                }
                Effect::End => self.end_attempt(turn, id),
                Effect::Move(to) => {
                    self.end_attempt(turn, id);
                    self.move_delivery(turn, transition, record, to)?;
                }
            }
        }
        for message in &finished {
            let at_ms = (self.clock)().saturating_add(self.retention.bodies_ms);
            turn.batch.mark(&Key::expiry(at_ms, Stage::Body, *message));
        }
        Ok(finished)
    }

    /// The messages of which no delivery is left behind these steps.
    fn finished_by(&self, turn: &Turn, planned: &[Planned]) -> Result<Vec<QueueId>, SpoolError> {
        let mut standings = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for (transition, _, effect) in planned {
            if let Effect::Move(to) = effect {
                let id = transition.delivery;
                standings.insert(id, *to);
                if to.is_final() {
                    ended.insert(id.message);
                }
            }
        }
        let mut finished = Vec::new();
        for message in ended {
            if self.all_final(turn, message, &standings)? {
                finished.push(message);
            }
        }
        Ok(finished)
    }

    /// Steps, and the reports about them, which are mail like any other but for their
    /// account.
    pub(super) fn bounce(
        &mut self,
        turn: &mut Turn,
        steps: Vec<Transition>,
        reports: Vec<Report>,
    ) -> Result<Vec<QueueId>, SpoolError> {
        // Asked first, since from the first step on nothing may fail any more.
        if !reports.is_empty() && self.books.number(REPORTS_DOMAIN).is_none() {
            return Err(SpoolError::UnknownDomain(REPORTS_DOMAIN.into()));
        }
        self.advance(turn, steps)?;
        let mut ids = Vec::with_capacity(reports.len());
        for report in reports {
            ids.push(self.accept_report(turn, report)?);
        }
        Ok(ids)
    }

    fn accept_report(&mut self, turn: &mut Turn, report: Report) -> Result<QueueId, SpoolError> {
        let Report { envelope, bytes } = report;
        let accept = Accept {
            envelope,
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            digest: Digest::of(&bytes),
            bytes: Bytes::Memory(bytes),
            once: None,
            account: Some(REPORTS_DOMAIN),
        };
        Ok(self.accept(turn, accept)?.id())
    }

    /// A sender was told of a delay, once, or need not be.
    pub(super) fn warn(
        &mut self,
        turn: &mut Turn,
        id: QueueId,
        report: Option<Report>,
    ) -> Result<Option<QueueId>, SpoolError> {
        if report.is_some() && self.books.number(REPORTS_DOMAIN).is_none() {
            return Err(SpoolError::UnknownDomain(REPORTS_DOMAIN.into()));
        }
        let Some(record) = self.store.get::<MessageRecord>(&Key::message(id))? else {
            return Ok(None);
        };
        let key = Key::late(record.envelope.received_ms, id);
        // A second one in the same batch would find the key too; one task alone tells.
        if !self.store.view().has(&key)? {
            return Ok(None);
        }
        turn.batch.delete(&key);
        report
            .map(|report| self.accept_report(turn, report))
            .transpose()
    }

    fn end_attempt(&mut self, turn: &mut Turn, id: DeliveryId) {
        if self.books.attempts.remove(&id) {
            turn.batch.delete(&Key::attempt(id));
        }
    }

    fn move_delivery(
        &mut self,
        turn: &mut Turn,
        transition: Transition,
        before: DeliveryRecord,
        to: Standing,
    ) -> Result<(), SpoolError> {
        let (domain, from) = (DomainNumber(before.domain), before.standing);
        let ledger = &mut self.books.change(domain)?.ledger;
        ledger.advance(transition.step, from, to, before.size);
        if transition.requeues() {
            let name = self.books.name(domain).unwrap_or_default().to_owned();
            turn.changes.push(Change::Requeued {
                domain: name,
                lane: before.lane,
            });
        }
        let Transition {
            delivery: id,
            cause,
            remote,
            at_ms,
            ..
        } = transition;
        let event = EventRecord {
            at_ms,
            from,
            to,
            cause,
            remote,
        };
        turn.batch
            .put(&Key::event(id, self.books.next_event()), &event)?;
        let record = DeliveryRecord {
            standing: to,
            changed_ms: at_ms,
            ..before
        };
        self.put_delivery(turn, id, &record)
    }

    /// Writes a delivery and its places in the arrival order and in its lane.
    fn put_delivery(
        &self,
        turn: &mut Turn,
        id: DeliveryId,
        record: &DeliveryRecord,
    ) -> Result<(), SpoolError> {
        let domain = DomainNumber(record.domain);
        let batch = &mut turn.batch;
        batch.put(&Key::delivery(id), record)?;
        if record.standing.is_final() {
            batch.delete(&Key::order(domain, id));
        } else {
            let order = OrderRecord {
                lane: record.lane,
                standing: record.standing,
            };
            batch.put(&Key::order(domain, id), &order)?;
        }
        if record.standing.holds_lane() {
            batch.mark(&Key::lane(domain, record.lane, id));
        } else {
            batch.delete(&Key::lane(domain, record.lane, id));
        }
        turn.deliveries.insert(id, *record);
        Ok(())
    }

    /// A delivery as the batch under way leaves it.
    pub(super) fn delivery(
        &self,
        turn: &Turn,
        id: DeliveryId,
    ) -> Result<DeliveryRecord, SpoolError> {
        if let Some(record) = turn.deliveries.get(&id) {
            return Ok(*record);
        }
        let found = self.store.get(&Key::delivery(id))?;
        found.ok_or(SpoolError::UnknownDelivery(id))
    }

    /// That a message can be sent again.
    fn check_body(&self, id: QueueId) -> Result<(), SpoolError> {
        let record = self.store.get::<MessageRecord>(&Key::message(id))?;
        match record.ok_or(SpoolError::UnknownMessage(id))?.body {
            BodyAt::Gone => Err(SpoolError::NoBody(id)),
            BodyAt::Inline | BodyAt::File(_) => Ok(()),
        }
    }

    pub(super) fn is_finished(&self, turn: &Turn, message: QueueId) -> Result<bool, SpoolError> {
        self.all_final(turn, message, &BTreeMap::new())
    }

    /// Whether no delivery of a message is left, once these stand as they will.
    fn all_final(
        &self,
        turn: &Turn,
        message: QueueId,
        will: &BTreeMap<DeliveryId, Standing>,
    ) -> Result<bool, SpoolError> {
        let prefix = Key::deliveries(message);
        let mut finished = true;
        self.store
            .walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
                let id = super::layout::KeyReader::new(key).delivery_id();
                let planned = id.and_then(|id| will.get(&id).copied());
                let staged = || Some(turn.deliveries.get(&id?)?.standing);
                let standing = match planned.or_else(staged) {
                    Some(standing) => standing,
                    None => {
                        let what = || format!("a delivery of {message}");
                        super::record::decode::<DeliveryRecord>(what, value)?.standing
                    }
                };
                finished = standing.is_final();
                Ok(if finished { Walk::On } else { Walk::Stop })
            })?;
        Ok(finished)
    }

    /// Makes domains known.
    pub(super) fn add_domains(&mut self, names: &[String]) -> Result<(), SpoolError> {
        let now_ms = (self.clock)();
        for name in names {
            self.books.add(name, now_ms);
        }
        Ok(())
    }
}
