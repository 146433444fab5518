//! `rewind`: what was delivered to a server that has lost it since becomes in doubt again,
//! so that it is asked for, and sent again where it is not there. In bounded steps: each
//! call goes through a part of the records, and says where the next one begins.

use super::error::{ApiError, ErrorKind};
use crate::{
    failpoint::Failpoint,
    mail::{DeliveryId, QueueId},
    spool::{Cause, Phase, Spool, SpoolError, Standing, Step, StoredMessage, Transition},
};
use serde::{Deserialize, Serialize};

/// Messages looked at in one step.
const MESSAGES: usize = 500;

/// The body of `POST /v1/domains/{name}/rewind`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewindOrder {
    /// What was delivered at this time or later, milliseconds since 1970.
    pub since_ms: u64,
    /// Begin behind this message: `next` of the step before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Count only.
    #[serde(default)]
    pub dry_run: bool,
}

/// What one step did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rewound {
    /// Deliveries that are in doubt again, or would be.
    pub deliveries: u64,
    /// Messages whose bytes are no longer kept, so that they cannot be sent.
    pub gone: Vec<String>,
    /// Behind which message the next step begins; absent: there is nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One step.
///
/// # Errors
/// [`ErrorKind::Conflict`] while the domain is not in `hold`: what arrives would go between
/// what is sent again.
pub(super) async fn rewind(
    spool: &dyn Spool,
    domain: &str,
    order: &RewindOrder,
    now_ms: u64,
) -> Result<Rewound, ApiError> {
    let status = spool.domain(domain);
    let status = status.ok_or_else(|| SpoolError::UnknownDomain(domain.to_owned()))?;
    if status.phase != Phase::Hold && !order.dry_run {
        return Err(ApiError {
            error: ErrorKind::Conflict,
            detail: format!("{domain} is in {}; put it to hold first", status.phase),
        });
    }
    let after: Option<QueueId> = match &order.after {
        Some(after) => Some(after.parse().map_err(|error: crate::mail::QueueIdError| {
            ApiError::bad_request(error.to_string())
        })?),
        None => None,
    };
    let messages = spool.messages(after, MESSAGES).await?;
    let mut done = Rewound {
        next: (messages.len() == MESSAGES)
            .then(|| messages.last().map(|message| message.id.to_string()))
            .flatten(),
        ..Rewound::default()
    };
    for message in messages {
        let meant = meant(spool, domain, &message, order.since_ms).await?;
        if meant.is_empty() {
            continue;
        }
        let count = meant.len() as u64;
        if !message.has_body {
            done.gone.push(message.id.to_string());
        } else if order.dry_run {
            done.deliveries += count;
        } else {
            match spool.advance(transitions(meant, now_ms)).await {
                Ok(_) => done.deliveries += count,
                // It was removed just now.
                Err(SpoolError::NoBody(id)) => done.gone.push(id.to_string()),
                Err(error) => return Err(error.into()),
            }
            Failpoint::ReleaseRewound.pass();
        }
    }
    Ok(done)
}

/// Deliveries of a message that are to be looked at again.
async fn meant(
    spool: &dyn Spool,
    domain: &str,
    message: &StoredMessage,
    since_ms: u64,
) -> Result<Vec<DeliveryId>, SpoolError> {
    let recipients = &message.envelope.recipients;
    let is_of = |id: &DeliveryId| {
        let recipient = recipients.get(id.recipient as usize);
        recipient.is_some_and(|recipient| recipient.address.domain() == domain)
    };
    let deliveries = spool.deliveries(message.id).await?;
    Ok(deliveries
        .into_iter()
        .filter(|d| d.standing == Standing::Delivered && d.changed_ms >= since_ms)
        .map(|d| d.id)
        .filter(is_of)
        .collect())
}

fn transitions(meant: Vec<DeliveryId>, now_ms: u64) -> Vec<Transition> {
    let rewind = |delivery| Transition {
        delivery,
        step: Step::Rewind,
        cause: Cause::Operator("release --again".into()),
        remote: None,
        at_ms: now_ms,
    };
    meant.into_iter().map(rewind).collect()
}
