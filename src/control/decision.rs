//! A person's decision on deliveries: which are meant, and the one write that carries
//! it out.

use super::{
    error::{ApiError, ErrorKind},
    view::MessageView,
};
use crate::{
    mail::{DeliveryId, QueueId},
    spool::{Cause, Delivery, Spool, SpoolError, Standing, Step, StoredMessage, Transition},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Ids in one request.
pub const IDS_MAX: usize = 10_000;

/// What a person may decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Send (again), at its old place in the order.
    Retry,
    /// Keep, and let the mailbox's later mail go on.
    Park,
    /// Give up.
    Drop,
    /// Give up, and report it to the sender.
    Bounce,
}

/// The body of `POST /v1/deliveries/...`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// `QUEUEID:RECIPIENT` names a delivery, `QUEUEID` all of a message's deliveries for
    /// which the decision can be taken.
    pub ids: Vec<String>,
}

/// The answer to `POST /v1/deliveries/...`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// The messages concerned, each with the deliveries that were changed, as they now are.
    pub messages: Vec<MessageView>,
}

impl Decision {
    /// The word for it, as in the command line and in the path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Park => "park",
            Self::Drop => "drop",
            Self::Bounce => "bounce",
        }
    }

    fn step(self) -> Step {
        match self {
            Self::Retry => Step::Retry,
            Self::Park => Step::Park,
            Self::Drop => Step::Drop,
            Self::Bounce => Step::Bounce,
        }
    }

    /// Whether it can be taken for this delivery, by the rules of [`Step`]. The spool
    /// checks again; here it only says what a bare queue id means.
    fn fits(self, delivery: &Delivery) -> bool {
        let allowed = match (self, delivery.standing) {
            (Self::Retry, standing) => matches!(
                standing,
                Standing::Deferred { .. } | Standing::InDoubt { .. } | Standing::Parked
            ),
            (Self::Park, standing) => standing.holds_lane(),
            (Self::Drop | Self::Bounce, standing) => !standing.is_final(),
        };
        allowed && !delivery.attempting
    }
}

/// Carries out a decision on all deliveries named, or on none.
///
/// # Errors
/// [`ErrorKind::BadRequest`] for ids that are none, [`ErrorKind::UnknownMessage`],
/// [`ErrorKind::UnknownDelivery`], [`ErrorKind::Conflict`] and those of the spool.
pub async fn decide(
    spool: &dyn Spool,
    decision: Decision,
    ids: &Ids,
    now_ms: u64,
) -> Result<Decided, ApiError> {
    let meant = meant(spool, decision, ids).await?;
    let transitions = transitions(&meant, decision, now_ms);
    spool.advance(transitions).await?;
    Ok(Decided {
        messages: views(spool, &meant).await?,
    })
}

/// The places of the recipients that are meant, by message.
pub(super) type Meant = BTreeMap<QueueId, BTreeSet<u32>>;

/// What the ids stand for.
pub(super) async fn meant(
    spool: &dyn Spool,
    decision: Decision,
    ids: &Ids,
) -> Result<Meant, ApiError> {
    if ids.ids.is_empty() || ids.ids.len() > IDS_MAX {
        return Err(ApiError::bad_request(format!(
            "`ids` must hold 1 to {IDS_MAX} ids, and holds {}",
            ids.ids.len()
        )));
    }
    let mut meant = Meant::new();
    for id in &ids.ids {
        for delivery in resolve(spool, decision, id).await? {
            let recipients = meant.entry(delivery.message).or_default();
            recipients.insert(delivery.recipient);
        }
    }
    Ok(meant)
}

/// The steps of a decision.
pub(super) fn transitions(meant: &Meant, decision: Decision, now_ms: u64) -> Vec<Transition> {
    let transitions = meant.iter().flat_map(|(&message, recipients)| {
        recipients.iter().map(move |&recipient| Transition {
            delivery: DeliveryId { message, recipient },
            step: decision.step(),
            cause: Cause::Operator(decision.name().into()),
            remote: None,
            at_ms: now_ms,
        })
    });
    transitions.collect()
}

/// The messages concerned, with the deliveries that are meant as they are now.
pub(super) async fn views(spool: &dyn Spool, meant: &Meant) -> Result<Vec<MessageView>, ApiError> {
    let mut messages = Vec::with_capacity(meant.len());
    for (&id, recipients) in meant {
        let Some(message) = spool.message(id).await? else {
            continue;
        };
        let mut deliveries = spool.deliveries(id).await?;
        deliveries.retain(|delivery| recipients.contains(&delivery.id.recipient));
        messages.push(MessageView::of(&message, &deliveries));
    }
    Ok(messages)
}

/// The deliveries that an id stands for; never none.
async fn resolve(
    spool: &dyn Spool,
    decision: Decision,
    id: &str,
) -> Result<Vec<DeliveryId>, ApiError> {
    let (queue_id, address) = match id.split_once(':') {
        Some((queue_id, address)) => (queue_id, Some(address)),
        None => (id, None),
    };
    let queue_id: QueueId = queue_id
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{error}, or ID:RECIPIENT")))?;
    let message = spool.message(queue_id).await?;
    let message = message.ok_or(SpoolError::UnknownMessage(queue_id))?;
    if let Some(address) = address {
        return recipients(&message, address);
    }
    let deliveries = spool.deliveries(queue_id).await?;
    let fitting: Vec<_> = deliveries
        .iter()
        .filter(|delivery| decision.fits(delivery))
        .map(|delivery| delivery.id)
        .collect();
    if fitting.is_empty() {
        let states: BTreeSet<_> = deliveries.iter().map(|d| d.state.name()).collect();
        let states = Vec::from_iter(states).join(", ");
        return Err(ApiError {
            error: ErrorKind::Conflict,
            detail: format!(
                "no delivery of {queue_id} can be {}: its state is {states}",
                decision.step().done()
            ),
        });
    }
    Ok(fitting)
}

/// The places of a recipient, as written or else whatever its case.
fn recipients(message: &StoredMessage, address: &str) -> Result<Vec<DeliveryId>, ApiError> {
    let places = |fits: &dyn Fn(&str) -> bool| -> Vec<DeliveryId> {
        (0..)
            .zip(&message.envelope.recipients)
            .filter(|(_, recipient)| fits(recipient.address.as_str()))
            .map(|(recipient, _)| DeliveryId {
                message: message.id,
                recipient,
            })
            .collect()
    };
    let exact = places(&|recipient| recipient == address);
    if !exact.is_empty() {
        return Ok(exact);
    }
    let alike = places(&|recipient| recipient.to_lowercase() == address.to_lowercase());
    if alike.is_empty() {
        return Err(ApiError {
            error: ErrorKind::UnknownDelivery,
            detail: format!("message {} has no recipient {address}", message.id),
        });
    }
    Ok(alike)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, spool::State};

    #[test]
    fn a_bare_id_means_what_the_decision_fits() {
        let fits = |decision: Decision, state| {
            let (_, deliveries) = fixture::message(1, &["a@b.example"], state);
            decision.fits(&deliveries[0])
        };
        assert!(!fits(Decision::Retry, State::Held));
        assert!(fits(Decision::Retry, State::Parked));
        assert!(fits(Decision::Park, State::Held));
        assert!(!fits(Decision::Park, State::Parked));
        assert!(fits(Decision::Drop, State::Parked));
        for decision in [Decision::Retry, Decision::Park, Decision::Drop] {
            assert!(!fits(decision, State::Delivered));
            let (_, mut deliveries) = fixture::message(1, &["a@b.example"], State::InDoubt);
            deliveries[0].attempting = true;
            assert!(!decision.fits(&deliveries[0]));
        }
    }

    #[test]
    fn an_address_means_itself_before_its_likes() {
        let to = ["Bob@b.example", "bob@b.example", "eve@b.example"];
        let (message, _) = fixture::message(1, &to, State::Held);
        let places = |address| {
            recipients(&message, address).map(|ids| ids.iter().map(|id| id.recipient).collect())
        };
        assert_eq!(places("bob@b.example"), Ok(vec![1]));
        assert_eq!(places("BOB@b.example"), Ok(vec![0, 1]));
        assert_eq!(
            places("joe@b.example").map_err(|error: ApiError| error.error),
            Err::<Vec<u32>, _>(ErrorKind::UnknownDelivery)
        );
    }
}
