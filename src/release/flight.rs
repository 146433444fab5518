//! Messages that travel with their envelopes, without being asked for (RFC 3030 §4.2): one
//! round trip a message where the destination offers CHUNKING and PIPELINING and the message
//! is short, and less where several go in one flight because the destination is far away.
//!
//! No envelope waits for the attempts to be noted; the chunks do. The messages are on their
//! way before anybody was accepted, so the answers decide afterwards: who is refused is
//! refused, whatever becomes of the chunk; if all are, the chunk must be refused too; and if
//! the connection is lost between, only those are in doubt of whom nothing was heard or who
//! were accepted. RSET stands between two messages, so that what is said to one leaves
//! nothing behind for the next.

use super::{
    chunk::Chunk,
    connection::Connection,
    content::{LAST_WORDS, Sent, replies},
    deliver::{Fate, Orders, Outcome, unnoted},
    envelope::{Commands, Replies},
    parcel::{Content, Parcel, Shipment},
    reply::{Failure, FailureKind, Phase},
};
use crate::{config::DestinationProtocol, failpoint::Failpoint, spool::SpoolError};
use std::future::Future;
use tokio::{sync::watch, time::timeout};

/// A message of a flight.
pub(super) struct Passenger<'a> {
    pub shipment: Shipment<'a>,
    pub commands: Commands,
    pub chunk: Chunk,
}

/// How a parcel goes.
pub(super) enum Way<'a> {
    /// In a flight.
    Flight(Passenger<'a>),
    /// Only when it is asked for: it is not short, or the destination takes no flights.
    Alone(Parcel<'a>),
}

impl<'a> Way<'a> {
    pub fn of(connection: &Connection, parcel: Parcel<'a>) -> Self {
        let features = &connection.features;
        match parcel {
            Parcel {
                shipment,
                commands,
                content: Content::Gathered(chunk),
            } if features.chunking && features.pipelining => Self::Flight(Passenger {
                shipment,
                commands,
                chunk,
            }),
            parcel => Self::Alone(parcel),
        }
    }
}

/// A message that has left as a whole.
struct Airborne<'a> {
    shipment: Shipment<'a>,
    recipients: usize,
    /// Replies that come ahead of that to its MAIL.
    ahead: usize,
}

/// What is to be heard behind the answers to a message.
enum Behind {
    /// The answers to the next.
    Answers,
    /// Nothing more, or answers all the same: it has said 421.
    Farewell,
    /// Nothing that could be relied on: the fate of everybody else.
    Nothing(Fate),
}

/// Sends the flight, and tells the outcome of each message, in their order, as it is known.
/// `attempt` notes all of them in the spool.
pub(super) async fn fly(
    connection: &mut Connection,
    flight: Vec<Passenger<'_>>,
    attempt: impl Future<Output = Result<(), SpoolError>>,
    orders: &mut watch::Receiver<Orders>,
    mut tell: impl FnMut(&Connection, Outcome),
) {
    let mut flight = flight.into_iter();
    let Some(first) = flight.next() else {
        return;
    };
    let (flying, attempted) = tokio::join!(first.commands.take_off(connection), attempt);
    if let Err(error) = attempted {
        let failure = connection.failure(Phase::Mail, unnoted(&error));
        let fate = Fate::Failed(failure);
        tell(connection, first.shipment.all(&fate, false, false));
        return flight.for_each(|one| tell(connection, one.shipment.all(&fate, false, false)));
    }
    // Nothing of it has left; the attempts that were noted are taken back.
    let back = Fate::Back(connection.failure(Phase::Mail, FailureKind::Stopped));
    let first = match board(connection, first, flying, orders).await {
        Ok(first) => first,
        Err(outcome) => {
            tell(connection, outcome);
            return flight.for_each(|one| tell(connection, one.shipment.all(&back, true, false)));
        }
    };
    let mut airborne = vec![first];
    let mut ground = Vec::new();
    for passenger in flight {
        let stop = !ground.is_empty() || *orders.borrow() >= Orders::Stop;
        match stop {
            true => ground.push(passenger.shipment),
            false => match follow(connection, passenger).await {
                Ok(one) => airborne.push(one),
                Err(shipment) => ground.push(shipment),
            },
        }
    }
    Failpoint::ReleaseSent.pass();
    let mut behind = Behind::Answers;
    for one in airborne {
        behind = match behind {
            Behind::Nothing(fate) => {
                tell(connection, one.shipment.all(&fate, true, false));
                Behind::Nothing(fate)
            }
            before => {
                let farewell = matches!(before, Behind::Farewell);
                let (outcome, next) = land(connection, &one, farewell, orders).await;
                tell(connection, outcome);
                match next {
                    Behind::Answers => before,
                    other => other,
                }
            }
        };
    }
    for shipment in ground {
        tell(connection, shipment.all(&back, true, false));
    }
}

/// The first: its envelope has left, its chunk follows.
async fn board<'a>(
    connection: &mut Connection,
    first: Passenger<'a>,
    flying: Result<usize, Failure>,
    orders: &watch::Receiver<Orders>,
) -> Result<Airborne<'a>, Outcome> {
    let Passenger {
        shipment,
        commands,
        chunk,
    } = first;
    let recipients = commands.rcpts.len();
    let ahead = flying.map_err(|failure| shipment.all(&Fate::Failed(failure), true, false))?;
    Failpoint::ReleaseAttempted.pass();
    match chunk.send_gathered(connection, orders).await {
        Sent::Whole => Ok(Airborne {
            shipment,
            recipients,
            ahead,
        }),
        Sent::Broken(Fate::Failed(failure)) => {
            let fates = last_answers(connection, recipients, ahead, failure).await;
            Err(shipment.outcome(fates, false))
        }
        Sent::Broken(fate) => Err(shipment.all(&fate, true, false)),
    }
}

/// Another one, in one piece. An error to write it says that its last byte was not taken.
async fn follow<'a>(
    connection: &mut Connection,
    passenger: Passenger<'a>,
) -> Result<Airborne<'a>, Shipment<'a>> {
    let (envelope, ahead) = passenger.commands.flight(connection);
    let limit = connection.timeouts.block;
    let whole = passenger.chunk.behind(envelope);
    match connection.send(Phase::Data, limit, &whole).await {
        Ok(()) => Ok(Airborne {
            shipment: passenger.shipment,
            recipients: passenger.commands.rcpts.len(),
            ahead,
        }),
        Err(_) => Err(passenger.shipment),
    }
}

/// Reads what is said to one. `farewell`: 421 was said to one before it.
async fn land(
    connection: &mut Connection,
    one: &Airborne<'_>,
    farewell: bool,
    orders: &mut watch::Receiver<Orders>,
) -> (Outcome, Behind) {
    connection.needs_reset = true;
    let (shipment, count) = (&one.shipment, one.recipients);
    let mut answers = Replies::new(connection, one.ahead);
    let heard = tokio::select! {
        biased;
        heard = answers.envelope(count) => heard,
        _ = orders.wait_for(|orders| *orders >= Orders::Abandon) => {
            let fate = Fate::Doubt(connection.failure(Phase::EndOfData, FailureKind::Stopped));
            return (shipment.all(&fate, true, false), Behind::Nothing(fate));
        }
    };
    if let Some(lost) = heard.lost.clone() {
        // It had the whole message by then, and may have taken it; but not behind a 421,
        // after which it serves no command (RFC 5321 §3.8).
        let fate = match farewell && heard.mail.is_none() {
            true => Fate::Back(lost),
            false => Fate::Doubt(lost),
        };
        let fates = heard.settled(connection, count, &fate);
        return (shipment.outcome(fates, false), Behind::Nothing(fate));
    }
    let mut said = heard.said(connection);
    said.uninvited();
    if said.go_ahead {
        let (fates, reusable) = replies(connection, said.fates, orders).await;
        connection.needs_reset = is_refused(&fates);
        let behind = match fates
            .iter()
            .flatten()
            .find(|fate| matches!(fate, Fate::Doubt(_)))
        {
            Some(doubt) => Behind::Nothing(doubt.clone()),
            None if reusable => Behind::Answers,
            None => Behind::Farewell,
        };
        return (shipment.outcome(fates, reusable && !farewell), behind);
    }
    let behind = match said.closing {
        // After a 421 it has taken nothing (RFC 5321 §3.8).
        true => Behind::Farewell,
        false => refusal(connection).await,
    };
    let reusable = matches!(behind, Behind::Answers) && !farewell;
    (shipment.outcome(said.fates, reusable), behind)
}

/// The reply to a chunk for nobody. RFC 3030 §4.2: consumed all the same, and refused.
async fn refusal(connection: &mut Connection) -> Behind {
    let doubt = |connection: &Connection, kind| {
        Behind::Nothing(Fate::Doubt(connection.failure(Phase::EndOfData, kind)))
    };
    if connection.protocol == DestinationProtocol::Lmtp {
        // It is not said how often such a chunk is answered.
        return doubt(connection, FailureKind::Stopped);
    }
    let limit = connection.timeouts.end_of_data;
    match connection.reply(Phase::EndOfData, limit).await {
        Ok(reply) if reply.code == 421 => Behind::Farewell,
        // Whoever takes a message for nobody is out of step.
        Ok(reply) if reply.is_positive() => {
            doubt(connection, FailureKind::Garbled { text: reply.text })
        }
        Ok(_) => Behind::Answers,
        Err(failure) => Behind::Nothing(Fate::Doubt(failure)),
    }
}

/// RFC 3030 §2: behind a chunk that was refused only RSET leads on.
pub(super) fn is_refused(fates: &[Option<Fate>]) -> bool {
    fates
        .iter()
        .flatten()
        .any(|fate| matches!(fate, Fate::Failed(failure) if failure.phase == Phase::EndOfData))
}

/// The chunk could not be sent to its end, so nothing arrives. A destination that hangs up
/// has often said why.
async fn last_answers(
    connection: &mut Connection,
    count: usize,
    ahead: usize,
    failure: Failure,
) -> Vec<Option<Fate>> {
    let mut answers = Replies::new(connection, ahead);
    let heard = timeout(LAST_WORDS, answers.envelope(count)).await;
    let mut fate = Fate::Failed(failure);
    match heard {
        Ok(heard) => {
            // Nothing was said at all: it was gone before.
            if let (None, Some(lost)) = (&heard.mail, &heard.lost) {
                fate = Fate::Failed(lost.clone());
            }
            heard.settled(connection, count, &fate)
        }
        Err(_) => vec![Some(fate); count],
    }
}
