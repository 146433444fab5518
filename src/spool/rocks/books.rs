//! The books: each domain's phase and ledger, and the numbers to give out next. Kept in
//! memory by the committing thread, which alone changes them, and written in the same
//! batch as what they count.

use super::{
    layout::{DomainNumber, Key, KeyReader, Kind},
    record::{DomainEventRecord, DomainRecord, Head, Removed, decode},
    store::{Batch, Store, Walk},
};
use crate::{
    config::{LoadChange, LoadSet},
    mail::{DeliveryId, QueueId},
    spool::{Cause, Course, DomainStatus, Ledger, SpoolError},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Everything that is counted or numbered.
pub struct Books {
    /// Numbers.
    pub head: Head,
    domains: HashMap<DomainNumber, (String, DomainRecord)>,
    numbers: HashMap<String, DomainNumber>,
    /// What operators have set, where they have.
    loads: HashMap<DomainNumber, LoadSet>,
    /// Attempts without a result.
    pub attempts: HashSet<DeliveryId>,
    /// Domains that the batch under way has changed.
    touched: BTreeSet<DomainNumber>,
}

impl Books {
    /// Reads the books of a spool; those of a new one begin now.
    pub fn load(store: &Store, now_ms: u64) -> Result<Self, SpoolError> {
        let head = store.get(&Key::of(Kind::Head))?.unwrap_or(Head {
            commit: 0,
            next_id: QueueId::first_of_spool(now_ms),
            next_event: 1,
            next_domain: 1,
        });
        let mut books = Self {
            head,
            domains: HashMap::new(),
            numbers: HashMap::new(),
            loads: HashMap::new(),
            attempts: HashSet::new(),
            touched: BTreeSet::new(),
        };
        let prefix = Key::of(Kind::Domain);
        store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let record = decode(|| format!("domain {name}"), value)?;
            books.insert(name, record);
            Ok(Walk::On)
        })?;
        let prefix = Key::of(Kind::Load);
        store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
            if let Some(number) = KeyReader::new(key).u32() {
                let load = decode(|| format!("limits of domain number {number}"), value)?;
                books.loads.insert(DomainNumber(number), load);
            }
            Ok(Walk::On)
        })?;
        let prefix = Key::of(Kind::Attempt);
        store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, _| {
            books.attempts.extend(KeyReader::new(key).delivery_id());
            Ok(Walk::On)
        })?;
        Ok(books)
    }

    fn insert(&mut self, name: String, record: DomainRecord) {
        let number = DomainNumber(record.number);
        self.numbers.insert(name.clone(), number);
        self.domains.insert(number, (name, record));
    }

    /// Makes a domain known, in phase `hold` if it is new.
    pub fn add(&mut self, name: &str, now_ms: u64) {
        if self.numbers.contains_key(name) {
            return;
        }
        let number = self.head.next_domain;
        self.head.next_domain += 1;
        let record = DomainRecord {
            number,
            course: Course::new(now_ms),
            last_arrival_ms: 0,
            ledger: Ledger::default(),
            removed: Removed::default(),
        };
        self.insert(name.to_owned(), record);
        self.touched.insert(DomainNumber(number));
    }

    /// The number of a domain.
    pub fn number(&self, name: &str) -> Option<DomainNumber> {
        self.numbers.get(name).copied()
    }

    /// The name of a domain.
    pub fn name(&self, number: DomainNumber) -> Option<&str> {
        self.domains.get(&number).map(|(name, _)| name.as_str())
    }

    /// A domain's record.
    pub fn domain(&self, number: DomainNumber) -> Result<&DomainRecord, SpoolError> {
        let found = self.domains.get(&number);
        found
            .map(|(_, record)| record)
            .ok_or_else(|| unknown(number))
    }

    /// A domain's record, to be changed and written with the batch under way.
    pub fn change(&mut self, number: DomainNumber) -> Result<&mut DomainRecord, SpoolError> {
        let found = self.domains.get_mut(&number);
        let (_, record) = found.ok_or_else(|| unknown(number))?;
        self.touched.insert(number);
        Ok(record)
    }

    /// All domains, as they are shown.
    pub fn statuses(&self) -> impl Iterator<Item = DomainStatus> {
        (self.domains.iter()).map(|(number, (name, record))| self.shown(*number, name, record))
    }

    /// A domain, as it is shown.
    pub fn status(&self, number: DomainNumber) -> Result<DomainStatus, SpoolError> {
        let found = self.domains.get(&number);
        let (name, record) = found.ok_or_else(|| unknown(number))?;
        Ok(self.shown(number, name, record))
    }

    /// Changes what is set in the place of a domain's configured limits, with its event.
    pub fn limit(
        &mut self,
        batch: &mut Batch,
        domain: DomainNumber,
        change: LoadChange,
        cause: &Cause,
        now_ms: u64,
    ) -> Result<(), SpoolError> {
        let before = self.loads.get(&domain).copied().unwrap_or_default();
        let load = before.with(change);
        if load == before {
            return Ok(());
        }
        // It is shown and passed on with the record.
        self.change(domain)?;
        batch.put(&Key::load(domain), &load)?;
        self.loads.insert(domain, load);
        self.note(batch, domain, format!("limits: {load}"), cause, now_ms)
    }

    /// The number of the next event.
    pub fn next_event(&mut self) -> u64 {
        let event = self.head.next_event;
        self.head.next_event += 1;
        event
    }

    /// Writes an event of a domain.
    pub fn note(
        &mut self,
        batch: &mut Batch,
        domain: DomainNumber,
        what: String,
        cause: &Cause,
        now_ms: u64,
    ) -> Result<(), SpoolError> {
        let key = Key::domain_event(domain, self.next_event());
        batch.put(
            &key,
            &DomainEventRecord {
                at_ms: now_ms,
                what,
                cause: cause.clone(),
            },
        )
    }

    /// Ends releases that have nothing left, as each domain said it wants to go on.
    pub fn settle(&mut self, batch: &mut Batch, now_ms: u64) -> Result<(), SpoolError> {
        let mut drained = Vec::new();
        for number in &self.touched {
            if let Some((_, record)) = self.domains.get_mut(number)
                && record.ledger.backlog() == 0
                && let Some(what) = record.course.drained(now_ms)
            {
                drained.push((*number, what));
            }
        }
        for (number, what) in drained {
            let cause = Cause::Policy("the backlog is empty".into());
            self.note(batch, number, what, &cause, now_ms)?;
        }
        Ok(())
    }

    /// Writes what the batch changed, and the head under the next commit number. Returns
    /// the domains concerned.
    pub fn write(&mut self, batch: &mut Batch) -> Result<Vec<DomainStatus>, SpoolError> {
        self.head.commit += 1;
        batch.put(&Key::of(Kind::Head), &self.head)?;
        let mut changed = Vec::with_capacity(self.touched.len());
        for number in std::mem::take(&mut self.touched) {
            if let Some((name, record)) = self.domains.get(&number) {
                batch.put(&Key::domain(name), record)?;
                changed.push(self.shown(number, name, record));
            }
        }
        Ok(changed)
    }

    fn shown(&self, number: DomainNumber, name: &str, record: &DomainRecord) -> DomainStatus {
        let load = self.loads.get(&number).copied().unwrap_or_default();
        let course = &record.course;
        course.status(name, load, record.last_arrival_ms, record.ledger)
    }
}

fn unknown(number: DomainNumber) -> SpoolError {
    SpoolError::Corrupt {
        what: format!("domain number {}", number.0),
        detail: "a record refers to it and it does not exist".into(),
    }
}
