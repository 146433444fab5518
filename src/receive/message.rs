//! One message, from DATA's 354 to its reply.

use super::{answers, intake::Intake, log, server::Shared};
use crate::{
    mail::{Client, Envelope, QueueId},
    net::{Expect, Wire, WireError},
    smtp::{Reply, Session, Transaction, data::Decoder},
    spool::Draft,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// How a message ended.
pub(super) enum Outcome {
    /// It is on stable storage, and the client was told so.
    Kept(QueueId),
    /// It is not, and the client is to be told.
    Refused(Reply),
    /// It is refused, and there is too much of it to wait for its end.
    GivenUp(Reply),
    /// The client is gone, or was too slow.
    Broken(WireError),
}

/// Takes the message in and makes it durable.
pub(super) async fn receive(
    shared: &Shared,
    wire: &mut Wire,
    transaction: Transaction,
    client: Client,
) -> Outcome {
    let mut intake = Intake::new(&*shared.spool, shared.limits.message_size_bytes);
    let bare_newlines = match read(shared, wire, &mut intake).await {
        Ok(Some(bare_newlines)) => bare_newlines,
        Ok(None) => return Outcome::GivenUp(Session::too_large()),
        Err(error) => {
            shared.counters.count_lost();
            log::broken_off_in_data(&error, intake.bytes(), client.ip);
            return Outcome::Broken(error);
        }
    };
    let draft = match intake.finish().await {
        Ok(draft) => draft,
        Err(reply) => return Outcome::Refused(reply),
    };
    keep(shared, wire, draft, transaction, client, bare_newlines).await
}

/// Reads up to the end-of-data. How many bare newlines there were; none when there is no
/// hope of an end.
async fn read(
    shared: &Shared,
    wire: &mut Wire,
    intake: &mut Intake,
) -> Result<Option<u64>, WireError> {
    let mut decoder = Decoder::new();
    wire.flush().await?;
    loop {
        if wire.input().is_empty() {
            if intake.is_hopeless() {
                return Ok(None);
            }
            // RFC 5321 §4.5.3.2.5: anew for each block.
            wire.set_deadline(shared.command_timeout);
            let grace = super::DATA_GRACE;
            wire.fill(Expect::Bulk { grace }).await?;
        }
        let step = decoder.decode(wire.input());
        intake.take(step.content).await;
        let (consumed, ended) = (step.consumed, step.ended);
        wire.consume(consumed);
        if ended {
            return Ok(Some(decoder.bare_newlines()));
        }
    }
}

/// Commits, and tells the client at once.
async fn keep(
    shared: &Shared,
    wire: &mut Wire,
    draft: Box<dyn Draft>,
    transaction: Transaction,
    client: Client,
    bare_newlines: u64,
) -> Outcome {
    let size = draft.size();
    let message_id = shared.message_id(draft.head());
    let envelope = Envelope {
        reverse_path: transaction.mail.reverse_path,
        recipients: transaction.recipients,
        body: transaction.mail.body,
        smtputf8: transaction.mail.smtputf8,
        ret: transaction.mail.ret,
        envid: transaction.mail.envid,
        client,
        received_ms: now_ms(),
    };
    let receipt = match draft
        .commit_once(envelope.clone(), shared.retry_window)
        .await
    {
        Ok(receipt) => receipt,
        Err(error) => return Outcome::Refused(answers::spool_refusal(&error)),
    };
    // What the client has sent by now does not show that it has seen the 250.
    wire.sip();
    answers::accepted(&receipt).write(wire.output());
    wire.set_deadline(shared.command_timeout);
    let told = wire.flush().await;
    let id = receipt.id();
    if receipt.is_repeated() {
        shared.counters.count_repeated();
        log::repeated(id, &envelope.client);
        return match told {
            Ok(()) => Outcome::Kept(id),
            Err(error) => Outcome::Broken(error),
        };
    }
    shared.counters.count_accepted(size, bare_newlines);
    log::queued(id, &envelope, message_id.as_deref(), size, &*shared.spool);
    if bare_newlines > 0 {
        log::normalized(id, bare_newlines);
    }
    match told {
        Ok(()) => Outcome::Kept(id),
        Err(error) => Outcome::Broken(error),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
