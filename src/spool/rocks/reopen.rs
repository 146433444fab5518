//! Opening, at the start and again after a failed write or sync.
//!
//! After a failed sync nobody knows what the disk holds, and a second sync that succeeds
//! proves nothing: Linux reports a failure once and then counts the lost pages as clean.
//! So nothing is written through the handles that failed. Once a probe beside the database
//! could be written and synced, all files are closed and opened as a fresh start opens
//! them: recovery, comparison with the watermark, books read anew. RocksDB writes what it
//! recovers from its log into new tables and syncs these before it is open, so that what
//! readers see is on the disk, though the log's own pages may not be.
//!
//! What the failed batch held may be there afterwards. It is then as if it had been
//! acknowledged: counted, in its place in the order, and delivered, though its sender got a
//! 451 and may send it again.
//!
//! Until the probe succeeds the database stays open for readers. The lock is kept all the
//! time.

use super::{
    books::Books,
    commit::{Committer, Handle, Published, Retention, Served},
    doubt_open_attempts,
    files::{self, Files},
    layout::Key,
    recover,
    request::{Reply, Request},
    shelf::Shelf,
    store::Store,
    unconfirmed::{Confirmations, Unconfirmed},
    watermark::Watermark,
};
use crate::{
    failpoint::Failpoint,
    spool::{Change, SpoolError},
};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// The first wait, doubled with each failure.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often the queue of requests is looked at, to refuse them.
const REFUSE_EVERY: Duration = Duration::from_millis(50);
/// Enough that a disk with a few free bytes is not taken for one with room.
const PROBE_BYTES: usize = 256 * 1024;
/// Requests that may wait before those who ask must wait too.
const REQUESTS_MAX: usize = 4096;

/// What stays while databases come and go.
pub struct Opener {
    /// The spool.
    pub directory: PathBuf,
    /// Where readers find the database.
    pub shelf: Arc<Shelf>,
    /// Long bodies.
    pub files: Arc<Files>,
    /// What readers see of the books.
    pub published: Arc<Published>,
    /// How long things are kept.
    pub retention: Retention,
    /// What clients confirm.
    pub confirmations: Confirmations,
    /// The time, in milliseconds since 1970.
    pub clock: fn() -> u64,
}

/// Which body files may be without a record.
enum Suspects {
    /// All that there are: nothing is being received.
    All,
    /// Those of the batch that failed. Others may belong to messages on their way in.
    Numbers(Vec<u64>),
}

impl Opener {
    /// Opens, and starts the committing thread.
    ///
    /// # Errors
    /// Whatever keeps a spool from being opened; then nothing was changed.
    pub fn start(self) -> Result<(Handle, JoinHandle<()>), SpoolError> {
        let committer = self.open(&Suspects::All)?;
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let handle = Handle::new(sender, self.published.clone(), self.confirmations.clone());
        let spawned = thread::Builder::new()
            .name("commit".into())
            .spawn(move || self.run(committer, requests));
        let thread = spawned.map_err(|error| SpoolError::Io {
            doing: "starting the committing thread".into(),
            detail: error.to_string(),
        })?;
        Ok((handle, thread))
    }

    /// Commits, and opens again after each failure, until the spool is closed or nobody is
    /// left to ask. Whoever closes it hears of that when this thread holds nothing of the
    /// database any more: a process must not end while it is being closed.
    fn run(self, first: Committer, mut requests: mpsc::Receiver<Request>) {
        let closed = self.commit(first, &mut requests);
        requests.close();
        drop(self);
        if let Some(reply) = closed {
            let _ = reply.send(Ok(()));
        }
    }

    /// Returns whom to tell that it is closed.
    fn commit(
        &self,
        first: Committer,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Option<Reply<()>> {
        let mut committer = first;
        loop {
            let failed = match committer.serve(requests) {
                Served::Failed { new_files } => new_files,
                Served::Closed(reply) => return Some(reply),
                Served::Deserted => return None,
            };
            // With it go its handles of database and watermark.
            drop(committer);
            match self.reopen(&Suspects::Numbers(failed), requests) {
                Ok(opened) => committer = opened,
                Err(closed) => return closed,
            }
        }
    }

    /// Tries until it is open.
    ///
    /// # Errors
    /// The spool was closed meanwhile; and whom to tell.
    fn reopen(
        &self,
        suspects: &Suspects,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<Committer, Option<Reply<()>>> {
        let mut wait = WAIT_MIN;
        loop {
            let until = self.published.outage.next_try();
            self.refuse(until.unwrap_or_else(Instant::now), requests)?;
            match probe(&self.directory).and_then(|()| self.open_again(suspects)) {
                Ok(committer) => {
                    tracing::warn!("the spool is open again");
                    self.published.outage.end();
                    let _ = self.published.changes.send(Change::Reopened);
                    return Ok(committer);
                }
                Err(error) => {
                    wait = (wait * 2).min(WAIT_MAX);
                    tracing::error!(
                        "the spool cannot be opened again, next try in {} s: {error}",
                        wait.as_secs()
                    );
                    let next_try = Instant::now() + wait;
                    self.published.outage.begin(error.to_string(), next_try);
                }
            }
        }
    }

    /// Refuses what was asked before the failure was known, until `until`.
    ///
    /// # Errors
    /// As [`Opener::reopen`].
    fn refuse(
        &self,
        until: Instant,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), Option<Reply<()>>> {
        loop {
            match requests.try_recv() {
                Ok(Request::Close(reply)) => return Err(Some(reply)),
                Ok(request) => {
                    let failure = self.published.outage.failure();
                    request.refuse(failure.unwrap_or(SpoolError::Closed));
                    continue;
                }
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(None),
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(REFUSE_EVERY));
        }
    }

    fn open_again(&self, suspects: &Suspects) -> Result<Committer, SpoolError> {
        Failpoint::ReopenBegun.pass();
        self.shelf.clear();
        Failpoint::ReopenClosed.pass();
        self.files.reopen()?;
        self.open(suspects)
    }

    fn open(&self, suspects: &Suspects) -> Result<Committer, SpoolError> {
        let (watermark, acknowledged) = Watermark::open(&self.directory)?;
        Failpoint::OpenMarked.pass();
        let store = Arc::new(recover::open(&self.directory, acknowledged)?);
        let books = Books::load(&store, (self.clock)())?;
        let unconfirmed = Unconfirmed::load(&store)?;
        Failpoint::OpenLoaded.pass();
        remove_orphans(&store, &self.files, suspects)?;
        Failpoint::OpenCleaned.pass();
        self.published.take_over(&books);
        let mut committer = Committer {
            store: store.clone(),
            files: self.files.clone(),
            books,
            retention: self.retention,
            clock: self.clock,
            unconfirmed,
            confirmations: self.confirmations.clone(),
            watermark,
            published: self.published.clone(),
            failed: None,
        };
        doubt_open_attempts(&mut committer)?;
        if let Some(failed) = committer.failed {
            return Err(failed.error);
        }
        Failpoint::OpenDoubted.pass();
        self.shelf.put(store);
        Ok(committer)
    }
}

/// Files whose message was never committed.
fn remove_orphans(store: &Store, files: &Files, suspects: &Suspects) -> Result<(), SpoolError> {
    let io = |error: io::Error| files::failed("removing bodies without a message", &error);
    let numbers = match suspects {
        Suspects::All => files.numbers().map_err(io)?,
        Suspects::Numbers(numbers) => numbers.clone(),
    };
    let mut removed = 0;
    for number in numbers {
        if !store.view().has(&Key::file(number))? {
            files.remove(number).map_err(io)?;
            removed += 1;
        }
    }
    if removed > 0 {
        tracing::info!("removed {removed} bodies of messages that were never accepted");
    }
    Ok(())
}

/// Whether the disk takes anything: a file of its own, written and synced with its name.
fn probe(directory: &Path) -> Result<(), SpoolError> {
    let path = directory.join("probe");
    let written = File::create(&path)
        .and_then(|mut file| {
            file.write_all(&[0; PROBE_BYTES])?;
            file.sync_data()?;
            file.sync_all()
        })
        .and_then(|()| fs::remove_file(&path))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // It may be there, and take room.
        let _ = fs::remove_file(&path);
    }
    written.map_err(|error| SpoolError::Io {
        doing: format!("writing {}", path.display()),
        detail: error.to_string(),
    })
}
