//! One job from the order engine to the spool: read the message, get a connection, send,
//! and record how it ended for each recipient.

use super::{
    connection::{Connection, Setup},
    deliver::{Fate, Orders, Outcome, Shipment, deliver},
    journal,
    measures::Measures,
    order::{Job, Settled},
    outcome::{Advice, Signal, Verdict, unopened},
    reply::{Failure, FailureKind, Phase},
    witness::Witness,
};
use crate::{
    config::Release,
    failpoint::Failpoint,
    mail::{DeliveryId, Envelope, Lane, QueueId},
    spool::{Body, Cause, Remote, Spool, SpoolError, Step, StoredMessage, Transition},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// A longer message takes its time over the line too.
const SHORT_BYTES_MAX: u64 = 64 * 1024;

/// The time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What the jobs of a domain share.
pub(super) struct Shared {
    pub spool: Arc<dyn Spool>,
    pub setup: Setup,
    pub rules: Release,
    pub clock: Clock,
    pub measures: Measures,
    /// Whom to ask about deliveries in doubt.
    pub witness: Option<Arc<dyn Witness>>,
    pub orders: watch::Receiver<Orders>,
    pub events: mpsc::UnboundedSender<Event>,
}

/// What jobs tell their runner. There are at most as many under way as jobs.
pub(super) enum Event {
    /// The transaction is over.
    Free {
        /// For the next job.
        connection: Option<Box<Connection>>,
        /// About the destination.
        signals: Vec<Signal>,
    },
    /// The results are on disk, and the job is over.
    Settled {
        deliveries: Vec<(DeliveryId, Lane, Settled)>,
        counts: Counts,
        /// About the spool.
        signal: Signal,
    },
    /// The job has panicked.
    Broken {
        job: Job,
        /// Whether it still had its connection.
        sending: bool,
    },
}

/// Results of a job, in deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub delivered: u64,
    pub deferred: u64,
    pub parked: u64,
    pub in_doubt: u64,
}

/// Carries out a job. Each job ends with one [`Event::Free`] and one [`Event::Settled`],
/// or with [`Event::Broken`].
pub(super) async fn run(shared: Arc<Shared>, mut job: Job, connection: Option<Connection>) {
    let mut guard = Guard {
        shared: shared.clone(),
        job: Some(job.clone()),
        sending: true,
    };
    Failpoint::ReleaseBegun.pass();
    let mut times = Times::default();
    let done = shared.transfer(&job, connection, &mut times).await;
    let took = done.is_plain().then_some(times.transferred);
    let _ = shared.events.send(Event::Free {
        connection: done.connection.map(Box::new),
        signals: signals(&done.verdicts, done.unopened, took),
    });
    guard.sending = false;
    let rest = job
        .recipients
        .split_off(done.tried.min(job.recipients.len()));
    shared
        .settle(
            &job,
            &rest,
            &done.verdicts,
            done.message.as_ref(),
            done.attempted,
            times,
        )
        .await;
    guard.job = None;
}

/// How a transaction ended.
struct Done {
    /// Nothing when it could not be read.
    message: Option<StoredMessage>,
    verdicts: Vec<(u32, Verdict)>,
    /// So many of the recipients, from the first, have a verdict. The others go in a
    /// transaction of their own, since the destination takes no more in one.
    tried: usize,
    attempted: bool,
    connection: Option<Connection>,
    unopened: Option<Signal>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    pub prepared: Duration,
    pub connected: Duration,
    pub transferred: Duration,
}

impl Shared {
    async fn transfer(&self, job: &Job, connection: Option<Connection>, times: &mut Times) -> Done {
        let begun = Instant::now();
        let (message, mut body) = match self.read(job).await {
            Ok(read) => read,
            Err(failure) => return Done::failed(job, &failure, None, connection),
        };
        times.prepared = begun.elapsed();
        let begun = Instant::now();
        let mut places: Vec<u32> = job.recipients.iter().map(|(place, _)| *place).collect();
        let opened = self.roomy(connection, &message.envelope, &places);
        let mut connection = match opened.await {
            Ok(connection) => connection,
            Err(failure) => {
                if failure.kind != FailureKind::Stopped {
                    journal::trouble(self.setup.target.protocol, &failure.to_string());
                }
                let signal = unopened(&failure);
                let done = Done::back(job, failure, message);
                return Done {
                    unopened: Some(signal),
                    ..done
                };
            }
        };
        times.connected = begun.elapsed();
        let begun = Instant::now();
        let tried = connection.room_for(&message.envelope, &places);
        places.truncate(tried);
        connection.use_for(&message.envelope, &places);
        let shipment = Shipment {
            message: &message,
            recipients: &places,
            hostname: &self.setup.hostname,
        };
        let before = connection.delivered;
        let mut orders = self.orders.clone();
        let attempt = self.attempt(job.message, &places);
        let outcome = deliver(&mut connection, &shipment, &mut *body, attempt, &mut orders).await;
        times.transferred = begun.elapsed();
        let Outcome {
            fates,
            reusable,
            attempted,
        } = outcome;
        let verdict =
            |(place, fate): (u32, Fate)| (place, Verdict::of(&fate, &connection.relay, before));
        Done {
            verdicts: fates.into_iter().map(verdict).collect(),
            message: Some(message),
            tried,
            attempted,
            connection: self.kept(connection, reusable),
            unopened: None,
        }
    }

    async fn read(&self, job: &Job) -> Result<(StoredMessage, Box<dyn Body>), Failure> {
        let id = job.message;
        let read = async {
            let (message, body) = tokio::try_join!(self.spool.message(id), self.spool.body(id))?;
            Ok((message.ok_or(SpoolError::UnknownMessage(id))?, body))
        };
        read.await.map_err(|error| Failure {
            phase: Phase::Mail,
            relay: "none".into(),
            kind: super::content::unreadable(error),
        })
    }

    /// A connection over which some of these recipients may be named at least.
    async fn roomy(
        &self,
        kept: Option<Connection>,
        envelope: &Envelope,
        places: &[u32],
    ) -> Result<Connection, Failure> {
        let connection = self.connected(kept, &envelope.client).await?;
        if connection.room_for(envelope, places) > 0 {
            return Ok(connection);
        }
        connection.quit().await;
        self.connected(None, &envelope.client).await
    }

    /// The connection, if another message may go over it.
    fn kept(&self, connection: Connection, reusable: bool) -> Option<Connection> {
        // One that does without XCLIENT was opened for this message alone.
        if !reusable || connection.xclient != self.setup.target.xclient {
            return None;
        }
        if connection.has_room() {
            return Some(connection);
        }
        tokio::spawn(connection.quit());
        None
    }

    async fn attempt(&self, message: QueueId, places: &[u32]) -> Result<(), SpoolError> {
        let at_ms = (self.clock)();
        let transition = |recipient: &u32| Transition {
            delivery: DeliveryId {
                message,
                recipient: *recipient,
            },
            step: Step::Attempt,
            cause: Cause::Policy("release".into()),
            remote: None,
            at_ms,
        };
        let transitions = places.iter().map(transition).collect();
        self.spool.advance(transitions).await.map(|_| ())
    }
}

impl Done {
    /// Whether a message was taken that says by its time how the destination is doing: a short
    /// one, to one recipient.
    fn is_plain(&self) -> bool {
        let short = |message: &StoredMessage| message.size <= SHORT_BYTES_MAX;
        let [(_, verdict)] = &self.verdicts[..] else {
            return false;
        };
        verdict.advice == Advice::Done && self.message.as_ref().is_some_and(short)
    }

    /// Not sent, and each recipient suffers the same.
    fn failed(
        job: &Job,
        failure: &Failure,
        message: Option<StoredMessage>,
        connection: Option<Connection>,
    ) -> Self {
        let verdict = Verdict::of(&Fate::Failed(failure.clone()), &failure.relay, 0);
        Self {
            message,
            verdicts: job
                .recipients
                .iter()
                .map(|(place, _)| (*place, verdict.clone()))
                .collect(),
            tried: job.recipients.len(),
            attempted: false,
            connection,
            unopened: None,
        }
    }

    /// Not sent, and nobody suffers.
    fn back(job: &Job, failure: Failure, message: StoredMessage) -> Self {
        let verdict = Verdict::of(&Fate::Back(failure), "none", 0);
        Self {
            verdicts: job
                .recipients
                .iter()
                .map(|(place, _)| (*place, verdict.clone()))
                .collect(),
            message: Some(message),
            tried: job.recipients.len(),
            attempted: false,
            connection: None,
            unopened: None,
        }
    }
}

impl Counts {
    pub fn add(&mut self, advice: Advice) {
        match advice {
            Advice::Done => self.delivered += 1,
            Advice::Defer => self.deferred += 1,
            Advice::Park => self.parked += 1,
            Advice::Doubt => self.in_doubt += 1,
            Advice::Again | Advice::Look => {}
        }
    }
}

/// What a whole job says about its destination. A message that is refused as such counts
/// once, whatever the number of its recipients; a recipient that is refused counts each
/// time. A success comes last and forgives all.
fn signals(
    verdicts: &[(u32, Verdict)],
    unopened: Option<Signal>,
    took: Option<Duration>,
) -> Vec<Signal> {
    let mut signals: Vec<Signal> = unopened.into_iter().collect();
    signals.extend(took.map(Signal::Took));
    for (_, verdict) in verdicts {
        let signal = &verdict.signal;
        let recipient = matches!(
            signal,
            Signal::Refused {
                phase: Phase::Rcpt,
                ..
            }
        );
        if *signal != Signal::Neutral && (recipient || !signals.contains(signal)) {
            signals.push(signal.clone());
        }
    }
    signals.sort_by_key(|signal| *signal == Signal::Fine);
    signals
}

/// A spool that cannot be written stops a release as an unreachable destination does.
pub(super) fn trouble(error: &SpoolError) -> Signal {
    match error {
        SpoolError::Conflict { .. } => Signal::Neutral,
        _ => Signal::Unreachable(format!("spool: {error}")),
    }
}

/// Tells the runner of a job that panicked, so that its lanes are not forgotten.
struct Guard {
    shared: Arc<Shared>,
    job: Option<Job>,
    sending: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let sending = self.sending;
            let _ = self.shared.events.send(Event::Broken { job, sending });
        }
    }
}

/// Whatever a job that panicked has done is in doubt, if it was tried at all.
pub(super) async fn doubt_broken(shared: Arc<Shared>, job: Job) {
    for (recipient, _) in job.recipients {
        let at_ms = (shared.clock)();
        let transition = Transition {
            delivery: DeliveryId {
                message: job.message,
                recipient,
            },
            step: Step::Doubt { due_ms: at_ms },
            cause: Cause::Connection("internal error during an attempt".into()),
            remote: Some(Remote::default()),
            at_ms,
        };
        if let Err(error) = shared.spool.advance(vec![transition]).await {
            tracing::warn!("{}: {error}", job.message);
        }
    }
}
