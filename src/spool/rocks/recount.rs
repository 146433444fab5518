//! The full recount: every counter and index compared with the records that it stands
//! for, and what can be put right without losing mail.

use super::{
    commit::{Committer, Turn},
    files::Files,
    layout::{DomainNumber, Key, KeyReader, Kind},
    record::{BodyAt, DeliveryRecord, DomainRecord, MessageRecord, OrderRecord, Removed, decode},
    store::{Store, View, Walk},
};
use crate::{
    mail::{DeliveryId, Digest, Digester, QueueId},
    spool::{Ledger, Recount, RecountedDomain, SpoolError, Tally},
};
use std::{collections::BTreeMap, io::Read};

/// Findings that are written out; more are only counted.
const FINDINGS_MAX: usize = 1000;

/// What a recount found, with what would put it right.
pub struct Outcome {
    /// The report.
    pub report: Recount,
    fixes: Vec<Fix>,
}

/// One change that loses nothing.
enum Fix {
    Ledger(DomainNumber, Ledger),
    Order(DomainNumber, DeliveryId, OrderRecord),
    Lane(Vec<u8>),
    StaleKey(Vec<u8>),
    OrphanBody(QueueId),
}

/// Recounts a moment's state. Files from `first_live_file` on may belong to messages that
/// are just being received, and are passed over.
pub fn recount(
    store: &Store,
    files: &Files,
    first_live_file: u64,
    verify_bodies: bool,
) -> Result<Outcome, SpoolError> {
    let mut count = Count {
        store,
        view: store.snapshot(),
        files,
        verify_bodies,
        report: Recount::default(),
        fixes: Vec::new(),
        ledgers: BTreeMap::new(),
        ordered: 0,
        laned: 0,
        more: 0,
    };
    count.messages()?;
    count.deliveries_without_message()?;
    count.indices()?;
    count.bodies_without_message(first_live_file)?;
    count.domains()?;
    if count.more > 0 {
        let more = format!("and {} findings more", count.more);
        count.report.findings.push(more);
    }
    Ok(Outcome {
        report: count.report,
        fixes: count.fixes,
    })
}

struct Count<'a> {
    store: &'a Store,
    view: View<'a>,
    files: &'a Files,
    verify_bodies: bool,
    report: Recount,
    fixes: Vec<Fix>,
    ledgers: BTreeMap<DomainNumber, Ledger>,
    /// Entries of both indices that were met under their delivery.
    ordered: u64,
    laned: u64,
    more: u64,
}

impl Count<'_> {
    fn finding(&mut self, text: String) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(text);
        } else {
            self.more += 1;
        }
    }

    fn messages(&mut self) -> Result<(), SpoolError> {
        let all = Key::of(Kind::Message);
        let mut from = all.as_ref().to_vec();
        // In pages, so that a walk borrows nothing while its findings are noted.
        loop {
            let mut page = Vec::new();
            self.view.walk(&from, &all.after_prefix(), |key, value| {
                page.push((key.to_vec(), value.to_vec()));
                Ok(if page.len() < 256 {
                    Walk::On
                } else {
                    Walk::Stop
                })
            })?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from.clone_from(last);
            from.push(0);
            for (key, value) in page {
                self.message(&key, &value)?;
            }
        }
    }

    fn message(&mut self, key: &[u8], value: &[u8]) -> Result<(), SpoolError> {
        let Some(id) = KeyReader::new(key).queue_id() else {
            self.finding(format!("a message's key of {} bytes", key.len()));
            return Ok(());
        };
        self.report.messages += 1;
        let record: MessageRecord = match decode(|| format!("message {id}"), value) {
            Ok(record) => record,
            Err(error) => {
                self.finding(error.to_string());
                return Ok(());
            }
        };
        if let Err(error) = self.body(id, &record) {
            self.finding(error.to_string());
        }
        for (index, recipient) in (0..).zip(&record.envelope.recipients) {
            let delivery = DeliveryId {
                message: id,
                recipient: index,
            };
            match self.view.get::<DeliveryRecord>(&Key::delivery(delivery)) {
                Ok(Some(found)) => self.delivery(delivery, &found)?,
                Ok(None) => self.finding(format!(
                    "message {id}: no delivery to <{}>",
                    recipient.address
                )),
                Err(error) => self.finding(error.to_string()),
            }
        }
        Ok(())
    }

    fn delivery(&mut self, id: DeliveryId, record: &DeliveryRecord) -> Result<(), SpoolError> {
        self.report.deliveries += 1;
        let domain = DomainNumber(record.domain);
        let ledger = self.ledgers.entry(domain).or_default();
        ledger.accept(record.standing, record.size);
        let named = || format!("{}:{}", id.message, id.recipient);
        if !record.standing.is_final() {
            let expected = OrderRecord {
                lane: record.lane,
                standing: record.standing,
            };
            let key = Key::order(domain, id);
            self.ordered += u64::from(self.view.has(&key)?);
            if self.view.get(&key).ok().flatten() != Some(expected) {
                self.finding(format!(
                    "delivery {} is not in its place in the arrival order",
                    named()
                ));
                self.fixes.push(Fix::Order(domain, id, expected));
            }
        }
        if record.standing.holds_lane() {
            let key = Key::lane(domain, record.lane, id);
            if self.view.has(&key)? {
                self.laned += 1;
            } else {
                self.finding(format!("delivery {} is not in its lane", named()));
                self.fixes.push(Fix::Lane(key.as_ref().to_vec()));
            }
        }
        Ok(())
    }

    fn body(&mut self, id: QueueId, record: &MessageRecord) -> Result<(), SpoolError> {
        let lost = |detail: String| SpoolError::Corrupt {
            what: format!("the body of message {id}"),
            detail,
        };
        let (digest, size) = match record.body {
            BodyAt::Gone => return Ok(()),
            BodyAt::Inline if !self.verify_bodies => return Ok(()),
            BodyAt::Inline => {
                let bytes = self.view.body(id)?;
                let bytes = bytes.ok_or_else(|| lost("its bytes are not there".into()))?;
                (Digest::of(&bytes), bytes.len() as u64)
            }
            BodyAt::File(number) => {
                let mut file = match self.files.read(number) {
                    Ok(file) => file,
                    // It may have been removed after the moment that is counted.
                    Err(_) if self.is_gone(id)? => return Ok(()),
                    Err(error) => return Err(lost(error.to_string())),
                };
                if !self.verify_bodies {
                    return Ok(());
                }
                digest_of(&mut file).map_err(|error| lost(error.to_string()))?
            }
        };
        self.report.bodies_checked += 1;
        if (digest, size) != (record.digest, record.size) {
            return Err(lost(format!(
                "{size} bytes with digest {digest}; stored were {} with {}",
                record.size, record.digest
            )));
        }
        Ok(())
    }

    fn is_gone(&self, id: QueueId) -> Result<bool, SpoolError> {
        let latest = self.store.get::<MessageRecord>(&Key::message(id))?;
        Ok(latest.is_none_or(|record| record.body == BodyAt::Gone))
    }

    /// Every delivery was met under its message, or belongs to none.
    fn deliveries_without_message(&mut self) -> Result<(), SpoolError> {
        let mut total = 0;
        self.view.walk_kind(Kind::Delivery, |_| total += 1)?;
        if total != self.report.deliveries {
            self.finding(format!(
                "{total} deliveries are recorded, and {} belong to a message",
                self.report.deliveries
            ));
        }
        Ok(())
    }

    /// The entries of both indices were each met under a delivery, or are left over.
    fn indices(&mut self) -> Result<(), SpoolError> {
        for (kind, skip, expected) in [(Kind::Order, 1, self.ordered), (Kind::Lane, 2, self.laned)]
        {
            let mut total = 0;
            self.view.walk_kind(kind, |_| total += 1)?;
            if total == expected {
                continue;
            }
            let mut stale = Vec::new();
            let view = &self.view;
            view.walk_kind(kind, |key| {
                if stale.len() < FINDINGS_MAX && is_stale(view, key, kind, skip) {
                    stale.push(key.to_vec());
                }
            })?;
            self.finding(format!(
                "index {kind:?} has {total} entries, and {expected} are right"
            ));
            self.fixes.extend(stale.into_iter().map(Fix::StaleKey));
        }
        Ok(())
    }

    fn bodies_without_message(&mut self, first_live_file: u64) -> Result<(), SpoolError> {
        let mut orphans = Vec::new();
        let view = &self.view;
        view.walk_bodies(|id| {
            if !view.has(&Key::message(id))? && orphans.len() < FINDINGS_MAX {
                orphans.push(id);
            }
            Ok(())
        })?;
        for id in orphans {
            self.finding(format!("a body is there for message {id}, which is not"));
            self.fixes.push(Fix::OrphanBody(id));
        }
        let numbers = self.files.numbers();
        let numbers = numbers
            .map_err(|error| super::files::failed("reading the directory bodies", &error))?;
        for number in numbers
            .into_iter()
            .filter(|number| *number < first_live_file)
        {
            if !self.view.has(&Key::file(number))? {
                self.report.leftovers += 1;
            }
        }
        Ok(())
    }

    fn domains(&mut self) -> Result<(), SpoolError> {
        let mut records = Vec::new();
        let prefix = Key::of(Kind::Domain);
        self.view
            .walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
                let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
                let record: DomainRecord = decode(|| format!("domain {name}"), value)?;
                records.push((name, record));
                Ok(Walk::On)
            })?;
        for (name, record) in records {
            let number = DomainNumber(record.number);
            let mut recounted = self.ledgers.remove(&number).unwrap_or_default();
            add_removed(&mut recounted, record.removed);
            recounted.doubted = record.ledger.doubted;
            recounted.found = record.ledger.found;
            recounted.resent = record.ledger.resent;
            if recounted != record.ledger {
                self.finding(format!("{name}: the counters differ from the records"));
                self.fixes.push(Fix::Ledger(number, recounted));
            }
            self.report.domains.push(RecountedDomain {
                name,
                counters: record.ledger,
                recounted,
            });
        }
        for number in std::mem::take(&mut self.ledgers).into_keys() {
            self.finding(format!(
                "deliveries belong to domain number {}, which is not there",
                number.0
            ));
        }
        Ok(())
    }
}

fn is_stale(view: &View<'_>, key: &[u8], kind: Kind, skip: usize) -> bool {
    let mut reader = KeyReader::new(key);
    let _domain = reader.u32();
    if skip == 2 {
        let _lane = reader.u64();
    }
    let Some(id) = reader.delivery_id() else {
        return true;
    };
    let record = view.get::<DeliveryRecord>(&Key::delivery(id));
    match (record, kind) {
        (Ok(Some(record)), Kind::Lane) => !record.standing.holds_lane(),
        (Ok(Some(record)), _) => record.standing.is_final(),
        // A delivery that cannot be read is not forgotten.
        (Err(_), _) => false,
        (Ok(None), _) => true,
    }
}

fn add_removed(ledger: &mut Ledger, removed: Removed) {
    let columns = [
        (&mut ledger.delivered, removed.delivered),
        (&mut ledger.bounced, removed.bounced),
        (&mut ledger.dropped, removed.dropped),
    ];
    let mut total = Tally::default();
    for (column, removed) in columns {
        for tally in [column, &mut total] {
            tally.count += removed.count;
            tally.bytes += removed.bytes;
        }
    }
    ledger.accepted.count += total.count;
    ledger.accepted.bytes += total.bytes;
}

fn digest_of(file: &mut std::fs::File) -> std::io::Result<(Digest, u64)> {
    let mut digester = Digester::default();
    let mut size = 0;
    let mut piece = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((digester.digest(), size));
        }
        size += read as u64;
        digester.update(piece.get(..read).unwrap_or_default());
    }
}

impl Committer {
    /// Puts right what a recount finds.
    pub(super) fn repair(&mut self, turn: &mut Turn) -> Result<Vec<String>, SpoolError> {
        let outcome = recount(&self.store, &self.files, self.files.first(), false)?;
        let mut done = Vec::with_capacity(outcome.fixes.len());
        for fix in outcome.fixes {
            let batch = &mut turn.batch;
            done.push(match fix {
                Fix::Ledger(domain, ledger) => {
                    self.books.change(domain)?.ledger = ledger;
                    format!(
                        "{}: counters set to the recount",
                        self.books.name(domain).unwrap_or_default()
                    )
                }
                Fix::Order(domain, id, record) => {
                    batch.put(&Key::order(domain, id), &record)?;
                    format!(
                        "delivery {}:{} put back into the arrival order",
                        id.message, id.recipient
                    )
                }
                Fix::Lane(key) => {
                    batch.mark_raw(&key);
                    "a delivery put back into its lane".into()
                }
                Fix::StaleKey(key) => {
                    batch.delete_raw(&key);
                    "an index entry without a delivery removed".into()
                }
                Fix::OrphanBody(id) => {
                    self.store.delete_body(batch, id)?;
                    format!("the body without a message {id} removed")
                }
            });
        }
        Ok(done)
    }
}
