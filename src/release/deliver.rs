//! One message, to some of its recipients, over one connection.
//!
//! The order of things decides what can be promised: the attempt is noted in the spool
//! while the envelope travels, and only when both are done may the end of the message
//! leave. What fails before that end is known not to have arrived; what fails behind it
//! is in doubt.

use super::{
    chunk::Chunk,
    commands::{mail, rcpt},
    connection::Connection,
    content::{Sent, replies, send, unreadable},
    envelope::{Commands, Talk},
    flight::{fly, is_refused},
    introduction::forward,
    reply::{Failure, FailureKind, Phase, Reply},
};
use crate::{
    failpoint::Failpoint,
    mail::{BodyKind, Recipient, received},
    spool::{Body, SpoolError, StoredMessage},
};
use memchr::memmem;
use std::future::Future;
use tokio::sync::watch;

/// A message that came through here this often already goes round in circles. Once or
/// twice may be a forwarding from one domain to another.
const PASSES_MAX: usize = 3;

/// What jobs are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Orders {
    /// Go on.
    Work,
    /// Stop where nothing has been sent to its end; wait for the replies to the rest.
    Stop,
    /// Do not wait any more.
    Abandon,
}

/// What is to be sent.
pub struct Shipment<'a> {
    /// The message.
    pub message: &'a StoredMessage,
    /// Places of the recipients in the envelope, at least one.
    pub recipients: &'a [u32],
    /// Our own name.
    pub hostname: &'a str,
}

/// How it ended for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Taken.
    Delivered(Reply),
    /// Not taken, whether for now or for good; certainly not there.
    Failed(Failure),
    /// Not tried to the end, through no fault of its own.
    Back(Failure),
    /// Sent to its end, and no reply.
    Doubt(Failure),
}

/// How a shipment ended.
#[derive(Debug)]
pub struct Outcome {
    /// For each recipient, in their order.
    pub fates: Vec<(u32, Fate)>,
    /// Whether the connection can take another message.
    pub reusable: bool,
    /// Whether the spool has been asked to note the attempt, and has.
    pub attempted: bool,
}

/// Sends a shipment. `attempt` notes it in the spool; it is not even begun if the message
/// cannot be sent at all.
pub async fn deliver(
    connection: &mut Connection,
    shipment: &Shipment<'_>,
    body: &mut dyn Body,
    attempt: impl Future<Output = Result<(), SpoolError>>,
    orders: &mut watch::Receiver<Orders>,
) -> Outcome {
    let recipients = shipment.chosen();
    let header = shipment.header(&recipients);
    let bytes = header.len() as u64 + shipment.message.size;
    let envelope = &shipment.message.envelope;
    let fit = connection.features.suit(envelope, &recipients, bytes);
    let first = match body.next().await {
        Ok(first) => first,
        Err(error) => return shipment.unsent(connection, unreadable(error)),
    };
    let passes = passes(shipment.hostname, first.as_deref().unwrap_or_default());
    if let Err(kind) = fit {
        return shipment.unsent(connection, kind);
    } else if passes >= PASSES_MAX {
        return shipment.unsent(connection, FailureKind::Loop { passes });
    }
    let commands = Commands {
        forward: forward(connection, &envelope.client, shipment.message.id),
        mail: mail(envelope, bytes, &connection.features),
        rcpts: recipients
            .iter()
            .map(|r| rcpt(r, &connection.features))
            .collect(),
        data: !connection.features.chunking,
    };
    let head = [header.as_bytes(), first.as_deref().unwrap_or_default()].concat();
    let mut chunk = None;
    if connection.features.chunking {
        let binary = envelope.body == BodyKind::BinaryMime;
        let mut begun = match Chunk::begin(bytes, &head, binary) {
            Ok(begun) => begun,
            Err(kind) => return shipment.unsent(connection, kind),
        };
        if begun.is_short() {
            if let Err(kind) = begun.gather(body).await {
                return shipment.unsent(connection, kind);
            }
            if connection.features.pipelining {
                let flight = (commands, begun);
                return fly(connection, shipment, flight, attempt, orders).await;
            }
        }
        chunk = Some(begun);
    }
    let talk = async {
        tokio::select! {
            biased;
            _ = orders.wait_for(|orders| *orders >= Orders::Stop) => Talk::Broken(None),
            talk = commands.carry_out(connection) => talk,
        }
    };
    let (talk, attempted) = tokio::join!(talk, attempt);
    let relay = connection.relay.clone();
    let failure = |phase, kind| Failure {
        phase,
        relay: relay.clone(),
        kind,
    };
    if let Err(error) = attempted {
        let failure = failure(Phase::Mail, unnoted(&error));
        return shipment.all(&Fate::Failed(failure), false, false);
    }
    let said = match talk {
        Talk::Broken(None) => {
            let failure = failure(Phase::Mail, FailureKind::Stopped);
            return shipment.all(&Fate::Back(failure), true, false);
        }
        Talk::Broken(Some(failure)) => return shipment.all(&Fate::Failed(failure), true, false),
        Talk::Said(said) => said,
    };
    if !said.go_ahead {
        return shipment.outcome(said.fates, !said.closing && !said.lone_go_ahead);
    }
    Failpoint::ReleaseAttempted.pass();
    let chunked = chunk.is_some();
    let sent = match chunk {
        Some(chunk) => chunk.send(connection, body, orders).await,
        None => send(connection, head, body, orders).await,
    };
    let fates = match sent {
        Sent::Whole => {
            Failpoint::ReleaseSent.pass();
            replies(connection, said.fates, orders).await
        }
        Sent::Broken(fate) => (settle(said.fates, &fate), false),
    };
    connection.needs_reset |= chunked && is_refused(&fates.0);
    shipment.outcome(fates.0, fates.1)
}

impl Shipment<'_> {
    fn chosen(&self) -> Vec<&Recipient> {
        let all = &self.message.envelope.recipients;
        let chosen = self.recipients.iter();
        chosen
            .filter_map(|place| all.get(*place as usize))
            .collect()
    }

    fn header(&self, recipients: &[&Recipient]) -> String {
        let only = match recipients {
            [only] => Some(&only.address),
            _ => None,
        };
        received(self.hostname, self.message.id, &self.message.envelope, only)
    }

    /// Nothing was sent, and the connection has nothing to do with it.
    fn unsent(&self, connection: &Connection, kind: FailureKind) -> Outcome {
        let failure = connection.failure(Phase::Mail, kind);
        self.all(&Fate::Failed(failure), false, true)
    }

    pub(super) fn all(&self, fate: &Fate, attempted: bool, reusable: bool) -> Outcome {
        let fates = self.recipients.iter().map(|place| (*place, fate.clone()));
        Outcome {
            fates: fates.collect(),
            reusable,
            attempted,
        }
    }

    pub(super) fn outcome(&self, fates: Vec<Option<Fate>>, reusable: bool) -> Outcome {
        let fates = fates.into_iter().flatten();
        Outcome {
            fates: self.recipients.iter().copied().zip(fates).collect(),
            reusable,
            attempted: true,
        }
    }
}

/// Gives a fate to everybody who has none yet.
pub(super) fn settle(mut fates: Vec<Option<Fate>>, fate: &Fate) -> Vec<Option<Fate>> {
    for slot in fates.iter_mut().filter(|slot| slot.is_none()) {
        *slot = Some(fate.clone());
    }
    fates
}

/// How often the header of a message says that it came through here, as far as `head`
/// holds it.
fn passes(hostname: &str, head: &[u8]) -> usize {
    let end = memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
    let header = head.get(..end).unwrap_or_default();
    // As mail::received writes it.
    let ours = format!("\tby {hostname} (relay) with ");
    memmem::find_iter(header, ours.as_bytes()).count()
}

/// The attempt cannot be noted.
pub(super) fn unnoted(error: &SpoolError) -> FailureKind {
    let detail = error.to_string();
    match error {
        SpoolError::Conflict { .. } => FailureKind::Withdrawn { detail },
        _ => FailureKind::Spool { detail },
    }
}
