//! One message, to some of its recipients, over one connection.
//!
//! The order of things decides what can be promised: the attempt is noted in the spool
//! while the envelope travels, and only when both are done may the end of the message
//! leave. What fails before that end is known not to have arrived; what fails behind it
//! is in doubt.
//!
//! The envelope of the next message may follow that end at once (RFC 2920 §3.1 names the
//! content of a message as what a group may begin with): one round trip a message. It says
//! nothing about that message yet, whose own end waits for its own attempt.

use super::{
    connection::Connection,
    content::{Sent, replies, send},
    envelope::{Commands, Talk},
    flight::is_refused,
    parcel::{Content, Parcel},
    reply::{Failure, FailureKind, Phase, Reply},
};
use crate::{failpoint::Failpoint, spool::SpoolError};
use std::future::Future;
use tokio::sync::watch;

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

impl Outcome {
    /// Whether everybody got it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let taken = |(_, fate): &(u32, Fate)| matches!(fate, Fate::Delivered(_));
        self.fates.iter().all(taken)
    }
}

/// An envelope that is on its way, and how many replies come ahead of that to its MAIL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    ahead: usize,
}

/// Sends a parcel. `begun`: its envelope is on its way. `attempt` notes it in the spool.
/// `behind`: the envelope that may follow its end, where the destination has PIPELINING;
/// answered with whether it does.
pub(super) async fn deliver(
    connection: &mut Connection,
    parcel: Parcel<'_>,
    begun: Option<Begun>,
    attempt: impl Future<Output = Result<(), SpoolError>>,
    behind: Option<&Commands>,
    orders: &mut watch::Receiver<Orders>,
) -> (Outcome, Option<Begun>) {
    let Parcel {
        shipment,
        commands,
        content,
    } = parcel;
    let talk = async {
        tokio::select! {
            biased;
            _ = orders.wait_for(|orders| *orders >= Orders::Stop) => Talk::Broken(None),
            talk = talk(&commands, connection, begun) => talk,
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
        return (shipment.all(&Fate::Failed(failure), false, false), None);
    }
    let said = match talk {
        Talk::Broken(None) => {
            let failure = failure(Phase::Mail, FailureKind::Stopped);
            return (shipment.all(&Fate::Back(failure), true, false), None);
        }
        Talk::Broken(Some(failure)) => {
            return (shipment.all(&Fate::Failed(failure), true, false), None);
        }
        Talk::Said(said) => said,
    };
    if !said.go_ahead {
        let reusable = !said.closing && !said.lone_go_ahead;
        return (shipment.outcome(said.fates, reusable), None);
    }
    Failpoint::ReleaseAttempted.pass();
    let chunked = !matches!(content, Content::Data { .. });
    let sent = match content {
        Content::Data { head, body } => send(connection, head, body, orders).await,
        Content::Gathered(chunk) => chunk.send_gathered(connection, orders).await,
        Content::Chunk { chunk, body } => chunk.send(connection, body, orders).await,
    };
    if let Sent::Broken(fate) = sent {
        let fates = settle(said.fates, &fate);
        return (shipment.outcome(fates, false), None);
    }
    Failpoint::ReleaseSent.pass();
    let mut next = None;
    // Part of an envelope may have left, behind which nothing is understood.
    let mut torn = false;
    if let Some(behind) = behind
        && connection.features.pipelining
        && !chunked
    {
        // Whatever is answered to the message, its transaction has ended.
        connection.needs_reset = false;
        match behind.take_off(connection).await {
            Ok(ahead) => next = Some(Begun { ahead }),
            Err(_) => torn = true,
        }
    }
    let (fates, reusable) = replies(connection, said.fates, orders).await;
    let reusable = reusable && !torn;
    connection.needs_reset = next.is_some() || (chunked && is_refused(&fates)) || !reusable;
    (shipment.outcome(fates, reusable), next)
}

async fn talk(commands: &Commands, connection: &mut Connection, begun: Option<Begun>) -> Talk {
    match begun {
        Some(Begun { ahead }) => commands.hear(connection, ahead).await,
        None => commands.carry_out(connection).await,
    }
}

/// Gives a fate to everybody who has none yet.
pub(super) fn settle(mut fates: Vec<Option<Fate>>, fate: &Fate) -> Vec<Option<Fate>> {
    for slot in fates.iter_mut().filter(|slot| slot.is_none()) {
        *slot = Some(fate.clone());
    }
    fates
}

/// The attempt cannot be noted.
pub(super) fn unnoted(error: &SpoolError) -> FailureKind {
    let detail = error.to_string();
    match error {
        SpoolError::Conflict { .. } => FailureKind::Withdrawn { detail },
        _ => FailureKind::Spool { detail },
    }
}
