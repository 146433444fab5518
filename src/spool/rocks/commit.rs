//! The committing thread: the only writer.
//!
//! Sessions and deliveries hand it what they want to be durable. It takes everything that
//! waits, makes one batch of it, writes the batch and syncs once, moves the watermark, and
//! then answers all of them; while it syncs, the next batch gathers. Since it alone writes,
//! the order of batches is the order of the queue ids, and counters change in the batch
//! that holds what they count.
//!
//! After a write or sync that failed nobody knows what the disk holds, so nothing is
//! written any more: all requests fail until the spool is opened again. What was in the
//! failed batch may be there then, or not.

use super::{
    books::{Books, status},
    files::Files,
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
    sync::{Arc, RwLock},
    time::Instant,
};
use tokio::sync::{broadcast, mpsc, oneshot};

/// A batch is written when it has grown to this.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Requests that may wait before those who ask must wait too.
const REQUESTS_MAX: usize = 4096;

/// What readers see of the books: always what has been synced.
pub struct Published {
    /// Every domain by name.
    pub domains: RwLock<HashMap<String, DomainStatus>>,
    /// Why nothing is written any more.
    pub failed: RwLock<Option<String>>,
    /// How long commits take.
    pub measures: Measures,
    /// News for releases.
    pub changes: broadcast::Sender<Change>,
}

impl Published {
    /// The error for a spool that has failed.
    pub fn failure(&self) -> Option<SpoolError> {
        let failed = self
            .failed
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.clone().map(|reason| SpoolError::Failed { reason })
    }
}

/// The way to the committing thread.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    published: Arc<Published>,
    confirmations: Confirmations,
}

impl Handle {
    /// Makes a message durable.
    pub async fn accept(&self, accept: Accept) -> Result<Receipt, SpoolError> {
        self.ask(|reply| Request::Accept(Box::new(accept), reply))
            .await
    }

    /// Tells that a client has seen the 250 of this message.
    pub fn confirm(&self, id: QueueId) {
        self.confirmations.push(id);
    }

    /// Sends a request and waits for its answer.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, SpoolError> {
        if let Some(failure) = self.published.failure() {
            return Err(failure);
        }
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
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
    /// Whether the names of new files must be synced before the batch.
    pub new_files: bool,
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
    watermark: Watermark,
    published: Arc<Published>,
}

impl Committer {
    /// A committer over an open database.
    pub fn new(
        store: Arc<Store>,
        files: Arc<Files>,
        books: Books,
        unconfirmed: Unconfirmed,
        watermark: Watermark,
        retention: Retention,
        clock: fn() -> u64,
    ) -> (Self, Arc<Published>) {
        let domains = books
            .domains()
            .map(|(name, record)| (name.to_owned(), status(name, record)))
            .collect();
        let published = Arc::new(Published {
            domains: RwLock::new(domains),
            failed: RwLock::new(None),
            measures: Measures::default(),
            changes: broadcast::channel(1024).0,
        });
        let committer = Self {
            store,
            files,
            books,
            retention,
            clock,
            unconfirmed,
            confirmations: Confirmations::default(),
            watermark,
            published: published.clone(),
        };
        (committer, published)
    }

    /// Starts the thread. It ends when it is asked to close or every handle is gone.
    pub fn start(mut self) -> Result<Handle, SpoolError> {
        let (sender, mut requests) = mpsc::channel(REQUESTS_MAX);
        let published = self.published.clone();
        let confirmations = self.confirmations.clone();
        let spawned = std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || {
                while let Some(first) = requests.blocking_recv() {
                    if let Some(closed) = self.turn(first, &mut requests) {
                        requests.close();
                        drop(self);
                        let _ = closed.send(Ok(()));
                        return;
                    }
                }
            });
        spawned.map_err(|error| SpoolError::Io {
            doing: "starting the committing thread".into(),
            detail: error.to_string(),
        })?;
        Ok(Handle {
            requests: sender,
            published,
            confirmations,
        })
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
        let parting = closing.is_some()
            && !self.confirmations.is_empty()
            && self.published.failure().is_none();
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
        if let Some(failure) = self.published.failure() {
            return refuse(request, failure);
        }
        match request {
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
            Request::Probe(reply) => carry_out(turn, reply, |_| Ok(())),
            Request::Repair(reply) => carry_out(turn, reply, |turn| self.repair(turn)),
            Request::Close(_) => {}
        }
    }

    /// Makes the batch durable, then answers.
    pub fn finish(&mut self, mut turn: Turn) {
        let written = self.write(&mut turn);
        match &written {
            Ok(changed) => {
                let mut domains = self
                    .published
                    .domains
                    .write()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                for domain in changed {
                    domains.insert(domain.name.clone(), domain.clone());
                }
            }
            Err(error) => self.fail(error),
        }
        for answer in turn.answers {
            answer(match &written {
                Ok(_) => Ok(()),
                Err(error) => Err(SpoolError::Failed {
                    reason: error.to_string(),
                }),
            });
        }
        if written.is_err() {
            return;
        }
        for change in turn.changes {
            // Nobody listening is fine.
            let _ = self.published.changes.send(change);
        }
        for file in turn.unowned_files {
            if let Err(error) = self.files.remove(file) {
                tracing::warn!(
                    "a removed body stays until the next start: file {file:016x}: {error}"
                );
            }
        }
    }

    fn write(&mut self, turn: &mut Turn) -> Result<Vec<DomainStatus>, SpoolError> {
        Failpoint::CommitBegun.pass();
        if turn.new_files {
            self.files.sync_names()?;
        }
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
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = domains.get(&domain.name);
        let same = before.is_some_and(|before| {
            (before.phase, &before.paused, &before.to) == (domain.phase, &domain.paused, &domain.to)
                && (before.canary, before.gate) == (domain.canary, domain.gate)
        });
        (!same).then(|| Change::Domain {
            domain: domain.name.clone(),
        })
    }

    fn fail(&self, error: &SpoolError) {
        tracing::error!(
            "the spool refuses writes from now on, restart relay to open it again: {error}"
        );
        let mut failed = self
            .published
            .failed
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *failed = Some(error.to_string());
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

fn refuse(request: Request, error: SpoolError) {
    match request {
        Request::Accept(_, reply) => drop(reply.send(Err(error))),
        Request::Advance(_, reply) => drop(reply.send(Err(error))),
        Request::Bounce { reply, .. } => drop(reply.send(Err(error))),
        Request::AddDomains(_, reply) | Request::Probe(reply) | Request::Close(reply) => {
            drop(reply.send(Err(error)));
        }
        Request::Command { reply, .. } => drop(reply.send(Err(error))),
        Request::Purge { reply, .. } => drop(reply.send(Err(error))),
        Request::Repair(reply) => drop(reply.send(Err(error))),
    }
}
