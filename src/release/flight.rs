//! Envelope and message in one flight (RFC 3030 §4.2): one round trip a message, where the
//! destination offers CHUNKING and PIPELINING and the message is short.
//!
//! The envelope does not wait for the attempt to be noted; the chunk does. The message is
//! on its way before anybody was accepted, so the answers decide afterwards: who is
//! refused is refused, whatever becomes of the chunk; if all are, the chunk must be refused
//! too; and if the connection is lost between, only those are in doubt of whom nothing was
//! heard or who were accepted.

use super::{
    chunk::Chunk,
    connection::Connection,
    content::{LAST_WORDS, Sent, replies},
    deliver::{Fate, Orders, Outcome, Shipment, unnoted},
    envelope::{Commands, Replies},
    reply::{Failure, FailureKind, Phase},
};
use crate::{config::DestinationProtocol, failpoint::Failpoint, spool::SpoolError};
use std::future::Future;
use tokio::{sync::watch, time::timeout};

/// Sends the flight, and reads what is said to it.
pub(super) async fn fly(
    connection: &mut Connection,
    shipment: &Shipment<'_>,
    (commands, chunk): (Commands, Chunk),
    attempt: impl Future<Output = Result<(), SpoolError>>,
    orders: &mut watch::Receiver<Orders>,
) -> Outcome {
    let (flying, attempted) = tokio::join!(commands.take_off(connection), attempt);
    if let Err(error) = attempted {
        let failure = connection.failure(Phase::Mail, unnoted(&error));
        return shipment.all(&Fate::Failed(failure), false, false);
    }
    let ahead = match flying {
        Ok(ahead) => ahead,
        Err(failure) => return shipment.all(&Fate::Failed(failure), true, false),
    };
    Failpoint::ReleaseAttempted.pass();
    let count = commands.rcpts.len();
    match chunk.send_gathered(connection, orders).await {
        Sent::Whole => Failpoint::ReleaseSent.pass(),
        Sent::Broken(Fate::Failed(failure)) => {
            let fates = last_answers(connection, count, ahead, failure).await;
            return shipment.outcome(fates, false);
        }
        Sent::Broken(fate) => return shipment.all(&fate, true, false),
    }
    let mut answers = Replies::new(connection, ahead);
    let heard = tokio::select! {
        biased;
        heard = answers.envelope(count) => heard,
        _ = orders.wait_for(|orders| *orders >= Orders::Abandon) => {
            let failure = connection.failure(Phase::EndOfData, FailureKind::Stopped);
            return shipment.all(&Fate::Doubt(failure), true, false);
        }
    };
    if let Some(lost) = heard.lost.clone() {
        // It had the whole message by then, and may have taken it.
        let fates = heard.settled(connection, count, &Fate::Doubt(lost));
        return shipment.outcome(fates, false);
    }
    let mut said = heard.said(connection);
    said.uninvited();
    if said.go_ahead {
        let (fates, reusable) = replies(connection, said.fates, orders).await;
        connection.needs_reset |= is_refused(&fates);
        return shipment.outcome(fates, reusable);
    }
    // After a 421 it has taken nothing (RFC 5321 §3.8). In LMTP it is not said how often a
    // chunk for nobody is answered.
    let mut reusable = !said.closing && connection.protocol == DestinationProtocol::Smtp;
    if reusable {
        let limit = connection.timeouts.end_of_data;
        // RFC 3030 §4.2: consumed all the same, and refused. Whoever takes a message for
        // nobody is out of step.
        let reply = connection.reply(Phase::EndOfData, limit).await;
        reusable = reply.is_ok_and(|reply| !reply.is_positive() && reply.code != 421);
    }
    shipment.outcome(said.fates, reusable)
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
