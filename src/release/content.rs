//! The message itself, its end, and the replies to it.

use super::{
    connection::Connection,
    deliver::{Fate, Orders, settle},
    reply::{Failure, FailureKind, Phase},
};
use crate::{
    config::DestinationProtocol,
    smtp::data::Encoder,
    spool::{Body, SpoolError},
};
use std::time::Duration;
use tokio::sync::watch;

/// What is written at once of a long message.
const WRITE_BYTES: usize = 64 * 1024;
/// How long to wait for the reason when the destination hangs up in mid-message.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How far the message got.
pub(super) enum Sent {
    /// To its end.
    Whole,
    /// This far; a fate for everybody who was accepted.
    Broken(Fate),
}

/// Trace header, message, end of data. Small messages leave in one write.
pub(super) async fn send(
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

pub(super) fn broken(connection: &Connection, kind: FailureKind) -> Sent {
    Sent::Broken(Fate::Failed(connection.failure(Phase::Data, kind)))
}

pub(super) fn stopped(connection: &Connection) -> Sent {
    let failure = connection.failure(Phase::Data, FailureKind::Stopped);
    Sent::Broken(Fate::Back(failure))
}

/// A destination that hangs up in mid-message has often said why.
pub(super) async fn last_words(connection: &mut Connection, failure: Failure) -> Sent {
    let patience = LAST_WORDS.min(connection.timeouts.data);
    match connection.reply(Phase::Data, patience).await {
        Ok(reply) if !reply.is_positive() && reply.code != 354 => {
            broken(connection, FailureKind::Said(reply))
        }
        _ => Sent::Broken(Fate::Failed(failure)),
    }
}

/// The reply to the end of data: one, or in LMTP one for each accepted recipient in
/// their order (RFC 2033 §4.2). Also tells whether the connection can be used again; whether
/// after RSET only, the caller knows.
pub(super) async fn replies(
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
        connection.delivered += 1;
    }
    (fates, reusable)
}
