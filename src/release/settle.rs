//! From verdicts to the spool: how each delivery stands now, on disk, in the log, and for
//! the order engine.

use super::{
    job::{Counts, Event, Shared, trouble},
    journal::{self, Delays},
    order::{Job, Settled},
    outcome::{Advice, Signal, Verdict},
    retry,
};
use crate::{
    failpoint::Failpoint,
    mail::DeliveryId,
    spool::{Step, StoredMessage, Transition},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long a lane rests about which spool and release disagree.
const LOOK_AGAIN_MS: u64 = 1_000;

/// How a job ended.
pub(super) struct Settling {
    pub job: Job,
    /// Of its first recipients; the others were not tried, and may go at once.
    pub verdicts: Vec<(u32, Verdict)>,
    /// Nothing when it could not be read.
    pub message: Option<Arc<StoredMessage>>,
    /// Whether its attempt was noted.
    pub attempted: bool,
    pub times: Times,
}

/// What its parts took.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    pub prepared: Duration,
    pub connected: Duration,
    pub transferred: Duration,
}

impl Shared {
    /// Records the results and tells of them.
    pub async fn settle(&self, result: Settling) {
        let Settling {
            job,
            verdicts,
            attempted,
            ..
        } = &result;
        let attempts = self.attempts(job, verdicts).await;
        let at_ms = (self.clock)();
        let mut transitions = Vec::new();
        let mut deliveries = Vec::new();
        let mut counts = Counts::default();
        for ((place, verdict), (_, lane)) in verdicts.iter().zip(&job.recipients) {
            let delivery = DeliveryId {
                message: job.message,
                recipient: *place,
            };
            let tried = attempts.get(place).copied().unwrap_or(1);
            let (step, settled) = self.step(verdict.advice, *attempted, tried, at_ms);
            counts.add(verdict.advice);
            deliveries.push((delivery, *lane, settled));
            transitions.extend(step.map(|step| Transition {
                delivery,
                step,
                cause: verdict.cause.clone(),
                remote: (step != Step::Recall).then(|| verdict.remote.clone()),
                at_ms,
            }));
        }
        Failpoint::ReleaseReplied.pass();
        let recorded = match transitions.is_empty() {
            true => Ok(Vec::new()),
            false => self.spool.advance(transitions).await,
        };
        let mut signal = Signal::Neutral;
        match recorded {
            Ok(removed) => {
                Failpoint::ReleaseRecorded.pass();
                self.log(&result, at_ms);
                for (_, verdict) in verdicts {
                    self.measures.count(verdict, result.times.transferred);
                }
                removed.into_iter().for_each(journal::removed);
            }
            Err(error) => {
                tracing::error!("{}: its result is not recorded: {error}", job.message);
                counts = Counts::default();
                let settled = self.look_again();
                deliveries.iter_mut().for_each(|(_, _, old)| *old = settled);
                signal = trouble(&error);
            }
        }
        let rest = job.recipients.iter().skip(verdicts.len());
        deliveries.extend(rest.map(|(recipient, lane)| {
            let delivery = DeliveryId {
                message: job.message,
                recipient: *recipient,
            };
            (delivery, *lane, Settled::Again)
        }));
        let _ = self.events.send(Event::Settled {
            deliveries,
            counts,
            signal,
        });
    }

    /// How often each delivery was tried, where that matters.
    async fn attempts(&self, job: &Job, verdicts: &[(u32, Verdict)]) -> HashMap<u32, u32> {
        if !verdicts
            .iter()
            .any(|(_, verdict)| verdict.advice == Advice::Defer)
        {
            return HashMap::new();
        }
        // Without an answer the shortest wait is taken.
        let all = self.spool.deliveries(job.message).await.unwrap_or_default();
        let count = all.into_iter().map(|d| (d.id.recipient, d.attempts));
        count.collect()
    }

    fn step(
        &self,
        advice: Advice,
        attempted: bool,
        attempts: u32,
        now_ms: u64,
    ) -> (Option<Step>, Settled) {
        let after = |wait: Duration| {
            now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        };
        match advice {
            Advice::Done => (Some(Step::Deliver), Settled::Gone),
            Advice::Park => (Some(Step::Park), Settled::Gone),
            Advice::Again => (attempted.then_some(Step::Recall), Settled::Again),
            Advice::Look => (attempted.then_some(Step::Recall), self.look_again()),
            Advice::Defer => {
                let (min, max) = (self.rules.retry_min, self.rules.retry_max);
                let due_ms = after(retry::wait(attempts, min, max, (self.chance)()));
                (Some(Step::Defer { due_ms }), Settled::Until { due_ms })
            }
            Advice::Doubt => {
                let due_ms = after(self.doubt_rests());
                (Some(Step::Doubt { due_ms }), Settled::Until { due_ms })
            }
        }
    }

    pub fn look_again(&self) -> Settled {
        Settled::Until {
            due_ms: (self.clock)().saturating_add(LOOK_AGAIN_MS),
        }
    }

    fn log(&self, result: &Settling, now_ms: u64) {
        let Settling {
            job,
            verdicts,
            message,
            times,
            ..
        } = result;
        let Some(message) = message else {
            for (_, verdict) in verdicts {
                tracing::error!("{}: {}", job.message, verdict.remote.reply);
            }
            return;
        };
        let total = Duration::from_millis(now_ms.saturating_sub(message.envelope.received_ms));
        let spent = times.prepared + times.connected + times.transferred;
        let delays = Delays {
            queued: total.saturating_sub(spent),
            prepared: times.prepared,
            connected: times.connected,
            transferred: times.transferred,
        };
        for (place, verdict) in verdicts {
            if let Some(recipient) = message.envelope.recipients.get(*place as usize) {
                let protocol = self.setup.target.protocol;
                journal::delivery(protocol, job.message, &recipient.address, delays, verdict);
            }
        }
    }
}
