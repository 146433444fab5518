//! One message, from DATA's 354 or its first chunk to its reply.

use super::{answers, intake::Intake, log, patience::Patience, shared::Shared, who::Who};
use crate::{
    config::BareNewline,
    mail::{Client, Envelope, Hops, QueueId, Recipient},
    net::{Wire, WireError},
    smtp::{Reply, Session, Transaction, Verb, data::Decoder},
    spool::Draft,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// How a message or a chunk of it ended.
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

/// A message that is coming in: what of its bytes is still held back, and what is kept.
pub(super) struct Incoming {
    decoder: Decoder,
    intake: Intake,
    hops: Hops,
    patience: Patience,
    /// Whose it is.
    who: Who,
}

/// What an [`Incoming`] has come to.
struct Whole {
    draft: Box<dyn Draft>,
    /// How many bare line ends have become CRLF.
    bare_newlines: u64,
    /// Whether the last line got its end from us.
    completed: bool,
}

impl Incoming {
    /// With DATA.
    fn data(shared: &Shared, who: Who, to: &[Recipient]) -> Self {
        Self::with(Decoder::new(), shared, who, to)
    }

    /// With BDAT.
    pub(super) fn chunks(shared: &Shared, who: Who, to: &[Recipient]) -> Self {
        Self::with(Decoder::chunked(), shared, who, to)
    }

    fn with(decoder: Decoder, shared: &Shared, who: Who, to: &[Recipient]) -> Self {
        Self {
            decoder,
            hops: Hops::new(&shared.limits.hostname),
            patience: Patience::new(shared.command_timeout),
            who,
            intake: Intake::new(&*shared.spool, shared.message_size_bytes(to)),
        }
    }

    /// Reads up to the end-of-data.
    async fn read_data(&mut self, shared: &Shared, wire: &mut Wire) -> Result<(), Outcome> {
        wire.flush().await.map_err(Outcome::Broken)?;
        loop {
            if wire.input().is_empty() {
                self.more(shared, wire, Verb::Data).await?;
            }
            let step = self.decoder.decode(wire.input());
            self.hops.push(step.content);
            self.intake.take(step.content).await;
            let (consumed, ended) = (step.consumed, step.ended);
            wire.consume(consumed);
            if ended {
                return Ok(());
            }
        }
    }

    /// Reads a chunk. Nothing is refused before its end, since its client does not listen
    /// before (RFC 3030 §2).
    pub(super) async fn read_chunk(
        &mut self,
        shared: &Shared,
        wire: &mut Wire,
        bytes: u64,
    ) -> Result<(), Outcome> {
        if is_endless(shared, bytes) {
            return Err(Outcome::GivenUp(Session::too_large()));
        }
        let mut left = bytes;
        while left > 0 {
            if wire.input().is_empty() {
                self.more(shared, wire, Verb::Bdat).await?;
            }
            let chunk = cut(wire.input(), left);
            let step = self.decoder.decode(chunk);
            self.hops.push(step.content);
            self.intake.take(step.content).await;
            let consumed = step.consumed;
            wire.consume(consumed);
            left -= consumed as u64;
        }
        self.intake
            .refusal()
            .map_or(Ok(()), |reply| Err(Outcome::Refused(reply)))
    }

    /// Waits for more of it, if there is hope of an end.
    async fn more(&mut self, shared: &Shared, wire: &mut Wire, verb: Verb) -> Result<(), Outcome> {
        if self.intake.is_hopeless() {
            return Err(Outcome::GivenUp(Session::too_large()));
        }
        self.patience.fill(wire).await.map_err(|error| {
            shared.counters.count_lost();
            log::broken_off_in_data(&error, verb, self.intake.bytes(), &self.who);
            Outcome::Broken(error)
        })
    }

    async fn finish(mut self, bare_newline: BareNewline) -> Result<Whole, Outcome> {
        loop {
            let rest = self.decoder.finish();
            if rest.is_empty() {
                break;
            }
            self.intake.take(rest).await;
        }
        let draft = self.intake.finish().await.map_err(Outcome::Refused)?;
        if bare_newline == BareNewline::Reject && self.decoder.bare_newlines() > 0 {
            return Err(Outcome::Refused(answers::bare_newline()));
        }
        if let Some(found) = self.hops.verdict() {
            return Err(Outcome::Refused(answers::mail_loop(found)));
        }
        Ok(Whole {
            draft,
            bare_newlines: self.decoder.bare_newlines(),
            completed: self.decoder.completed(),
        })
    }
}

/// Whether a chunk is announced that nobody would wait for, to refuse it then.
fn is_endless(shared: &Shared, bytes: u64) -> bool {
    bytes > shared.limits.message_size_bytes.saturating_mul(2)
}

/// As much of the input as belongs to the chunk.
fn cut(input: &[u8], left: u64) -> &[u8] {
    let bytes = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    input.get(..bytes).unwrap_or_default()
}

/// Takes the message in with DATA and makes it durable.
pub(super) async fn receive(
    shared: &Shared,
    wire: &mut Wire,
    transaction: Transaction,
    who: Who,
    client: Client,
) -> Outcome {
    let mut incoming = Incoming::data(shared, who, &transaction.recipients);
    match incoming.read_data(shared, wire).await {
        Ok(()) => complete(shared, wire, incoming, transaction, client).await,
        Err(outcome) => outcome,
    }
}

/// Takes the last chunk in and makes the message durable.
pub(super) async fn receive_last(
    shared: &Shared,
    wire: &mut Wire,
    mut incoming: Incoming,
    bytes: u64,
    transaction: Transaction,
    client: Client,
) -> Outcome {
    match incoming.read_chunk(shared, wire, bytes).await {
        Ok(()) => complete(shared, wire, incoming, transaction, client).await,
        Err(outcome) => outcome,
    }
}

/// Throws a chunk away.
pub(super) async fn discard(shared: &Shared, wire: &mut Wire, bytes: u64, reply: Reply) -> Outcome {
    if is_endless(shared, bytes) {
        return Outcome::GivenUp(reply);
    }
    let mut left = bytes;
    let mut patience = Patience::new(shared.command_timeout);
    while left > 0 {
        if wire.input().is_empty()
            && let Err(error) = patience.fill(wire).await
        {
            return Outcome::Broken(error);
        }
        let consumed = cut(wire.input(), left).len();
        wire.consume(consumed);
        left -= consumed as u64;
    }
    Outcome::Refused(reply)
}

async fn complete(
    shared: &Shared,
    wire: &mut Wire,
    incoming: Incoming,
    transaction: Transaction,
    client: Client,
) -> Outcome {
    match incoming.finish(shared.bare_newline).await {
        Ok(whole) => keep(shared, wire, whole, transaction, client).await,
        Err(outcome) => outcome,
    }
}

/// Commits, and tells the client at once.
async fn keep(
    shared: &Shared,
    wire: &mut Wire,
    whole: Whole,
    transaction: Transaction,
    client: Client,
) -> Outcome {
    let Whole {
        draft,
        bare_newlines,
        completed,
    } = whole;
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
    let altered = bare_newlines + u64::from(completed);
    shared.counters.count_accepted(size, altered);
    log::queued(id, &envelope, message_id.as_deref(), size, &*shared.spool);
    if bare_newlines > 0 {
        log::normalized(id, bare_newlines);
    }
    if completed {
        log::completed(id);
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
