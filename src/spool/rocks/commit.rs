//! The committing thread: the only writer.
//!
//! Sessions and deliveries hand it what they want to be durable. It takes everything that
//! waits, makes one batch of it, writes the batch and syncs once, moves the watermark, and
//! then answers all of them; while it syncs, the next batch gathers. Since it alone writes,
//! the order of batches is the order of the queue ids, and counters change in the batch
//! that holds what they count.
//!
//! After a write or sync that failed nobody knows what the disk holds, so nothing is
//! written any more, and this committer ends; `reopen` makes the next one. What was in the
//! failed batch may be there then, or not.

use super::{
    books::Books,
    files::Files,
    outage::{self, Outage},
    record::DeliveryRecord,
    request::{Accept, Reply, Request},
    store::{Batch, Store},
    unconfirmed::{Confirmations, Unconfirmed},
    watermark::Watermark,
};
use crate::{
    failpoint::Failpoint,
    mail::{DeliveryId, QueueId},
    spool::{Change, DomainStatus, Measures, Receipt, SpoolError},
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};

/// A batch is written when it has grown to this.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Until the first try to open a spool that has failed.
const WAIT: Duration = Duration::from_secs(1);
/// How long a client waits for its commit. With this it has its answer before 30 s; what
/// it asked for may be written all the same when the disk answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// What readers see of the books: always what has been synced.
pub struct Published {
    /// Every domain by name.
    pub domains: RwLock<HashMap<String, DomainStatus>>,
    /// Whether writing works.
    pub outage: Outage,
    /// How long commits take.
    pub measures: Measures,
    /// News for releases.
    pub changes: broadcast::Sender<Change>,
}

impl Published {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            domains: RwLock::default(),
            outage: Outage::default(),
            measures: Measures::default(),
            changes: broadcast::channel(1024).0,
        }
    }

    /// Shows what was read from a database.
    pub fn take_over(&self, books: &Books) {
        let domains = books.statuses();
        let domains = domains.map(|status| (status.name.clone(), status));
        *self.domains.write().unwrap_or_else(PoisonError::into_inner) = domains.collect();
    }
}

/// The way to the committing thread. It outlives a failure.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    published: Arc<Published>,
    confirmations: Confirmations,
}

impl Handle {
    /// To a thread that reads these requests.
    pub fn new(
        requests: mpsc::Sender<Request>,
        published: Arc<Published>,
        confirmations: Confirmations,
    ) -> Self {
        Self {
            requests,
            published,
            confirmations,
        }
    }

    /// Makes a message durable.
    pub async fn accept(&self, accept: Accept) -> Result<Receipt, SpoolError> {
        self.ask(|reply| Request::Accept(Box::new(accept), reply))
            .await
    }

    /// Asks the thread to close, and does not wait. Whether it was told.
    pub fn close(&self) -> bool {
        let (reply, _) = oneshot::channel();
        self.requests.try_send(Request::Close(reply)).is_ok()
    }

    /// Tells that a client has seen the 250 of this message.
    pub fn confirm(&self, id: QueueId) {
        self.confirmations.push(id);
    }

    /// Sends a request and waits for its answer, however long that takes: whoever moves a
    /// delivery on must know whether it was.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, SpoolError> {
        if let Some(failure) = self.published.outage.failure() {
            return Err(failure);
        }
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }
}

/// Waits as long as a client does.
///
/// # Errors
/// [`SpoolError::Stalled`] when the disk does not answer in time. What was begun goes on:
/// a message may come to be of which its client was not told.
pub async fn in_time<T>(
    work: impl Future<Output = Result<T, SpoolError>>,
) -> Result<T, SpoolError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(outage::stalled(PATIENCE)),
    }
}

/// What belongs to one batch.
#[derive(Default)]
pub struct Turn {
    /// The changes.
    pub batch: Batch,
    /// Deliveries as the batch leaves them.
    pub deliveries: HashMap<DeliveryId, DeliveryRecord>,
    /// News to tell afterwards.
    pub changes: Vec<Change>,
    /// Files that nobody owns any more afterwards.
    pub unowned_files: Vec<u64>,
    /// Files that it hands over to records. Their names must be synced before it.
    pub new_files: Vec<u64>,
    /// Messages that came with it.
    messages: u32,
    answers: Vec<Waiting>,
}

/// Somebody who is told how the batch went.
type Waiting = Box<dyn FnOnce(Result<(), SpoolError>) + Send>;

impl Turn {
    /// Answers `value` once the batch is durable.
    pub fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, value: T) {
        self.answers.push(Box::new(move |done| {
            let _ = reply.send(done.map(|()| value));
        }));
    }
}

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bytes of finished messages, in milliseconds.
    pub bodies_ms: u64,
    /// Their records, in milliseconds.
    pub records_ms: u64,
}

/// The state of the committing thread.
pub struct Committer {
    /// The database.
    pub store: Arc<Store>,
    /// Large bodies.
    pub files: Arc<Files>,
    /// Counters and numbers.
    pub books: Books,
    /// How long things are kept.
    pub retention: Retention,
    /// The time, in milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Messages whose 250 may not have reached its client.
    pub unconfirmed: Unconfirmed,
    /// Those that have reached theirs since the last batch.
    pub confirmations: Confirmations,
    /// What was acknowledged.
    pub watermark: Watermark,
    /// What readers see.
    pub published: Arc<Published>,
    /// Set by the first batch that could not be written; there is no second.
    pub failed: Option<Failed>,
}

/// A batch that could not be written.
pub struct Failed {
    /// Why.
    pub error: SpoolError,
    /// The files that it handed over to records, which may exist now or not.
    pub new_files: Vec<u64>,
}

/// Why a committer ended.
pub enum Served {
    /// It was asked to; and whom to tell.
    Closed(Reply<()>),
    /// Nobody is left who could ask for anything.
    Deserted,
    /// A batch could not be written.
    Failed {
        /// See [`Failed::new_files`].
        new_files: Vec<u64>,
    },
}

impl Committer {
    /// Carries out requests.
    pub fn serve(&mut self, requests: &mut mpsc::Receiver<Request>) -> Served {
        while let Some(first) = requests.blocking_recv() {
            let closing = self.turn(first, requests);
            if let Some(reply) = closing {
                return Served::Closed(reply);
            }
            if let Some(failed) = self.failed.take() {
                return Served::Failed {
                    new_files: failed.new_files,
                };
            }
        }
        Served::Deserted
    }

    /// One batch, from the first request to the answers. Returns whom to tell that the
    /// spool is closed, when that was asked.
    fn turn(
        &mut self,
        first: Request,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Option<Reply<()>> {
        let begun = Instant::now();
        let mut turn = Turn::default();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(request) = next {
            if let Request::Close(reply) = request {
                closing = Some(reply);
                break;
            }
            self.apply(&mut turn, request);
            next = (turn.batch.size() < BATCH_BYTES_MAX)
                .then(|| requests.try_recv().ok())
                .flatten();
        }
        // What was confirmed last would be forgotten.
        let parting = closing.is_some() && !self.confirmations.is_empty();
        if !turn.answers.is_empty() || parting {
            let messages = turn.messages;
            self.finish(turn);
            let measures = &self.published.measures;
            measures
                .commit_seconds
                .observe(begun.elapsed().as_secs_f64());
            if messages > 0 {
                measures.commit_messages.observe(f64::from(messages));
            }
        }
        closing
    }

    /// Adds a request to the batch. One that cannot be carried out is answered at once and
    /// leaves the batch as it was.
    fn apply(&mut self, turn: &mut Turn, request: Request) {
        match request {
            // Its client was refused while it waited here, and may send it again.
            Request::Accept(_, reply) if reply.is_closed() => {}
            Request::Accept(accept, reply) => {
                turn.messages += 1;
                carry_out(turn, reply, |turn| self.accept(turn, *accept));
            }
            Request::Advance(steps, reply) => {
                carry_out(turn, reply, |turn| self.advance(turn, steps))
            }
            Request::Bounce {
                transitions,
                reports,
                reply,
            } => {
                carry_out(turn, reply, |turn| self.bounce(turn, transitions, reports));
            }
            Request::Warn { id, report, reply } => {
                carry_out(turn, reply, |turn| self.warn(turn, id, report));
            }
            Request::AddDomains(names, reply) => {
                carry_out(turn, reply, |_| self.add_domains(&names))
            }
            Request::Command {
                domain,
                command,
                cause,
                reply,
            } => {
                carry_out(turn, reply, |turn| {
                    self.command(turn, &domain, command, &cause)
                });
            }
            Request::Purge {
                now_ms,
                limit,
                reply,
            } => {
                carry_out(turn, reply, |turn| self.purge(turn, now_ms, limit));
            }
            Request::Relieve { limit, reply } => {
                carry_out(turn, reply, |turn| self.relieve(turn, limit));
            }
            Request::Probe(reply) => carry_out(turn, reply, |_| Ok(())),
            Request::Repair(reply) => carry_out(turn, reply, |turn| self.repair(turn)),
            Request::Close(_) => {}
        }
    }

    /// Makes the batch durable, then answers.
    pub fn finish(&mut self, mut turn: Turn) {
        self.published.outage.writing(Some(Instant::now()));
        let written = self.write(&mut turn);
        self.published.outage.writing(None);
        match &written {
            Ok(changed) => {
                let mut domains = self
                    .published
                    .domains
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                for domain in changed {
                    domains.insert(domain.name.clone(), domain.clone());
                }
                drop(domains);
                Failpoint::CommitPublished.pass();
            }
            Err(error) => self.fail(error, std::mem::take(&mut turn.new_files)),
        }
        for answer in turn.answers {
            answer(match &written {
                Ok(_) => Ok(()),
                Err(error) => Err(SpoolError::Failed {
                    reason: error.to_string(),
                    retry_in_s: WAIT.as_secs(),
                }),
            });
            Failpoint::CommitAnswered.pass();
        }
        if written.is_err() {
            return;
        }
        for change in turn.changes {
            // Nobody listening is fine.
            let _ = self.published.changes.send(change);
        }
        if !turn.unowned_files.is_empty() {
            Failpoint::PurgeCommitted.pass();
        }
        for file in turn.unowned_files {
            if let Err(error) = self.files.remove(file) {
                tracing::warn!(
                    "a removed body stays until the next start: file {file:016x}: {error}"
                );
            }
            Failpoint::PurgeRemoved.pass();
        }
    }

    fn write(&mut self, turn: &mut Turn) -> Result<Vec<DomainStatus>, SpoolError> {
        Failpoint::CommitBegun.pass();
        if !turn.new_files.is_empty() {
            self.files.sync_names()?;
        }
        Failpoint::CommitNamed.pass();
        let mut batch = std::mem::take(&mut turn.batch);
        self.settle_unconfirmed(&mut batch);
        self.books.settle(&mut batch, (self.clock)())?;
        let changed = self.books.write(&mut batch)?;
        turn.changes
            .extend(changed.iter().filter_map(|domain| self.news(domain)));
        self.store.write_synced(batch)?;
        Failpoint::CommitSynced.pass();
        let commit = self.books.head.commit;
        self.watermark
            .acknowledge(commit)
            .map_err(|error| SpoolError::Io {
                doing: "moving the watermark".into(),
                detail: error.to_string(),
            })?;
        Failpoint::CommitAcknowledged.pass();
        Ok(changed)
    }

    /// A phase that the batch changed, in the eyes of those who read the published one.
    fn news(&self, domain: &DomainStatus) -> Option<Change> {
        let domains = self
            .published
            .domains
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let before = domains.get(&domain.name);
        let same = before.is_some_and(|before| {
            (before.phase, &before.paused, &before.to) == (domain.phase, &domain.paused, &domain.to)
                && (before.canary, before.gate, before.load)
                    == (domain.canary, domain.gate, domain.load)
        });
        (!same).then(|| Change::Domain {
            domain: domain.name.clone(),
        })
    }

    fn fail(&mut self, error: &SpoolError, new_files: Vec<u64>) {
        tracing::error!("the spool refuses writes until it is opened again: {error}");
        let next_try = Instant::now() + WAIT;
        self.published.outage.begin(error.to_string(), next_try);
        self.failed = Some(Failed {
            error: error.clone(),
            new_files,
        });
    }
}

fn carry_out<T: Send + 'static>(
    turn: &mut Turn,
    reply: Reply<T>,
    work: impl FnOnce(&mut Turn) -> Result<T, SpoolError>,
) {
    match work(turn) {
        Ok(value) => turn.answer(reply, value),
        Err(error) => {
            let _ = reply.send(Err(error));
        }
    }
}
