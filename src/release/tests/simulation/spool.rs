//! A spool in memory that obeys the rules of the true one: its states, its phases, its books.
//! Writes take their time, fail for a while, and whoever died writes no more.

use crate::{
    config::LoadSet,
    mail::{Address, DeliveryId, Digest, Envelope, Lane, QueueId},
    release::dice::Dice,
    spool::{
        Answer, Body, Canary, Cause, Change, Course, Delivery, DomainCommand, DomainEvent,
        DomainStatus, Draft, Event, Ledger, Measures, Phase, Recount, Report, Spool, SpoolError,
        Standing, Step, StoredMessage, Transition, Unfinished, steps::Effect,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::broadcast, time::sleep};

/// How soon a release must have heard that it is to stand still.
const HEARD_MS: u64 = 1_000;

/// What is on disk.
pub struct Disk {
    books: Mutex<Books>,
    changes: broadcast::Sender<Change>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    measures: Measures,
}

struct Books {
    dice: Dice,
    domain: String,
    course: Course,
    /// Since when nothing may go.
    stands_since: Option<u64>,
    ledger: Ledger,
    load: LoadSet,
    messages: BTreeMap<QueueId, (StoredMessage, Vec<u8>)>,
    deliveries: BTreeMap<DeliveryId, Record>,
    attempts: BTreeSet<DeliveryId>,
    events: BTreeMap<QueueId, Vec<Event>>,
    next: QueueId,
    last_event: u64,
    fails: bool,
    life: u64,
}

#[derive(Clone, Copy)]
struct Record {
    lane: Lane,
    bytes: u64,
    standing: Standing,
    attempts: u32,
    changed_ms: u64,
}

/// The disk in the hands of one process.
pub struct Handle {
    disk: Arc<Disk>,
    life: u64,
}

impl Disk {
    pub fn new(
        domain: &str,
        dice: Dice,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Arc<Self> {
        let now_ms = clock();
        let books = Books {
            dice,
            domain: domain.into(),
            course: Course::new(now_ms),
            stands_since: None,
            ledger: Ledger::default(),
            load: LoadSet::default(),
            messages: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            attempts: BTreeSet::new(),
            events: BTreeMap::new(),
            next: QueueId::first_of_spool(now_ms),
            last_event: 0,
            fails: false,
            life: 0,
        };
        Arc::new(Self {
            books: Mutex::new(books),
            changes: broadcast::channel(1024).0,
            clock: Box::new(clock),
            measures: Measures::default(),
        })
    }

    /// A process opens it, and whoever had it before is dead.
    pub fn open(self: &Arc<Self>) -> Handle {
        let mut books = self.books();
        books.life += 1;
        let life = books.life;
        books.doubt_open_attempts((self.clock)());
        Handle {
            disk: self.clone(),
            life,
        }
    }

    /// From now on writes fail, or not any more; then it is opened again.
    pub fn fail(&self, fails: bool) {
        let mut books = self.books();
        books.fails = fails;
        if !fails {
            books.doubt_open_attempts((self.clock)());
            let _ = self.changes.send(Change::Reopened);
        }
    }

    pub fn accept(&self, envelope: Envelope, data: &[u8]) -> QueueId {
        let mut books = self.books();
        let id = books.next;
        books.next = id.next();
        let bytes = data.len() as u64;
        for (place, recipient) in (0..).zip(&envelope.recipients) {
            let record = Record {
                lane: recipient.address.lane(),
                bytes,
                standing: Standing::Waiting,
                attempts: 0,
                changed_ms: envelope.received_ms,
            };
            let delivery = DeliveryId {
                message: id,
                recipient: place,
            };
            books.deliveries.insert(delivery, record);
            books.ledger.accept(record.standing, bytes);
        }
        let message = StoredMessage {
            id,
            envelope,
            size: bytes,
            digest: Digest::of(data),
            has_body: true,
        };
        books.messages.insert(id, (message, data.to_vec()));
        if books.course.phase != Phase::Hold {
            let domain = books.domain.clone();
            let _ = self.changes.send(Change::Arrived { domain });
        }
        id
    }

    pub fn status(&self) -> DomainStatus {
        self.books().status()
    }

    /// Every delivery, and where it stands.
    pub fn standings(&self) -> Vec<(DeliveryId, Standing)> {
        let books = self.books();
        let each = books.deliveries.iter();
        each.map(|(id, record)| (*id, record.standing)).collect()
    }

    pub fn next_id(&self) -> QueueId {
        self.books().next
    }

    pub fn address(&self, id: DeliveryId) -> Address {
        let books = self.books();
        let (message, _) = &books.messages[&id.message];
        message.envelope.recipients[id.recipient as usize]
            .address
            .clone()
    }

    pub fn history(&self, id: DeliveryId) -> Vec<Event> {
        let books = self.books();
        let events = books.events.get(&id.message).into_iter().flatten();
        events
            .filter(|event| event.delivery == id)
            .cloned()
            .collect()
    }

    /// What a person does; refused where the rules say so.
    pub fn decide(&self, delivery: DeliveryId, step: Step) -> Result<(), SpoolError> {
        let at_ms = (self.clock)();
        let transition = Transition {
            delivery,
            step,
            cause: Cause::Operator("simulated".into()),
            remote: None,
            at_ms,
        };
        self.advance(vec![transition]).map(|_| ())
    }

    pub fn order(&self, command: DomainCommand) {
        let now_ms = (self.clock)();
        let mut books = self.books();
        let before = books.status();
        let canary = match command {
            DomainCommand::Release { canary, .. } => books.first(canary, now_ms),
            _ => None,
        };
        match command {
            DomainCommand::Limit(change) => books.load = books.load.with(change),
            command => drop(books.course.take(command, canary, now_ms)),
        }
        books.settle(now_ms);
        // As the true spool does: nobody hears of what changes nothing.
        let after = books.status();
        let known = |status: &DomainStatus| {
            let DomainStatus {
                phase,
                canary,
                gate,
                load,
                ..
            } = *status;
            (
                phase,
                status.paused.clone(),
                status.to.clone(),
                canary,
                gate,
                load,
            )
        };
        if known(&before) != known(&after) {
            let domain = books.domain.clone();
            let _ = self.changes.send(Change::Domain { domain });
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn advance(&self, transitions: Vec<Transition>) -> Result<Vec<QueueId>, SpoolError> {
        let now_ms = (self.clock)();
        let mut books = self.books();
        let (phase, domain) = (books.course.phase, books.domain.clone());
        let mut requeued = Vec::new();
        let finished = books.advance(transitions, now_ms, &mut requeued)?;
        for lane in requeued {
            let domain = domain.clone();
            let _ = self.changes.send(Change::Requeued { domain, lane });
        }
        if books.course.phase != phase {
            let _ = self.changes.send(Change::Domain { domain });
        }
        Ok(finished)
    }
}

impl Books {
    fn status(&self) -> DomainStatus {
        self.course.status(&self.domain, self.load, 0, self.ledger)
    }

    /// The first messages of the backlog.
    fn first(&self, wanted: Option<u32>, now_ms: u64) -> Option<Canary> {
        let wanted = wanted?;
        let backlog = self.deliveries.iter();
        let backlog = backlog.filter(|(_, record)| record.standing.holds_lane());
        let mut messages: Vec<QueueId> = backlog.map(|(id, _)| id.message).collect();
        messages.dedup();
        messages.truncate(wanted as usize);
        Some(Canary {
            messages: messages.len() as u32,
            first: *messages.first()?,
            last: *messages.last()?,
            since_ms: now_ms,
            sent: false,
        })
    }

    fn settle(&mut self, now_ms: u64) {
        if self.ledger.backlog() == 0 {
            self.course.drained(now_ms);
        }
        let stands = self.course.paused.is_some() || self.course.gate == crate::spool::Gate::Domain;
        self.stands_since = match (stands, self.stands_since) {
            (false, _) => None,
            (true, since) => since.or(Some(now_ms)),
        };
    }

    fn advance(
        &mut self,
        transitions: Vec<Transition>,
        now_ms: u64,
        requeued: &mut Vec<Lane>,
    ) -> Result<Vec<QueueId>, SpoolError> {
        let mut effects = Vec::new();
        for transition in &transitions {
            let id = transition.delivery;
            let record = self.deliveries[&id];
            let attempting = self.attempts.contains(&id);
            effects.push(transition.effect(record.standing, self.course.phase, attempting)?);
        }
        let mut finished = Vec::new();
        for (transition, effect) in transitions.into_iter().zip(effects) {
            let id = transition.delivery;
            match effect {
                Effect::Begin => self.begin(id, now_ms),
                Effect::End => drop(self.attempts.remove(&id)),
                Effect::Move(to) => {
                    self.attempts.remove(&id);
                    requeued.extend(transition.requeues().then(|| self.deliveries[&id].lane));
                    self.go(transition, to);
                    if self.is_finished(id.message) {
                        finished.push(id.message);
                    }
                }
            }
        }
        self.settle(now_ms);
        assert!(self.ledger.balances(), "{:?}", self.ledger);
        finished.dedup();
        Ok(finished)
    }

    fn begin(&mut self, id: DeliveryId, now_ms: u64) {
        if let Some(since_ms) = self.stands_since {
            assert!(
                now_ms <= since_ms + HEARD_MS,
                "{id:?} goes {} ms after the release was stopped",
                now_ms - since_ms
            );
        }
        if let Some(canary) = &self.course.canary {
            assert!(
                id.message <= canary.last || now_ms <= canary.since_ms + HEARD_MS,
                "{id:?} goes, which is behind the canary {canary:?}"
            );
        }
        self.attempts.insert(id);
        if let Some(record) = self.deliveries.get_mut(&id) {
            record.attempts += 1;
        }
    }

    fn go(&mut self, transition: Transition, to: Standing) {
        let id = transition.delivery;
        let record = self.deliveries.get_mut(&id).unwrap();
        let from = std::mem::replace(&mut record.standing, to);
        record.changed_ms = transition.at_ms;
        self.ledger.advance(transition.step, from, to, record.bytes);
        self.last_event += 1;
        let event = Event {
            number: self.last_event,
            delivery: id,
            at_ms: transition.at_ms,
            from,
            to,
            cause: transition.cause,
            remote: transition.remote,
        };
        self.events.entry(id.message).or_default().push(event);
    }

    fn is_finished(&self, message: QueueId) -> bool {
        let mut all = self.of(message);
        all.all(|(_, record)| record.standing.is_final())
    }

    fn of(&self, message: QueueId) -> impl Iterator<Item = (DeliveryId, Record)> {
        let first = DeliveryId {
            message,
            recipient: 0,
        };
        let all = self.deliveries.range(first..);
        all.take_while(move |(id, _)| id.message == message)
            .map(|(id, record)| (*id, *record))
    }

    /// What the true spool does when it is opened.
    fn doubt_open_attempts(&mut self, now_ms: u64) {
        for delivery in std::mem::take(&mut self.attempts) {
            let transition = Transition {
                delivery,
                step: Step::Doubt { due_ms: now_ms },
                cause: Cause::Restart,
                remote: None,
                at_ms: now_ms,
            };
            self.go(transition, Standing::InDoubt { due_ms: now_ms });
        }
    }

    fn unfinished(
        &self,
        after: Option<DeliveryId>,
        wanted: impl Fn(DeliveryId, &Record) -> bool,
        limit: usize,
    ) -> Vec<Unfinished> {
        let all = self.deliveries.iter();
        all.filter(|(id, record)| Some(**id) > after && !record.standing.is_final())
            .filter(|(id, record)| wanted(**id, record))
            .take(limit)
            .map(|(id, record)| Unfinished {
                id: *id,
                lane: record.lane,
                standing: record.standing,
            })
            .collect()
    }
}

impl Handle {
    /// Waits as long as a call takes; for ever where the process is dead.
    async fn wait(&self, most_ms: u64) {
        let pause = self.disk.books().dice.roll(most_ms);
        sleep(Duration::from_millis(pause)).await;
        if self.disk.books().life != self.life {
            std::future::pending::<()>().await;
        }
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce(&Disk) -> Result<T, SpoolError> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            self.wait(3).await;
            ask(&self.disk)
        })
    }
}

/// Not asked for by a release.
macro_rules! unused {
    ($name:ident($($argument:ty),*) -> $answer:ty) => {
        fn $name(&self, $(_: $argument),*) -> $answer {
            unreachable!("a release does not ask for this")
        }
    };
}

impl Spool for Handle {
    unused!(begin() -> Box<dyn Draft>);
    unused!(admit(u64) -> Result<(), SpoolError>);
    unused!(free_bytes() -> Option<u64>);
    unused!(probe() -> Answer<'_, ()>);
    unused!(confirm(QueueId) -> ());
    unused!(add_domains(Vec<String>) -> Answer<'_, ()>);
    unused!(oldest(String) -> Answer<'_, Option<u64>>);
    unused!(bounce(Vec<Transition>, Vec<Report>) -> Answer<'_, Vec<QueueId>>);
    unused!(late(u64, usize) -> Answer<'_, Vec<QueueId>>);
    unused!(warn(QueueId, Option<Report>) -> Answer<'_, Option<QueueId>>);
    unused!(next_event() -> Answer<'_, u64>);
    unused!(domain_events(String) -> Answer<'_, Vec<DomainEvent>>);
    unused!(messages(Option<QueueId>, usize) -> Answer<'_, Vec<StoredMessage>>);
    unused!(purge(u64, usize) -> Answer<'_, usize>);
    unused!(relieve(usize) -> Answer<'_, usize>);
    unused!(recount(bool) -> Answer<'_, Recount>);
    unused!(repair() -> Answer<'_, Vec<String>>);
    unused!(close() -> Answer<'_, ()>);

    fn measures(&self) -> &Measures {
        &self.disk.measures
    }

    fn domains(&self) -> Vec<DomainStatus> {
        vec![self.disk.status()]
    }

    fn command(&self, _: String, command: DomainCommand, _: Cause) -> Answer<'_, DomainStatus> {
        Box::pin(async move {
            self.wait(5).await;
            let fails = {
                let mut books = self.disk.books();
                books.fails || books.dice.roll(4) == 0
            };
            if fails {
                return Err(failed());
            }
            self.disk.order(command);
            Ok(self.disk.status())
        })
    }

    fn advance(&self, transitions: Vec<Transition>) -> Answer<'_, Vec<QueueId>> {
        Box::pin(async move {
            self.wait(5).await;
            let (fails, done) = {
                let mut books = self.disk.books();
                let fails = books.fails;
                (fails, !fails || books.dice.roll(2) == 0)
            };
            // What has failed may be there all the same.
            let answer = done.then(|| self.disk.advance(transitions));
            // The power may go before the answer is seen.
            self.wait(2).await;
            match answer {
                Some(answer) if !fails => answer,
                _ => Err(failed()),
            }
        })
    }

    fn message(&self, id: QueueId) -> Answer<'_, Option<StoredMessage>> {
        self.answer(move |disk| {
            let books = disk.books();
            Ok(books.messages.get(&id).map(|(message, _)| message.clone()))
        })
    }

    fn body(&self, id: QueueId) -> Answer<'_, Box<dyn Body>> {
        self.answer(move |disk| {
            let (message, data) = disk.books().messages[&id].clone();
            let body = Bytes {
                digest: message.digest,
                size: message.size,
                data: Some(data),
            };
            Ok(Box::new(body) as Box<dyn Body>)
        })
    }

    fn deliveries(&self, id: QueueId) -> Answer<'_, Vec<Delivery>> {
        self.answer(move |disk| {
            let books = disk.books();
            let each = books.of(id).map(|(id, record)| Delivery {
                id,
                standing: record.standing,
                state: record.standing.state(books.course.phase),
                attempts: record.attempts,
                changed_ms: record.changed_ms,
                attempting: books.attempts.contains(&id),
                last: None,
            });
            Ok(each.collect())
        })
    }

    fn events(&self, id: QueueId) -> Answer<'_, Vec<Event>> {
        self.answer(move |disk| Ok(disk.books().events.get(&id).cloned().unwrap_or_default()))
    }

    fn unfinished(
        &self,
        _: String,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>> {
        self.answer(move |disk| Ok(disk.books().unfinished(after, |_, _| true, limit)))
    }

    fn lane(
        &self,
        _: String,
        lane: Lane,
        after: Option<DeliveryId>,
        until: DeliveryId,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>> {
        let wanted = move |id: DeliveryId, record: &Record| {
            id <= until && record.lane == lane && record.standing.holds_lane()
        };
        self.answer(move |disk| Ok(disk.books().unfinished(after, wanted, limit)))
    }

    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.disk.changes.subscribe()
    }
}

struct Bytes {
    digest: Digest,
    size: u64,
    data: Option<Vec<u8>>,
}

impl Body for Bytes {
    fn next(&mut self) -> Answer<'_, Option<Vec<u8>>> {
        let data = self.data.take();
        Box::pin(async move { Ok(data) })
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn failed() -> SpoolError {
    SpoolError::Failed {
        reason: "the simulated disk is broken".into(),
        retry_in_s: 1,
    }
}
