//! The history of a message's deliveries and of a domain.

use super::MessageView;
use crate::spool::{DomainEvent, Event, Standing, StoredMessage};
use serde::{Deserialize, Serialize};

/// A step in a delivery's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventView {
    /// Its place among all events of the spool.
    #[serde(default)]
    pub number: u64,
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
    /// Its place among all events of the spool.
    #[serde(default)]
    pub number: u64,
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
            number: event.number,
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
            number: event.number,
            at_ms: event.at_ms,
            what: event.what.clone(),
            cause: event.cause.to_string(),
        }
    }
}

/// A line of `GET /v1/log`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LogLine {
    /// The first one: events from this number on may be missing in what follows.
    Begin {
        /// The number that the next event will have at least.
        next_event: u64,
    },
    /// A message with all of its history, in arrival order.
    Message(Box<LoggedView>),
}

/// A message with all of its history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoggedView {
    /// The message.
    pub message: MessageView,
    /// What happened to its deliveries, oldest first.
    pub events: Vec<EventView>,
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
