//! The history of a message's deliveries and of a domain.

use crate::spool::{DomainEvent, Event, Standing, StoredMessage};
use serde::{Deserialize, Serialize};

/// A step in a delivery's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventView {
    /// The message.
    pub queue_id: String,
    /// When.
    pub at_ms: u64,
    /// RCPT TO.
    pub address: String,
    /// The state before. `waiting` stands for `held` and `queued`, which differ by the
    /// domain's phase alone.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Who or what made it: `reply`, `connection: ...`, `operator: ...`.
    pub cause: String,
    /// The other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Its enhanced status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn: Option<String>,
    /// Its reply, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// Something that happened to a domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainEventView {
    /// When.
    pub at_ms: u64,
    /// What, in words.
    pub what: String,
    /// Why.
    pub cause: String,
}

impl EventView {
    /// The public form of an event of `message`.
    #[must_use]
    pub fn of(message: &StoredMessage, event: &Event) -> Self {
        let recipient = usize::try_from(event.delivery.recipient)
            .ok()
            .and_then(|place| message.envelope.recipients.get(place));
        let remote = event.remote.as_ref();
        Self {
            queue_id: message.id.to_string(),
            at_ms: event.at_ms,
            address: recipient
                .map(|recipient| recipient.address.to_string())
                .unwrap_or_default(),
            from: standing(event.from).into(),
            to: standing(event.to).into(),
            cause: event.cause.to_string(),
            relay: remote.map(|remote| remote.relay.clone()),
            dsn: remote.map(|remote| remote.dsn.clone()),
            reply: remote.map(|remote| remote.reply.clone()),
        }
    }
}

impl From<&DomainEvent> for DomainEventView {
    fn from(event: &DomainEvent) -> Self {
        Self {
            at_ms: event.at_ms,
            what: event.what.clone(),
            cause: event.cause.to_string(),
        }
    }
}

/// The phase of that time is not in the event, and today's would be a lie.
fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Deferred { .. } => "deferred",
        Standing::InDoubt { .. } => "in_doubt",
        Standing::Delivered => "delivered",
        Standing::Parked => "parked",
        Standing::Bounced => "bounced",
        Standing::Dropped => "dropped",
    }
}
