//! Deliveries in doubt whose time has come: sent again only when it is known that they did
//! not arrive, or when nobody can tell.
//!
//! The destination is asked where it can be. What is found there is delivered. What is not
//! there may still be on its way from its SMTP server into the mailbox, so it is looked for
//! again, less and less often, until `release.in_doubt_after` has passed since the doubt;
//! only then is it known not to have arrived, and goes again. Where nobody can be asked,
//! `release.in_doubt` decides.

use super::{
    job::{Counts, Event, Shared, trouble},
    journal::{self, Delays},
    order::Settled,
    outcome::{Advice, Signal, Verdict},
    witness::{Question, Sighting},
};
use crate::{
    config::InDoubtPolicy,
    failpoint::Failpoint,
    mail::{DeliveryId, Lane},
    spool::{Cause, Remote, SpoolError, Standing, Step, StoredMessage, Transition},
};
use std::{sync::Arc, time::Duration};

/// The shortest and the longest wait between two looks.
const LOOK_MS_MIN: u64 = 250;
const LOOK_MS_MAX: u64 = 60_000;

/// What is shown of a message to whoever looks for it.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is decided about a delivery.
enum Decision {
    Step {
        step: Step,
        settled: Settled,
        rule: String,
        remote: Option<Remote>,
    },
    Wait {
        due_ms: u64,
    },
}

/// Decides about a delivery in doubt whose time has come. Ends with one [`Event::Resolved`].
pub(super) async fn resolve(shared: Arc<Shared>, id: DeliveryId, lane: Lane) {
    let mut resolving = Resolving {
        settled: shared.look_again(),
        counts: Counts::default(),
        signal: Signal::Neutral,
        shared,
        id,
        lane,
    };
    match resolving.shared.resolve(id).await {
        Ok((settled, counts)) => {
            resolving.settled = settled;
            resolving.counts = counts;
        }
        Err(error) => {
            resolving.settled = resolving.shared.look_again();
            resolving.signal = trouble(&error);
        }
    }
}

/// Tells the runner how it ended, also by a panic, so that the lane is not forgotten.
struct Resolving {
    shared: Arc<Shared>,
    id: DeliveryId,
    lane: Lane,
    settled: Settled,
    counts: Counts,
    signal: Signal,
}

impl Drop for Resolving {
    fn drop(&mut self) {
        let _ = self.shared.events.send(Event::Resolved {
            delivery: (self.id, self.lane, self.settled),
            counts: self.counts,
            signal: std::mem::replace(&mut self.signal, Signal::Neutral),
        });
    }
}

/// The release was stopped, and nothing was seen.
struct Stopped;

impl Shared {
    /// How long after a doubt the destination is asked for the first time, or the policy
    /// takes hold.
    pub fn doubt_rests(&self) -> Duration {
        let after = self.rules.in_doubt_after;
        match self.witness {
            Some(_) => (after / 16).clamp(
                Duration::from_millis(LOOK_MS_MIN).min(after),
                Duration::from_secs(2),
            ),
            None => after,
        }
    }

    async fn resolve(&self, id: DeliveryId) -> Result<(Settled, Counts), SpoolError> {
        let message = self.spool.message(id.message).await?;
        let message = message.ok_or(SpoolError::UnknownMessage(id.message))?;
        let doubt = self.doubt(id).await?;
        let Ok(seen) = self.ask(&message, id).await else {
            return Ok((self.look_again(), Counts::default()));
        };
        Failpoint::WitnessAnswered.pass();
        let (step, settled, rule, remote) = match self.decide(seen, &doubt) {
            Decision::Wait { due_ms } => return Ok((Settled::Until { due_ms }, Counts::default())),
            Decision::Step {
                step,
                settled,
                rule,
                remote,
            } => (step, settled, rule, remote),
        };
        let at_ms = (self.clock)();
        let transition = Transition {
            delivery: id,
            step,
            cause: Cause::Policy(rule),
            remote: remote.clone(),
            at_ms,
        };
        let removed = self.spool.advance(vec![transition]).await?;
        let mut counts = Counts::default();
        match step {
            Step::Found => {
                counts.delivered = 1;
                self.log_found(&message, id, remote.unwrap_or_default(), at_ms);
            }
            Step::Park => counts.parked = 1,
            _ => {}
        }
        removed.into_iter().for_each(journal::removed);
        Ok((settled, counts))
    }

    /// Since when it is in doubt, and whether a person has put it there.
    async fn doubt(&self, id: DeliveryId) -> Result<Doubt, SpoolError> {
        let events = self.spool.events(id.message).await?;
        let last = events
            .iter()
            .rev()
            .find(|event| event.delivery == id && matches!(event.to, Standing::InDoubt { .. }));
        Ok(Doubt {
            since_ms: last.map_or(0, |event| event.at_ms),
            by_person: last.is_some_and(|event| matches!(event.cause, Cause::Operator(_))),
        })
    }

    /// Looks for it at the destination; nothing where nobody can be asked at all.
    async fn ask(
        &self,
        message: &StoredMessage,
        id: DeliveryId,
    ) -> Result<Option<Sighting>, Stopped> {
        let recipient = message.envelope.recipients.get(id.recipient as usize);
        let (Some(witness), Some(recipient)) = (&self.witness, recipient) else {
            return Ok(None);
        };
        let question = Question {
            message: id.message,
            recipient: recipient.address.clone(),
            digest: message.digest,
            head: self.head(id).await,
        };
        let mut orders = self.orders.clone();
        tokio::select! {
            biased;
            seen = witness.look(question) => Ok(Some(seen)),
            // What was not seen must not be taken for what nobody can tell.
            _ = orders.wait_for(|orders| *orders > super::deliver::Orders::Work) => Err(Stopped),
        }
    }

    /// Without it only the queue id can be looked for.
    async fn head(&self, id: DeliveryId) -> Vec<u8> {
        let Ok(mut body) = self.spool.body(id.message).await else {
            return Vec::new();
        };
        let mut head = body.next().await.ok().flatten().unwrap_or_default();
        head.truncate(HEAD_BYTES_MAX);
        head
    }

    fn decide(&self, seen: Option<Sighting>, doubt: &Doubt) -> Decision {
        let now_ms = (self.clock)();
        let after = u64::try_from(self.rules.in_doubt_after.as_millis()).unwrap_or(u64::MAX);
        let until_ms = doubt.since_ms.saturating_add(after);
        let is_early = now_ms < until_ms && !doubt.by_person;
        let next = now_ms.saturating_sub(doubt.since_ms);
        let wait = Decision::Wait {
            due_ms: (now_ms + next.clamp(LOOK_MS_MIN, LOOK_MS_MAX)).min(until_ms),
        };
        match seen {
            Some(Sighting::Found { server, place }) => Decision::Step {
                step: Step::Found,
                settled: Settled::Gone,
                rule: "the destination was asked".into(),
                remote: Some(Remote {
                    relay: server,
                    dsn: "2.0.0".into(),
                    reply: format!("found in {place}"),
                }),
            },
            Some(Sighting::Absent { .. } | Sighting::Unable { .. }) if is_early => wait,
            Some(Sighting::Absent { server }) => Decision::Step {
                step: Step::Absent,
                settled: Settled::Again,
                rule: "the destination was asked".into(),
                remote: Some(Remote {
                    relay: server,
                    dsn: "4.0.0".into(),
                    reply: "not in the mailbox".into(),
                }),
            },
            Some(Sighting::Unable { reason }) => self.policy(doubt, Some(&reason)),
            // What was under way when the relay died has not rested yet.
            None if is_early => Decision::Wait { due_ms: until_ms },
            None => self.policy(doubt, None),
        }
    }

    /// Nobody can tell.
    fn policy(&self, doubt: &Doubt, reason: Option<&str>) -> Decision {
        let (step, settled, mut rule) = match self.rules.in_doubt {
            // Whoever rewinds has decided.
            _ if doubt.by_person => (Step::Retry, Settled::Again, "release --again".to_owned()),
            InDoubtPolicy::Resend => (
                Step::Retry,
                Settled::Again,
                "release.in_doubt = resend".into(),
            ),
            InDoubtPolicy::Park => (Step::Park, Settled::Gone, "release.in_doubt = park".into()),
        };
        if let Some(reason) = reason {
            rule += &format!("; the destination cannot be asked: {reason}");
        }
        Decision::Step {
            step,
            settled,
            rule,
            remote: None,
        }
    }

    fn log_found(&self, message: &StoredMessage, id: DeliveryId, remote: Remote, now_ms: u64) {
        let Some(recipient) = message.envelope.recipients.get(id.recipient as usize) else {
            return;
        };
        let total = now_ms.saturating_sub(message.envelope.received_ms);
        let delays = Delays {
            queued: Duration::from_millis(total),
            ..Delays::default()
        };
        let verdict = Verdict {
            advice: Advice::Done,
            signal: Signal::Neutral,
            cause: Cause::Reply,
            remote,
        };
        let protocol = self.setup.target.protocol;
        journal::delivery(protocol, id.message, &recipient.address, delays, &verdict);
    }
}

/// A delivery's doubt.
struct Doubt {
    since_ms: u64,
    by_person: bool,
}
