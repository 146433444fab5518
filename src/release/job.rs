//! What the jobs of a domain share, and what they tell their runner.

use super::{
    connection::{Connection, Setup},
    deliver::Orders,
    measures::Measures,
    order::{Job, Settled},
    outcome::{Advice, Signal, Verdict},
    outside::{Chance, Clock},
    reply::{Failure, Phase},
    witness::Witness,
};
use crate::{
    config::Release,
    mail::{DeliveryId, Envelope, Lane, QueueId},
    spool::{Body, Cause, Remote, Spool, SpoolError, Step, StoredMessage, Transition},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};

/// What the jobs of a domain share.
pub(super) struct Shared {
    pub spool: Arc<dyn Spool>,
    pub setup: Setup,
    pub rules: Release,
    pub clock: Clock,
    pub chance: Chance,
    pub measures: Measures,
    /// Whom to ask about deliveries in doubt.
    pub witness: Option<Arc<dyn Witness>>,
    pub orders: watch::Receiver<Orders>,
    pub events: mpsc::UnboundedSender<Event>,
}

/// What jobs tell their runner. There are at most as many under way as jobs.
pub(super) enum Event {
    /// The transactions of a row are over.
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
    /// A doubt was looked into.
    Resolved {
        delivery: (DeliveryId, Lane, Settled),
        counts: Counts,
        /// About the spool.
        signal: Signal,
    },
    /// The jobs that were left when one of them panicked.
    Broken {
        jobs: Vec<Job>,
        /// Whether they still had their connection.
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

impl Shared {
    /// A message and its bytes.
    pub async fn read(&self, id: QueueId) -> Result<(StoredMessage, Box<dyn Body>), Failure> {
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
    pub async fn roomy(
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
    pub fn kept(&self, connection: Connection, reusable: bool) -> Option<Connection> {
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
pub(super) fn signals(verdicts: &[(u32, Verdict)], took: Option<Duration>) -> Vec<Signal> {
    let mut signals: Vec<Signal> = took.map(Signal::Took).into_iter().collect();
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
