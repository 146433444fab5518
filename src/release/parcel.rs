//! A message made ready for a connection: the commands of its envelope and its content, as
//! this destination takes them. What cannot be sent at all is noticed here, before anything
//! of it has left.

use super::{
    chunk::Chunk,
    commands::{mail, rcpt},
    connection::Connection,
    content::unreadable,
    deliver::{Fate, Outcome},
    envelope::Commands,
    introduction::forward,
    reply::{FailureKind, Phase},
};
use crate::{
    mail::{BodyKind, Recipient, received},
    spool::{Body, StoredMessage},
};
use memchr::memmem;

/// A message that came through here this often already goes round in circles. Once or
/// twice may be a forwarding from one domain to another.
const PASSES_MAX: usize = 3;

/// What is to be sent.
#[derive(Clone, Copy)]
pub(super) struct Shipment<'a> {
    /// The message.
    pub message: &'a StoredMessage,
    /// Places of the recipients in the envelope, at least one.
    pub recipients: &'a [u32],
    /// Our own name.
    pub hostname: &'a str,
}

/// See the [module](self).
pub(super) struct Parcel<'a> {
    /// What is in it.
    pub shipment: Shipment<'a>,
    pub commands: Commands,
    pub content: Content<'a>,
}

/// The message as it will be sent: trace header, then what the spool has.
pub(super) enum Content<'a> {
    /// With DATA: its beginning, and the rest.
    Data {
        head: Vec<u8>,
        body: &'a mut dyn Body,
    },
    /// As a chunk that needs no more of the body.
    Gathered(Chunk),
    /// As a chunk, and the rest of it.
    Chunk {
        chunk: Chunk,
        body: &'a mut dyn Body,
    },
}

impl<'a> Parcel<'a> {
    /// Makes a shipment ready for this connection.
    ///
    /// # Errors
    /// Why it cannot be sent at all; the connection has nothing to do with it.
    pub async fn pack(
        connection: &Connection,
        shipment: Shipment<'a>,
        body: &'a mut dyn Body,
    ) -> Result<Self, FailureKind> {
        let recipients = shipment.chosen();
        let header = shipment.header(&recipients);
        let bytes = header.len() as u64 + shipment.message.size;
        let envelope = &shipment.message.envelope;
        let features = &connection.features;
        let first = body.next().await.map_err(unreadable)?;
        features.suit(envelope, &recipients, bytes)?;
        let first = first.as_deref().unwrap_or_default();
        let passes = passes(shipment.hostname, first);
        if passes >= PASSES_MAX {
            return Err(FailureKind::Loop { passes });
        }
        let commands = Commands {
            forward: forward(connection, &envelope.client, shipment.message.id),
            mail: mail(envelope, bytes, features),
            rcpts: recipients.iter().map(|r| rcpt(r, features)).collect(),
            data: !features.chunking,
        };
        let head = [header.as_bytes(), first].concat();
        let content = if features.chunking {
            let binary = envelope.body == BodyKind::BinaryMime;
            let mut chunk = Chunk::begin(bytes, &head, binary)?;
            if chunk.is_short() {
                chunk.gather(body).await?;
                Content::Gathered(chunk)
            } else {
                Content::Chunk { chunk, body }
            }
        } else {
            Content::Data { head, body }
        };
        Ok(Self {
            shipment,
            commands,
            content,
        })
    }
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
    #[must_use]
    pub fn unsent(&self, connection: &Connection, kind: FailureKind) -> Outcome {
        let failure = connection.failure(Phase::Mail, kind);
        self.all(&Fate::Failed(failure), false, true)
    }

    /// The same for every recipient.
    #[must_use]
    pub fn all(&self, fate: &Fate, attempted: bool, reusable: bool) -> Outcome {
        let fates = self.recipients.iter().map(|place| (*place, fate.clone()));
        Outcome {
            fates: fates.collect(),
            reusable,
            attempted,
        }
    }

    pub fn outcome(&self, fates: Vec<Option<Fate>>, reusable: bool) -> Outcome {
        let fates = fates.into_iter().flatten();
        Outcome {
            fates: self.recipients.iter().copied().zip(fates).collect(),
            reusable,
            attempted: true,
        }
    }
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
