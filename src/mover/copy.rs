//! Messages into a folder of the target, each exactly once, whatever is lost on the way.
//!
//! [`append`] notes what it is about to send, with the target's UIDNEXT, on stable storage,
//! and sends then. When the reply is lost, or the process dies, the messages stay intents:
//! [`recover`] looks for them at the target from that UIDNEXT on, adopts those that are
//! there, and names those that are not, which are to be sent again.
//!
//! A batch is taken whole or not at all (MULTIAPPEND, RFC 3502). One that is refused is cut
//! in halves until the message that the server does not take stands alone: it is noted with
//! the server's words, and the others go on.

use super::{
    body::Body,
    date, flags,
    hash::{Identity, Known},
    state::{At, MessageRecord, NoteKind, NoteRecord, Outcome, State, StateError},
};
use crate::{failpoint::Failpoint, imap::UidSet};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
    time::Duration,
};

/// A message between the servers.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its UID at the source.
    pub uid: u32,
    /// What it is known by.
    pub known: Known,
    /// As the source says it; empty where it says none.
    pub internal_date: String,
    /// As the source has them, but for what is left out.
    pub flags: Vec<String>,
    /// Keywords that the target has refused.
    pub left_out: Vec<String>,
    /// Its bytes, unchanged.
    pub body: Body,
}

/// A message that was found at the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its UID there.
    pub uid: u32,
    /// What it is known by.
    pub identity: Identity,
}

/// The folder at the target, over one connection.
pub trait Target: Send {
    /// The UID that the next message will have at least.
    fn uidnext(&mut self) -> impl Future<Output = Result<u32, Failure>> + Send;

    /// How long the folder has to stand still before what a connection that is gone left
    /// behind is believed to be over.
    fn quiet(&self) -> Duration;

    /// Appends them, and tells for each how that went, in their order: its UID where the
    /// server tells (UIDPLUS). A server that takes a batch whole or not at all refuses each
    /// message of it.
    fn append(
        &mut self,
        batch: &[Message],
    ) -> impl Future<Output = Vec<Result<Option<u32>, Failure>>> + Send;

    /// The UIDs that there are from first to last.
    fn uids(
        &mut self,
        first: u32,
        last: u32,
    ) -> impl Future<Output = Result<UidSet, Failure>> + Send;

    /// What those of these messages that exist are known by. It reads them.
    fn identities(
        &mut self,
        uids: &UidSet,
    ) -> impl Future<Output = Result<Vec<Found>, Failure>> + Send;
}

/// How the target fails.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// It does not take this, now or ever: nothing of the command was done.
    #[error("refused: {reply}")]
    Refused {
        /// Its words.
        reply: String,
    },
    /// The account is full. Nothing was done.
    #[error("over quota: {reply}")]
    OverQuota {
        /// Its words.
        reply: String,
    },
    /// It takes nothing now: throttled, out of order. Nothing was done.
    #[error("not now: {reply}")]
    NotNow {
        /// Its words.
        reply: String,
        /// How long it asks to be left alone, where it does.
        wait: Option<Duration>,
    },
    /// The connection is gone: what was under way may have been done.
    #[error("{detail}")]
    Lost {
        /// How.
        detail: String,
        /// How long it asks to be left alone, where it does.
        wait: Option<Duration>,
    },
}

/// Why copying stopped.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target, for now: what was not copied is an intent, for the next try.
    #[error(transparent)]
    Target(#[from] Failure),
    /// The state, without which nothing may be sent.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// Messages that the target took, by UID at the source, with their UIDs there.
    pub messages: Vec<(u32, Option<u32>)>,
    /// Their bytes.
    pub bytes: u64,
    /// Those that it did not.
    pub refused: Vec<Refused>,
    /// How often a batch was refused as a whole and cut.
    pub cuts: u64,
}

/// A message that the target does not take.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its UID at the source.
    pub uid: u32,
    /// The server's words.
    pub reply: String,
    /// What it is known by.
    pub hash: [u8; 32],
    /// Its bytes.
    pub body: Body,
}

/// Appends messages, of which none is at the target, in their order.
///
/// # Errors
/// [`CopyError`]: some may be there; [`recover`] tells which.
pub async fn append(
    state: &State,
    at: At<'_>,
    target: &mut impl Target,
    batch: Vec<Message>,
) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let mut left = VecDeque::from([batch]);
    while let Some(batch) = left.pop_front() {
        if batch.is_empty() {
            continue;
        }
        // Asked again for each part, so that the search after a crash is short.
        let target_uidnext = target.uidnext().await?;
        let intent = Outcome::Intended { target_uidnext };
        state.intend(at, &records(&batch, |_| intent.clone()))?;
        Failpoint::MoveIntended.pass();
        let mut results = target.append(&batch).await;
        Failpoint::MoveAppended.pass();
        let short = || Err(lost("the server did not answer for each message"));
        results.resize_with(batch.len(), short);
        let (taken, refused, stop) = sort(batch, results);
        took(state, at, target, target_uidnext, &taken, &mut copied).await?;
        Failpoint::MoveSettled.pass();
        if let Some(failure) = stop {
            return Err(failure.into());
        }
        match <[_; 1]>::try_from(refused) {
            Ok([(message, reply)]) => match plainer(&message) {
                // What it may not like is left out once, which is noted.
                Some((message, why)) => {
                    state.note(at, message.uid, &note(&message, NoteKind::Altered, why))?;
                    left.push_front(vec![message]);
                }
                None => refuse(state, at, &message, reply, &mut copied)?,
            },
            Err(refused) => {
                if refused.is_empty() {
                    continue;
                }
                copied.cuts += 1;
                // Taken whole or not at all: halves, until the one stands alone.
                let mut first: Vec<Message> = refused.into_iter().map(|(one, _)| one).collect();
                let second = first.split_off(first.len() / 2);
                left.push_front(second);
                left.push_front(first);
            }
        }
    }
    Ok(copied)
}

/// A failure of a connection that says what no server may say.
#[must_use]
pub fn lost(detail: &str) -> Failure {
    Failure::Lost {
        detail: detail.to_owned(),
        wait: None,
    }
}

type Sorted = (
    Vec<(Message, Option<u32>)>,
    Vec<(Message, String)>,
    Option<Failure>,
);

/// Those that were taken, those that were refused, and why nothing more can be sent.
fn sort(batch: Vec<Message>, results: Vec<Result<Option<u32>, Failure>>) -> Sorted {
    let (mut taken, mut refused, mut stop) = (Vec::new(), Vec::new(), None);
    for (message, result) in batch.into_iter().zip(results) {
        match result {
            Ok(uid) => taken.push((message, uid)),
            Err(Failure::Refused { reply }) => refused.push((message, reply)),
            Err(failure) => stop = stop.or(Some(failure)),
        }
    }
    (taken, refused, stop)
}

async fn took(
    state: &State,
    at: At<'_>,
    target: &mut impl Target,
    target_uidnext: u32,
    taken: &[(Message, Option<u32>)],
    copied: &mut Copied,
) -> Result<(), CopyError> {
    let mut uids: Vec<Option<u32>> = taken.iter().map(|(_, uid)| *uid).collect();
    if uids.contains(&None) {
        // Without UIDPLUS they are the new ones with these bytes.
        let mut found = since(target, target_uidnext).await?;
        if found.len() > taken.len() {
            // One with the same bytes may be the copy of another.
            let mut copies = HashSet::new();
            state.messages(at, |_, record| copies.extend(record.outcome.copy()))?;
            found.retain(|one| !copies.contains(&one.uid));
        }
        let wanted: Vec<Known> = taken.iter().map(|(message, _)| message.known).collect();
        uids = assign(&wanted, found);
    }
    let mut done = Vec::with_capacity(taken.len());
    for ((message, _), target_uid) in taken.iter().zip(uids) {
        done.push((message.uid, record(message, Outcome::Copied { target_uid })));
        copied.messages.push((message.uid, target_uid));
        copied.bytes += message.body.len();
    }
    state.settle(at, &done)?;
    Ok(())
}

fn refuse(
    state: &State,
    at: At<'_>,
    message: &Message,
    reply: String,
    copied: &mut Copied,
) -> Result<(), StateError> {
    state.note(
        at,
        message.uid,
        &note(message, NoteKind::Refused, reply.clone()),
    )?;
    let refused = Outcome::Refused {
        reply: reply.clone(),
    };
    state.settle(at, &[(message.uid, record(message, refused))])?;
    copied.refused.push(Refused {
        uid: message.uid,
        reply,
        hash: message.known.identity.hash,
        body: message.body.clone(),
    });
    Ok(())
}

/// The message without what servers are known to refuse beside its bytes, and what that is:
/// a date that they cannot store or that is none, then keywords.
fn plainer(message: &Message) -> Option<(Message, String)> {
    let mut plainer = message.clone();
    if let Some(date) = date::clamped(&message.internal_date) {
        let why = format!("date {} is stored as {date}", message.internal_date.trim());
        plainer.internal_date = date;
        return Some((plainer, why));
    }
    if !message.internal_date.is_empty() && date::seconds(&message.internal_date).is_none() {
        let date = message.internal_date.trim();
        let why = format!("date {date:?} is none: it is stored with the time of copying");
        plainer.internal_date = String::new();
        return Some((plainer, why));
    }
    let (flags, keywords) = flags::parted(&message.flags);
    let why = flags::left_out(&keywords);
    plainer.flags = flags;
    plainer.left_out = keywords;
    (!plainer.left_out.is_empty()).then_some((plainer, why))
}

/// A note on a message.
pub(super) fn note(message: &Message, kind: NoteKind, why: String) -> NoteRecord {
    NoteRecord {
        kind,
        message_id: message.body.message_id(),
        size: message.body.len(),
        why,
    }
}

/// What a search after intents gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Messages that had arrived: they are noted as copied.
    pub adopted: u64,
    /// UIDs at the source of those that had not, rising: they are to be sent again.
    pub missing: Vec<u32>,
}

/// Finds out what became of the messages of which only the intent is known. Asks the target
/// only when there are some.
///
/// # Errors
/// [`CopyError`]; nothing is changed then.
pub async fn recover(
    state: &State,
    at: At<'_>,
    target: &mut impl Target,
) -> Result<Recovered, CopyError> {
    let mut intents = Vec::new();
    let mut taken = HashSet::new();
    state.messages(at, |uid, record| match record.outcome {
        Outcome::Intended { target_uidnext } => intents.push((uid, record, target_uidnext)),
        outcome => taken.extend(outcome.copy()),
    })?;
    let Some(from) = intents.iter().map(|(_, _, uidnext)| *uidnext).min() else {
        return Ok(Recovered::default());
    };
    let mut found = settled(target, from).await?;
    // Another message of the same bytes that is another's copy is not this one's.
    found.retain(|one| !taken.contains(&one.uid));
    let wanted: Vec<Known> = (intents.iter())
        .map(|(_, record, _)| record.known())
        .collect();
    let uids = assign(&wanted, found);
    let mut recovered = Recovered::default();
    let mut adopted = Vec::new();
    for ((uid, mut record, _), target_uid) in intents.into_iter().zip(uids) {
        if target_uid.is_some() {
            record.outcome = Outcome::Copied { target_uid };
            adopted.push((uid, record));
        } else {
            recovered.missing.push(uid);
        }
    }
    recovered.adopted = adopted.len() as u64;
    state.settle(at, &adopted)?;
    Ok(recovered)
}

/// The messages from this UID on.
async fn since(target: &mut impl Target, from: u32) -> Result<Vec<Found>, Failure> {
    let uids = target.uids(from, u32::MAX).await?;
    target.identities(&uids).await
}

/// The same once nothing more comes. A server goes on with what it has read of a command when
/// its client is gone: who looks at once, after a crash and a quick start, does not see yet
/// what then arrives beside what is sent again.
async fn settled(target: &mut impl Target, from: u32) -> Result<Vec<Found>, Failure> {
    let mut before = target.uids(from, u32::MAX).await?;
    loop {
        tokio::time::sleep(target.quiet()).await;
        let now = target.uids(from, u32::MAX).await?;
        if now == before {
            return target.identities(&now).await;
        }
        before = now;
    }
}

/// For each message one that was found with its bytes, each given once, in their order; for
/// those that are left, one with what a server may have made of them.
fn assign(wanted: &[Known], mut found: Vec<Found>) -> Vec<Option<u32>> {
    found.sort_by_key(|one| one.uid);
    let mut uids: HashMap<Identity, VecDeque<u32>> = HashMap::new();
    for one in found {
        uids.entry(one.identity).or_default().push_back(one.uid);
    }
    let mut take = |identity: Identity| uids.get_mut(&identity)?.pop_front();
    let exact: Vec<Option<u32>> = wanted.iter().map(|known| take(known.identity)).collect();
    (exact.into_iter().zip(wanted))
        .map(|(uid, known)| uid.or_else(|| take(known.other()?)))
        .collect()
}

fn records(
    batch: &[Message],
    mut outcome: impl FnMut(&Message) -> Outcome,
) -> Vec<(u32, MessageRecord)> {
    (batch.iter())
        .map(|message| (message.uid, record(message, outcome(message))))
        .collect()
}

/// What is noted of a message.
pub(super) fn record(message: &Message, outcome: Outcome) -> MessageRecord {
    MessageRecord {
        hash: message.known.identity.hash,
        ascii_head: message.known.ascii_head,
        size: message.known.identity.bytes,
        internal_date: message.internal_date.clone(),
        flags: [&message.flags[..], &message.left_out].concat(),
        outcome,
    }
}

#[cfg(test)]
mod tests;
