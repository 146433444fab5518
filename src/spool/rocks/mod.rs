//! The embedded engine: RocksDB for everything but the bodies of large messages, which
//! are files beside it.
//!
//! - `commit`: the one thread that writes; `request`: what it can be asked for;
//!   `apply`, `purge`, `recount`: what each request changes; `books`: counters and
//!   phases; `unconfirmed`: what a lost 250 may bring again.
//! - `draft`: a message on its way in; `files`: large bodies; `read`: everything out.
//! - `reopen`: opening, also again after a failure, of which `outage` tells and during
//!   which readers find nothing on the `shelf`; `recover`: what a crash has left;
//!   `watermark`: what was acknowledged; `lock`: one process a spool.
//! - `layout` and `record`: what is on disk, in prose in `spool/FORMAT.md`; `store`:
//!   the only file besides `recover` that knows RocksDB.

mod apply;
mod books;
mod command;
mod commit;
mod draft;
mod files;
mod layout;
mod lock;
mod outage;
mod purge;
mod read;
mod record;
mod recount;
mod recover;
mod reopen;
mod request;
mod shelf;
mod space;
mod store;
#[cfg(test)]
mod tests;
mod unconfirmed;
mod watermark;

use super::{
    Answer, Body, Cause, Change, Delivery, DomainCommand, DomainEvent, DomainStatus, Draft, Event,
    Measures, Phase, Recount, Report, Spool, SpoolError, Step, StoredMessage, Transition,
    Unfinished,
};
use crate::{
    config::SpoolConfig,
    mail::{DeliveryId, Lane, QueueId},
};
use books::Books;
use commit::{Committer, Handle, Published, Retention, Turn, in_time};
use files::Files;
use layout::{DomainNumber, Key};
use lock::Lock;
use reopen::Opener;
use request::Request;
use shelf::Shelf;
use space::Space;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use store::Store;
use tokio::sync::broadcast;
use unconfirmed::Confirmations;
use watermark::Watermark;

/// The spool of one directory.
pub struct RocksSpool {
    shelf: Arc<Shelf>,
    files: Arc<Files>,
    space: Space,
    published: Arc<Published>,
    numbers: RwLock<HashMap<String, DomainNumber>>,
    floors: Mutex<Floors>,
    /// Nothing when it is open for reading only.
    writer: Option<Handle>,
    _lock: Lock,
}

impl RocksSpool {
    /// Opens a spool, or makes a new one. What was being attempted when the last process
    /// died is in doubt now.
    ///
    /// # Errors
    /// [`SpoolError::InUse`], [`SpoolError::Lost`], [`SpoolError::Corrupt`],
    /// [`SpoolError::Version`] or [`SpoolError::Io`], in all of which nothing was changed.
    pub fn open(config: &SpoolConfig) -> Result<Arc<Self>, SpoolError> {
        let directory = &config.path;
        make_directory(directory)?;
        let lock = Lock::acquire(directory)?;
        let files = Arc::new(Files::open(directory, now_ms() << 16)?);
        let shelf = Arc::new(Shelf::default());
        let published = Arc::new(Published::new());
        let opener = Opener {
            directory: directory.clone(),
            shelf: shelf.clone(),
            files: files.clone(),
            published: published.clone(),
            retention: Retention {
                bodies_ms: millis(config.retain_delivered),
                records_ms: millis(config.retain_records),
            },
            confirmations: Confirmations::default(),
            clock: now_ms,
        };
        let writer = opener.start()?;
        Ok(Arc::new(Self {
            shelf,
            files,
            space: Space::new(directory, config.min_free_bytes),
            published,
            numbers: RwLock::default(),
            floors: Mutex::default(),
            writer: Some(writer),
            _lock: lock,
        }))
    }

    /// Opens an existing spool without changing a byte, for commands that run beside no
    /// daemon. Whatever would write answers [`SpoolError::Closed`].
    ///
    /// # Errors
    /// As [`RocksSpool::open`]; also when its log needs a recovery, which only opening for
    /// writing does.
    pub fn open_read_only(config: &SpoolConfig) -> Result<Arc<Self>, SpoolError> {
        let directory = &config.path;
        let database = directory.join("db");
        let io = |detail: String| SpoolError::Io {
            doing: format!("opening {} for reading", database.display()),
            detail,
        };
        if !database.is_dir() {
            return Err(io("there is no spool; `relay serve` makes one".into()));
        }
        let lock = Lock::acquire(directory)?;
        let store = Store::open_read_only(&database)
            .map_err(|error| io(format!("{error}; `relay serve` recovers after a crash")))?;
        let store = Arc::new(store);
        let books = Books::load(&store, now_ms())?;
        recover::check(directory, &store, Watermark::read(directory))?;
        let published = Arc::new(Published::new());
        published.take_over(&books);
        let shelf = Arc::new(Shelf::default());
        shelf.put(store);
        Ok(Arc::new(Self {
            shelf,
            files: Arc::new(Files::open(directory, u64::MAX)?),
            space: Space::new(directory, config.min_free_bytes),
            published,
            numbers: RwLock::default(),
            floors: Mutex::default(),
            writer: None,
            _lock: lock,
        }))
    }

    /// Sends a request to the committing thread.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        request: impl FnOnce(request::Reply<T>) -> Request + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let writer = self.writer.as_ref().ok_or(SpoolError::Closed)?;
            writer.ask(request).await
        })
    }

    /// The database, for one reading.
    fn store(&self) -> Result<Arc<Store>, SpoolError> {
        let failure = || self.published.outage.failure();
        let store = self.shelf.get();
        store.ok_or_else(|| failure().unwrap_or(SpoolError::Closed))
    }

    /// Runs a read on a thread that may block.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, &Files) -> Result<T, SpoolError> + Send + 'static,
    ) -> Answer<'static, T> {
        let (store, files) = (self.store(), self.files.clone());
        Box::pin(async move {
            let store = store?;
            let done = tokio::task::spawn_blocking(move || work(&store, &files)).await;
            done.map_err(|_| SpoolError::Closed)?
        })
    }

    /// The number of a domain, for keys. Numbers never change, so they are remembered.
    fn number(&self, name: &str) -> Result<DomainNumber, SpoolError> {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.get(name) {
            return Ok(*number);
        }
        drop(numbers);
        let record = self
            .store()?
            .get::<record::DomainRecord>(&Key::domain(name))?;
        let record = record.ok_or_else(|| SpoolError::UnknownDomain(name.to_owned()))?;
        let number = DomainNumber(record.number);
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// The phases of all domains by number.
    fn phases(&self) -> HashMap<DomainNumber, Phase> {
        let domains = self.domains();
        let phases = domains
            .iter()
            .filter_map(|domain| Some((self.number(&domain.name).ok()?, domain.phase)));
        phases.collect()
    }

    /// Where the arrival order of a domain begins by now, and for how many rewinds that
    /// holds.
    fn floor(&self, domain: DomainNumber) -> Result<(DeliveryId, u64), SpoolError> {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match floors.first.get(&domain) {
            Some(first) => *first,
            None => start(None)?,
        };
        Ok((first, floors.rewinds))
    }

    fn raise_floor(&self, domain: DomainNumber, first: DeliveryId, rewinds: u64) {
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        if floors.rewinds == rewinds {
            let floor = floors.first.entry(domain).or_insert(first);
            *floor = first.max(*floor);
        }
    }

    /// What was delivered is back at its place in the order.
    fn drop_floors(&self) {
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        floors.first.clear();
        floors.rewinds += 1;
    }
}

impl Spool for RocksSpool {
    fn begin(&self) -> Box<dyn Draft> {
        Box::new(draft::RocksDraft::new(
            self.writer.clone(),
            self.files.clone(),
        ))
    }

    fn admit(&self, bytes: u64) -> Result<(), SpoolError> {
        match self.published.outage.trouble() {
            Some(failure) => Err(failure),
            None => self.space.admit(bytes),
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        self.space.free_bytes().ok()
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(in_time(self.ask(Request::Probe)))
    }

    fn measures(&self) -> &Measures {
        &self.published.measures
    }

    fn confirm(&self, id: QueueId) {
        if let Some(writer) = &self.writer {
            writer.confirm(id);
        }
    }

    fn add_domains(&self, names: Vec<String>) -> Answer<'_, ()> {
        self.ask(|reply| Request::AddDomains(names, reply))
    }

    fn domains(&self) -> Vec<DomainStatus> {
        let domains = self
            .published
            .domains
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<DomainStatus> = domains.values().cloned().collect();
        drop(domains);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn domain(&self, name: &str) -> Option<DomainStatus> {
        let domains = self
            .published
            .domains
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        domains.get(name).cloned()
    }

    fn oldest(&self, domain: String) -> Answer<'_, Option<u64>> {
        Box::pin(async move {
            let first = self.unfinished(domain, None, 1).await?;
            let Some(first) = first.first() else {
                return Ok(None);
            };
            let message = self.message(first.id.message).await?;
            Ok(message.map(|message| message.envelope.received_ms))
        })
    }

    fn command(
        &self,
        domain: String,
        command: DomainCommand,
        cause: Cause,
    ) -> Answer<'_, DomainStatus> {
        self.ask(|reply| Request::Command {
            domain,
            command,
            cause,
            reply,
        })
    }

    fn advance(&self, transitions: Vec<Transition>) -> Answer<'_, Vec<QueueId>> {
        let rewinds = (transitions.iter()).any(|transition| transition.step == Step::Rewind);
        Box::pin(async move {
            let done = self.ask(|reply| Request::Advance(transitions, reply)).await;
            if rewinds {
                self.drop_floors();
            }
            done
        })
    }

    fn bounce(
        &self,
        transitions: Vec<Transition>,
        reports: Vec<Report>,
    ) -> Answer<'_, Vec<QueueId>> {
        self.ask(|reply| Request::Bounce {
            transitions,
            reports,
            reply,
        })
    }

    fn late(&self, before_ms: u64, limit: usize) -> Answer<'_, Vec<QueueId>> {
        self.read(move |store, _| read::late(store, before_ms, limit))
    }

    fn warn(&self, id: QueueId, report: Option<Report>) -> Answer<'_, Option<QueueId>> {
        self.ask(move |reply| Request::Warn { id, report, reply })
    }

    fn message(&self, id: QueueId) -> Answer<'_, Option<StoredMessage>> {
        self.read(move |store, _| read::message(store, id))
    }

    fn body(&self, id: QueueId) -> Answer<'_, Box<dyn Body>> {
        self.read(move |store, files| read::body(store, files, id))
    }

    fn deliveries(&self, id: QueueId) -> Answer<'_, Vec<Delivery>> {
        let phases = self.phases();
        self.read(move |store, _| {
            read::deliveries(store, id, |domain| {
                phases.get(&domain).copied().unwrap_or(Phase::Hold)
            })
        })
    }

    fn events(&self, id: QueueId) -> Answer<'_, Vec<Event>> {
        self.read(move |store, _| read::events(store, id))
    }

    fn next_event(&self) -> Answer<'_, u64> {
        self.read(|store, _| read::next_event(store))
    }

    fn domain_events(&self, domain: String) -> Answer<'_, Vec<DomainEvent>> {
        Box::pin(async move {
            let domain = self.number(&domain)?;
            self.read(move |store, _| read::domain_events(store, domain))
                .await
        })
    }

    fn unfinished(
        &self,
        domain: String,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>> {
        Box::pin(async move {
            let domain = self.number(&domain)?;
            let (floor, rewinds) = self.floor(domain)?;
            let from = start(after)?.max(floor);
            let found = self
                .read(move |store, _| read::unfinished(store, domain, from, limit))
                .await?;
            if let (true, Some(first)) = (from == floor, found.first()) {
                self.raise_floor(domain, first.id, rewinds);
            }
            Ok(found)
        })
    }

    fn lane(
        &self,
        domain: String,
        lane: Lane,
        after: Option<DeliveryId>,
        until: DeliveryId,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>> {
        Box::pin(async move {
            let domain = self.number(&domain)?;
            let from = start(after)?;
            self.read(move |store, _| read::lane(store, domain, lane, from, until, limit))
                .await
        })
    }

    fn messages(&self, after: Option<QueueId>, limit: usize) -> Answer<'_, Vec<StoredMessage>> {
        self.read(move |store, _| read::messages(store, after, limit))
    }

    fn purge(&self, now_ms: u64, limit: usize) -> Answer<'_, usize> {
        self.ask(move |reply| Request::Purge {
            now_ms,
            limit,
            reply,
        })
    }

    fn relieve(&self, limit: usize) -> Answer<'_, usize> {
        Box::pin(async move {
            if !self.space.is_short()? {
                return Ok(0);
            }
            let given_up = self
                .ask(move |reply| Request::Relieve { limit, reply })
                .await?;
            if given_up > 0 {
                let count = u64::try_from(given_up).unwrap_or(u64::MAX);
                self.published.measures.given_up.inc_by(count);
                self.read(|store, _| store.reclaim_bodies()).await?;
            }
            Ok(given_up)
        })
    }

    fn recount(&self, verify_bodies: bool) -> Answer<'_, Recount> {
        self.read(move |store, files| {
            let outcome = recount::recount(store, files, files.first(), verify_bodies)?;
            Ok(outcome.report)
        })
    }

    fn repair(&self) -> Answer<'_, Vec<String>> {
        self.ask(Request::Repair)
    }

    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.published.changes.subscribe()
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            match self.ask(Request::Close).await {
                Ok(()) | Err(SpoolError::Closed) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

/// Where the arrival order of each domain begins. Entries go from its front, so what was
/// found first once is preceded again by a rewind only; beginning there spares a walk over
/// the traces of everything that was delivered.
#[derive(Default)]
struct Floors {
    first: HashMap<DomainNumber, DeliveryId>,
    /// Rewinds so far: what was read before one is no floor behind it.
    rewinds: u64,
}

/// Where a walk begins that goes on behind `after`.
fn start(after: Option<DeliveryId>) -> Result<DeliveryId, SpoolError> {
    match (after, QueueId::new(0)) {
        (Some(after), _) => Ok(read::next(after)),
        (None, Some(message)) => Ok(DeliveryId {
            message,
            recipient: 0,
        }),
        (None, None) => Err(SpoolError::Closed),
    }
}

fn make_directory(directory: &Path) -> Result<(), SpoolError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| SpoolError::Io {
        doing: format!("making the spool {}", directory.display()),
        detail: error.to_string(),
    })
}

/// Attempts of which nobody has written down the end: the process died, or the write
/// failed.
fn doubt_open_attempts(committer: &mut Committer) -> Result<(), SpoolError> {
    let at_ms = now_ms();
    let transitions: Vec<Transition> = committer
        .books
        .attempts
        .iter()
        .map(|delivery| Transition {
            delivery: *delivery,
            step: Step::Doubt { due_ms: at_ms },
            cause: Cause::Restart,
            remote: None,
            at_ms,
        })
        .collect();
    if transitions.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        "{} deliveries were under way when writing ended: they are in doubt",
        transitions.len()
    );
    let mut turn = Turn::default();
    committer.advance(&mut turn, transitions)?;
    committer.finish(turn);
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}
