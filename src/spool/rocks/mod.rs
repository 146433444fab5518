//! The embedded engine: RocksDB for everything but the bodies of large messages, which
//! are files beside it.
//!
//! - `commit`: the one thread that writes; `request`: what it can be asked for;
//!   `apply`, `purge`, `recount`: what each request changes; `books`: counters and
//!   phases; `unconfirmed`: what a lost 250 may bring again.
//! - `calls`: what may be asked from outside; `draft`: a message on its way in; `files`: large
//!   bodies; `read`: everything out, beginning at a domain's floor (`floors`).
//! - `reopen`: opening, also again after a failure, of which `outage` tells and during
//!   which readers find nothing on the `shelf`; `recover`: what a crash has left;
//!   `watermark`: what was acknowledged; `lock`: one process a spool.
//! - `layout` and `record`: what is on disk, in prose in `spool/FORMAT.md`; `store`:
//!   the only file besides `recover` that knows RocksDB.

mod apply;
mod books;
mod calls;
mod command;
mod commit;
mod draft;
mod files;
mod floors;
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

use super::{Answer, Cause, Phase, Spool, SpoolError, Step, Transition};
use crate::config::SpoolConfig;
use books::Books;
use commit::{Committer, Handle, Published, Retention, Turn};
use files::Files;
use floors::Floors;
use layout::{DomainNumber, Key};
use lock::Lock;
use reopen::Opener;
use request::Request;
use shelf::Shelf;
use space::Space;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use store::Store;
use unconfirmed::Confirmations;
use watermark::Watermark;

/// The spool of one directory.
pub struct RocksSpool {
    shelf: Arc<Shelf>,
    files: Arc<Files>,
    space: Space,
    published: Arc<Published>,
    numbers: RwLock<HashMap<String, DomainNumber>>,
    floors: Arc<Floors>,
    /// Nothing when it is open for reading only.
    writer: Option<Handle>,
    /// The committing one.
    thread: Option<JoinHandle<()>>,
    _lock: Lock,
}

/// How long whoever drops an open spool waits until it is closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A process must not end while its database is being closed: RocksDB would find its own
/// locks gone. Whoever has time [closes](Spool::close) before.
impl Drop for RocksSpool {
    fn drop(&mut self) {
        let (Some(writer), Some(commits)) = (self.writer.take(), self.thread.take()) else {
            return;
        };
        writer.close();
        drop(writer);
        // A disk that does not answer keeps nobody for ever.
        let end = Instant::now() + CLOSE_WITHIN;
        while !commits.is_finished() && Instant::now() < end {
            thread::sleep(LOOK_EVERY);
        }
    }
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
        let (writer, thread) = opener.start()?;
        Ok(Arc::new(Self {
            shelf,
            files,
            space: Space::new(directory, config.min_free_bytes),
            published,
            numbers: RwLock::default(),
            floors: Arc::default(),
            writer: Some(writer),
            thread: Some(thread),
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
            floors: Arc::default(),
            writer: None,
            thread: None,
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
