//! One message, to some of its recipients, over one connection.
//!
//! The order of things decides what can be promised: the attempt is noted in the spool
//! while the envelope travels, and only when both are done may the end of the message
//! leave. What fails before that end is known not to have arrived; what fails behind it
//! is in doubt.

use super::{
    commands::{mail, rcpt},
    connection::Connection,
    reply::{Failure, FailureKind, Phase, Reply},
};
use crate::{
    config::DestinationProtocol,
    mail::{Recipient, received},
    smtp::data::Encoder,
    spool::{Body, SpoolError, StoredMessage},
};
use memchr::memmem;
use std::{future::Future, time::Duration};
use tokio::sync::watch;

/// What is written at once of a long message.
const WRITE_BYTES: usize = 64 * 1024;
/// How long to wait for the reason when the destination hangs up in mid-message.
const LAST_WORDS: Duration = Duration::from_secs(2);
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
        mail: mail(envelope, bytes, &connection.features),
        rcpts: recipients
            .iter()
            .map(|r| rcpt(r, &connection.features))
            .collect(),
    };
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
    let head = [header.as_bytes(), first.as_deref().unwrap_or_default()].concat();
    let sent = send(connection, head, body, orders).await;
    let fates = match sent {
        Sent::Whole => replies(connection, said.fates, orders).await,
        Sent::Broken(fate) => (settle(said.fates, &fate), false),
    };
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

    fn all(&self, fate: &Fate, attempted: bool, reusable: bool) -> Outcome {
        let fates = self.recipients.iter().map(|place| (*place, fate.clone()));
        Outcome {
            fates: fates.collect(),
            reusable,
            attempted,
        }
    }

    fn outcome(&self, fates: Vec<Option<Fate>>, reusable: bool) -> Outcome {
        let fates = fates.into_iter().flatten();
        Outcome {
            fates: self.recipients.iter().copied().zip(fates).collect(),
            reusable,
            attempted: true,
        }
    }
}

/// The envelope, as commands.
struct Commands {
    mail: String,
    rcpts: Vec<String>,
}

/// How the envelope fared.
enum Talk {
    /// Every command was answered.
    Said(Said),
    /// No answer was had; nothing when the release was stopped.
    Broken(Option<Failure>),
}

struct Said {
    /// For each recipient; nothing yet for those who were accepted.
    fates: Vec<Option<Fate>>,
    /// Whether the message may be sent.
    go_ahead: bool,
    /// The destination wants the message although it has accepted no recipient.
    lone_go_ahead: bool,
    /// It said 421 (RFC 5321 §3.8).
    closing: bool,
}

impl Commands {
    async fn carry_out(&self, connection: &mut Connection) -> Talk {
        let talked = if connection.features.pipelining {
            self.in_one_flight(connection).await
        } else {
            self.one_by_one(connection).await
        };
        match talked {
            Ok(said) => Talk::Said(said),
            Err(failure) => Talk::Broken(Some(failure)),
        }
    }

    /// RFC 2920 §3.1: DATA is the last command of the group, and all replies are looked
    /// at before the message is sent.
    async fn in_one_flight(&self, connection: &mut Connection) -> Result<Said, Failure> {
        let timeouts = connection.timeouts;
        let reset = std::mem::replace(&mut connection.needs_reset, true);
        let mut flight = String::from(if reset { "RSET\r\n" } else { "" });
        flight.push_str(&self.mail);
        self.rcpts.iter().for_each(|line| flight.push_str(line));
        flight.push_str("DATA\r\n");
        connection
            .send(Phase::Mail, timeouts.mail, flight.as_bytes())
            .await?;
        let mut replies = Replies::new(connection);
        if reset {
            replies.next(Phase::Mail, timeouts.mail).await?;
        }
        let mail = replies.next(Phase::Mail, timeouts.mail).await?;
        let mut rcpts = Vec::with_capacity(self.rcpts.len());
        for _ in &self.rcpts {
            rcpts.push(replies.next(Phase::Rcpt, timeouts.rcpt).await?);
        }
        let data = replies.next(Phase::Data, timeouts.data).await?;
        let mut said = Said::new(connection, &mail, &rcpts);
        said.data(connection, data);
        Ok(said)
    }

    async fn one_by_one(&self, connection: &mut Connection) -> Result<Said, Failure> {
        let timeouts = connection.timeouts;
        if std::mem::replace(&mut connection.needs_reset, true) {
            connection
                .command(Phase::Mail, timeouts.hello, "RSET\r\n")
                .await?;
        }
        let mail = connection
            .command(Phase::Mail, timeouts.mail, &self.mail)
            .await?;
        let mut rcpts = Vec::with_capacity(self.rcpts.len());
        let mut last = mail.clone();
        for line in &self.rcpts {
            if mail.is_positive() && last.code != 421 {
                last = connection.command(Phase::Rcpt, timeouts.rcpt, line).await?;
            }
            rcpts.push(last.clone());
        }
        let mut said = Said::new(connection, &mail, &rcpts);
        if said.fates.iter().any(Option::is_none) && !said.closing {
            let data = connection
                .command(Phase::Data, timeouts.data, "DATA\r\n")
                .await?;
            said.data(connection, data);
        }
        Ok(said)
    }
}

/// Replies to one flight. After a 421 nothing more may come: it then stands for the rest.
struct Replies<'a> {
    connection: &'a mut Connection,
    farewell: Option<Reply>,
}

impl<'a> Replies<'a> {
    fn new(connection: &'a mut Connection) -> Self {
        Self {
            connection,
            farewell: None,
        }
    }

    async fn next(&mut self, phase: Phase, limit: Duration) -> Result<Reply, Failure> {
        if let Some(farewell) = &self.farewell {
            return Ok(farewell.clone());
        }
        let reply = self.connection.reply(phase, limit).await?;
        if reply.code == 421 {
            self.farewell = Some(reply.clone());
        }
        Ok(reply)
    }
}

impl Said {
    fn new(connection: &Connection, mail: &Reply, rcpts: &[Reply]) -> Self {
        let failed = |phase, reply: &Reply| {
            let kind = FailureKind::Said(reply.clone());
            Fate::Failed(connection.failure(phase, kind))
        };
        let accepted = mail.is_positive() && rcpts.iter().any(Reply::is_positive);
        let fates = rcpts.iter().map(|reply| match reply {
            _ if !mail.is_positive() => Some(failed(Phase::Mail, mail)),
            reply if reply.is_positive() => None,
            // RFC 5321 §4.5.3.1.10: too many recipients; those go in the next transaction.
            reply if accepted && matches!(reply.code, 452 | 552) => {
                let kind = FailureKind::Said(reply.clone());
                Some(Fate::Back(connection.failure(Phase::Rcpt, kind)))
            }
            reply => Some(failed(Phase::Rcpt, reply)),
        });
        Self {
            fates: fates.collect(),
            go_ahead: false,
            lone_go_ahead: false,
            closing: mail.code == 421 || rcpts.iter().any(|reply| reply.code == 421),
        }
    }

    fn data(&mut self, connection: &Connection, data: Reply) {
        let accepted = self.fates.iter().any(Option::is_none);
        self.closing |= data.code == 421;
        if data.code == 354 {
            self.go_ahead = accepted;
            // Any dot would be a message to nobody: better hang up.
            self.lone_go_ahead = !accepted;
            return;
        }
        let kind = if data.is_positive() {
            FailureKind::Garbled { text: data.text }
        } else {
            FailureKind::Said(data)
        };
        let fate = Fate::Failed(connection.failure(Phase::Data, kind));
        self.fates = settle(std::mem::take(&mut self.fates), &fate);
    }
}

/// How far the message got.
enum Sent {
    /// To its end.
    Whole,
    /// This far; a fate for everybody who was accepted.
    Broken(Fate),
}

/// Trace header, message, end of data. Small messages leave in one write.
async fn send(
    connection: &mut Connection,
    head: Vec<u8>,
    body: &mut dyn Body,
    orders: &mut watch::Receiver<Orders>,
) -> Sent {
    let mut encoder = Encoder::new();
    let mut wire = Vec::new();
    let mut piece = Some(head);
    while let Some(content) = piece {
        if let Err(smuggling) = encoder.encode(&content, &mut wire) {
            return broken(
                connection,
                FailureKind::Unfit {
                    dsn: "5.6.0",
                    detail: smuggling.to_string(),
                },
            );
        }
        if wire.len() >= WRITE_BYTES {
            let write = connection.send(Phase::Data, connection.timeouts.block, &wire);
            let written = tokio::select! {
                biased;
                _ = orders.wait_for(|orders| *orders >= Orders::Stop) => None,
                written = write => Some(written),
            };
            match written {
                None => return stopped(connection),
                Some(Err(failure)) => return last_words(connection, failure).await,
                Some(Ok(())) => wire.clear(),
            }
        }
        piece = match body.next().await {
            Ok(piece) => piece,
            // The end has not been sent: nothing arrives.
            Err(error) => return broken(connection, unreadable(error)),
        };
    }
    encoder.finish(&mut wire);
    if *orders.borrow() >= Orders::Stop {
        return stopped(connection);
    }
    // From here on nobody can tell whether it arrives, until the reply does.
    match connection
        .send(Phase::EndOfData, connection.timeouts.block, &wire)
        .await
    {
        Ok(()) => Sent::Whole,
        Err(failure) => Sent::Broken(Fate::Doubt(failure)),
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

/// The message cannot be had from the spool.
pub(super) fn unreadable(error: SpoolError) -> FailureKind {
    match error {
        SpoolError::Corrupt { what, detail } => FailureKind::Unfit {
            dsn: "5.3.0",
            detail: format!("{what} is damaged in the spool: {detail}"),
        },
        SpoolError::NoBody(_) | SpoolError::UnknownMessage(_) => FailureKind::Unfit {
            dsn: "5.3.0",
            detail: error.to_string(),
        },
        error => FailureKind::Spool {
            detail: error.to_string(),
        },
    }
}

/// The attempt cannot be noted.
fn unnoted(error: &SpoolError) -> FailureKind {
    let detail = error.to_string();
    match error {
        SpoolError::Conflict { .. } => FailureKind::Withdrawn { detail },
        _ => FailureKind::Spool { detail },
    }
}

fn broken(connection: &Connection, kind: FailureKind) -> Sent {
    Sent::Broken(Fate::Failed(connection.failure(Phase::Data, kind)))
}

fn stopped(connection: &Connection) -> Sent {
    let failure = connection.failure(Phase::Data, FailureKind::Stopped);
    Sent::Broken(Fate::Back(failure))
}

/// A destination that hangs up in mid-message has often said why.
async fn last_words(connection: &mut Connection, failure: Failure) -> Sent {
    let patience = LAST_WORDS.min(connection.timeouts.data);
    match connection.reply(Phase::Data, patience).await {
        Ok(reply) if !reply.is_positive() && reply.code != 354 => {
            broken(connection, FailureKind::Said(reply))
        }
        _ => Sent::Broken(Fate::Failed(failure)),
    }
}

/// The reply to the end of data: one, or in LMTP one for each accepted recipient in
/// their order (RFC 2033 §4.2). Also tells whether the connection can be used again.
async fn replies(
    connection: &mut Connection,
    mut fates: Vec<Option<Fate>>,
    orders: &mut watch::Receiver<Orders>,
) -> (Vec<Option<Fate>>, bool) {
    let limit = connection.timeouts.end_of_data;
    let mut reusable = true;
    for place in 0..fates.len() {
        if fates.get(place).is_some_and(Option::is_some) {
            continue;
        }
        let reply = tokio::select! {
            biased;
            reply = connection.reply(Phase::EndOfData, limit) => reply,
            _ = orders.wait_for(|orders| *orders >= Orders::Abandon) => {
                Err(connection.failure(Phase::EndOfData, FailureKind::Stopped))
            }
        };
        let fate = match reply {
            Ok(reply) if reply.is_positive() => Fate::Delivered(reply),
            Ok(reply) if reply.code / 100 == 3 => {
                let kind = FailureKind::Garbled { text: reply.text };
                Fate::Doubt(connection.failure(Phase::EndOfData, kind))
            }
            Ok(reply) => {
                reusable &= reply.code != 421;
                let kind = FailureKind::Said(reply);
                Fate::Failed(connection.failure(Phase::EndOfData, kind))
            }
            Err(failure) => Fate::Doubt(failure),
        };
        let in_doubt = matches!(fate, Fate::Doubt(_));
        reusable &= !in_doubt;
        if in_doubt || connection.protocol == DestinationProtocol::Smtp {
            fates = settle(fates, &fate);
        } else if let Some(slot) = fates.get_mut(place) {
            *slot = Some(fate);
        }
    }
    if reusable {
        connection.needs_reset = false;
        connection.delivered += 1;
    }
    (fates, reusable)
}

/// Gives a fate to everybody who has none yet.
fn settle(mut fates: Vec<Option<Fate>>, fate: &Fate) -> Vec<Option<Fate>> {
    for slot in fates.iter_mut().filter(|slot| slot.is_none()) {
        *slot = Some(fate.clone());
    }
    fates
}
