//! A message with its deliveries: what `postqueue -j` prints, and more members.

use crate::{
    mail::{BodyKind, ReversePath},
    spool::{Delivery, Standing, State, StoredMessage},
};
use serde::{Deserialize, Serialize};

/// What `postqueue` shows for the null sender. No address, having no `@`.
pub const NULL_SENDER: &str = "MAILER-DAEMON";

/// A message. The members up to `recipients` are those of `postqueue -j`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageView {
    /// Postfix's queue that it would be in: `hold` (held or parked), `active` (queued),
    /// `deferred` (deferred or in doubt); `finished` when nothing is left to do.
    pub queue_name: String,
    /// Its queue id.
    pub queue_id: String,
    /// When it arrived, in seconds since 1970 UTC.
    pub arrival_time: u64,
    /// Its length in bytes, as received.
    pub message_size: u64,
    /// Always false: a hold never expires.
    pub forced_expire: bool,
    /// MAIL FROM; [`NULL_SENDER`] for the null sender.
    pub sender: String,
    /// Its deliveries: all of them, or those that a listing was asked for.
    pub recipients: Vec<RecipientView>,
    /// The domain of the first of `recipients`.
    pub domain: String,
    /// When it arrived.
    pub arrival_time_ms: u64,
    /// `blake3:` and 64 hexadecimal digits, over the bytes as received.
    pub digest: String,
    /// Whether the bytes are still there (they go after `spool.retain_delivered`).
    pub has_body: bool,
    /// Who handed it in: `name[address]`.
    pub client: String,
    /// What the client called itself.
    pub helo: String,
    /// How it came: `SMTP`, `ESMTP`, `ESMTPS`, `UTF8SMTP` ...
    pub protocol: String,
    /// TLS version and cipher; absent when it came in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// The BODY parameter: `7BIT`, `8BITMIME` or `BINARYMIME`.
    pub body: String,
    /// Whether SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// The DSN parameter ENVID, in xtext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<String>,
}

/// One delivery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecipientView {
    /// RCPT TO.
    pub address: String,
    /// Why it is still here: what the other side said last. As in `postqueue -j`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_reason: Option<String>,
    /// `held`, `queued`, `deferred`, `in_doubt`, `delivered`, `parked`, `bounced` or
    /// `dropped`.
    pub state: State,
    /// Since when.
    pub since_ms: u64,
    /// The domain in whose account it counts.
    pub domain: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again, or when the doubt is settled by policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// Whether it is being sent at this moment.
    pub attempting: bool,
    /// The other side of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Its enhanced status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn: Option<String>,
    /// Its reply, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The DSN parameter NOTIFY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// The DSN parameter ORCPT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<String>,
}

impl MessageView {
    /// The public form of a message with these of its deliveries.
    #[must_use]
    pub fn of(message: &StoredMessage, deliveries: &[Delivery]) -> Self {
        let envelope = &message.envelope;
        let recipients: Vec<_> = deliveries
            .iter()
            .filter_map(|delivery| RecipientView::of(message, delivery))
            .collect();
        Self {
            queue_name: queue_name(&recipients).into(),
            queue_id: message.id.to_string(),
            arrival_time: envelope.received_ms / 1000,
            message_size: message.size,
            forced_expire: false,
            sender: match &envelope.reverse_path {
                ReversePath::Null => NULL_SENDER.into(),
                ReversePath::Address(address) => address.to_string(),
            },
            domain: recipients
                .first()
                .map(|recipient| recipient.domain.clone())
                .unwrap_or_default(),
            recipients,
            arrival_time_ms: envelope.received_ms,
            digest: message.digest.to_string(),
            has_body: message.has_body,
            client: envelope.client.to_string(),
            helo: envelope.client.helo.clone(),
            protocol: envelope.client.protocol.keyword(envelope.smtputf8).into(),
            tls: envelope.client.tls.clone(),
            body: body_kind(envelope.body).into(),
            smtputf8: envelope.smtputf8,
            envid: envelope.envid.clone(),
        }
    }
}

impl RecipientView {
    /// `None` when the message has no such recipient.
    fn of(message: &StoredMessage, delivery: &Delivery) -> Option<Self> {
        let place = usize::try_from(delivery.id.recipient).ok()?;
        let recipient = message.envelope.recipients.get(place)?;
        let last = delivery.last.as_ref();
        let unfinished = !delivery.standing.is_final();
        Some(Self {
            address: recipient.address.to_string(),
            delay_reason: last.filter(|_| unfinished).map(|remote| {
                if remote.relay == "none" {
                    remote.reply.clone()
                } else {
                    format!("host {} said: {}", remote.relay, remote.reply)
                }
            }),
            state: delivery.state,
            since_ms: delivery.changed_ms,
            domain: recipient.address.domain(),
            attempts: delivery.attempts,
            due_ms: match delivery.standing {
                Standing::Deferred { due_ms } | Standing::InDoubt { due_ms } => Some(due_ms),
                _ => None,
            },
            attempting: delivery.attempting,
            relay: last.map(|remote| remote.relay.clone()),
            dsn: last.map(|remote| remote.dsn.clone()),
            reply: last.map(|remote| remote.reply.clone()),
            notify: recipient.notify.clone(),
            orcpt: recipient.orcpt.clone(),
        })
    }
}

/// A message is in one of Postfix's queues; the one that asks most of a person wins.
fn queue_name(recipients: &[RecipientView]) -> &'static str {
    let any = |states: &[State]| recipients.iter().any(|r| states.contains(&r.state));
    if any(&[State::Held, State::Parked]) {
        "hold"
    } else if any(&[State::Queued]) {
        "active"
    } else if any(&[State::Deferred, State::InDoubt]) {
        "deferred"
    } else {
        "finished"
    }
}

fn body_kind(kind: BodyKind) -> &'static str {
    match kind {
        BodyKind::SevenBit => "7BIT",
        BodyKind::EightBitMime => "8BITMIME",
        BodyKind::BinaryMime => "BINARYMIME",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, spool::Remote};

    #[test]
    fn has_the_members_of_postqueue() {
        let (message, deliveries) = fixture::message(1, &["bob@corp.example"], State::Held);
        let json = serde_json::to_value(MessageView::of(&message, &deliveries)).unwrap();
        assert_eq!(json["queue_name"], "hold");
        assert_eq!(json["queue_id"], message.id.to_string());
        assert_eq!(json["arrival_time"], 1_795_428_001);
        assert_eq!(json["message_size"], 4096);
        assert_eq!(json["forced_expire"], false);
        assert_eq!(json["sender"], "alice@example.org");
        assert_eq!(json["recipients"][0]["address"], "bob@corp.example");
        assert_eq!(json["recipients"][0]["state"], "held");
        assert!(json["recipients"][0].get("delay_reason").is_none());
        assert_eq!(json["domain"], "corp.example");
    }

    #[test]
    fn a_deferred_delivery_says_why_and_until_when() {
        let (message, mut deliveries) = fixture::message(1, &["eve@corp.example"], State::Deferred);
        if let Some(delivery) = deliveries.first_mut() {
            delivery.last = Some(Remote {
                relay: "mx.new.example[192.0.2.1]:25".into(),
                dsn: "4.2.2".into(),
                reply: "452 4.2.2 Mailbox full".into(),
            });
        }
        let view = MessageView::of(&message, &deliveries);
        let eve = &view.recipients[0];
        assert_eq!(view.queue_name, "deferred");
        assert_eq!(eve.due_ms, Some(9));
        assert_eq!(
            eve.delay_reason.as_deref(),
            Some("host mx.new.example[192.0.2.1]:25 said: 452 4.2.2 Mailbox full")
        );
    }
}
