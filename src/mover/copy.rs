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
    hash::Identity,
    state::{At, FolderRecord, MessageRecord, Outcome, State, StateError},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
};

/// A message in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its UID at the source.
    pub uid: u32,
    /// What it is known by.
    pub identity: Identity,
    /// As the source says it; empty where it says none.
    pub internal_date: String,
    /// As the source has them.
    pub flags: Vec<String>,
    /// Its bytes, unchanged.
    pub bytes: Vec<u8>,
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

    /// Appends all of them or none, and tells their UIDs where the server does (UIDPLUS).
    fn append(
        &mut self,
        batch: &[Message],
    ) -> impl Future<Output = Result<Vec<Option<u32>>, Failure>> + Send;

    /// The messages from this UID on.
    fn since(&mut self, uid: u32) -> impl Future<Output = Result<Vec<Found>, Failure>> + Send;
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
    /// It takes nothing now: over quota, throttled, out of order. Nothing was done.
    #[error("not now: {reply}")]
    NotNow {
        /// Its words.
        reply: String,
    },
    /// The connection is gone: what was under way may have been done.
    #[error("connection lost: {detail}")]
    Lost {
        /// How.
        detail: String,
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Copied {
    /// Messages that the target took.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that it did not, by UID at the source, with its words.
    pub refused: Vec<(u32, String)>,
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
        match target.append(&batch).await {
            Ok(mut uids) => {
                uids.resize(batch.len(), None);
                if uids.contains(&None) {
                    // Without UIDPLUS they are the new ones with these bytes.
                    let found = target.since(target_uidnext).await?;
                    uids = assign(batch.iter().map(|message| message.identity), found);
                }
                let mut uids = uids.into_iter();
                let done = records(&batch, |_| Outcome::Copied {
                    target_uid: uids.next().flatten(),
                });
                state.settle(at, &done)?;
                copied.messages += batch.len() as u64;
                copied.bytes += batch.iter().map(|one| one.bytes.len() as u64).sum::<u64>();
            }
            Err(Failure::Refused { reply }) if batch.len() == 1 => {
                let refused = Outcome::Refused {
                    reply: reply.clone(),
                };
                state.settle(at, &records(&batch, |_| refused.clone()))?;
                copied
                    .refused
                    .extend(batch.iter().map(|message| (message.uid, reply.clone())));
            }
            Err(Failure::Refused { .. }) => {
                let mut first = batch;
                let second = first.split_off(first.len() / 2);
                left.push_front(second);
                left.push_front(first);
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(copied)
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
        Outcome::Copied {
            target_uid: Some(uid),
        }
        | Outcome::Expunged {
            target_uid: Some(uid),
        } => {
            taken.insert(uid);
        }
        _ => {}
    })?;
    let Some(from) = intents.iter().map(|(_, _, uidnext)| *uidnext).min() else {
        return Ok(Recovered::default());
    };
    let mut found = target.since(from).await?;
    // Another message of the same bytes that is another's copy is not this one's.
    found.retain(|one| !taken.contains(&one.uid));
    let identities = intents.iter().map(|(_, record, _)| Identity {
        hash: record.hash,
        bytes: record.size,
    });
    let uids = assign(identities, found);
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

/// Makes the map of a folder anew, for one whose UIDs changed, or of which nothing is known:
/// every message of the source (its outcome is of no account) is matched by its bytes with
/// what the target has, so that nothing is sent a second time.
///
/// # Errors
/// [`StateError`]; the old map stays then.
pub fn rebuild(
    state: &State,
    at: At<'_>,
    folder: &FolderRecord,
    source: Vec<(u32, MessageRecord)>,
    found: Vec<Found>,
) -> Result<Recovered, StateError> {
    let identities = source.iter().map(|(_, record)| Identity {
        hash: record.hash,
        bytes: record.size,
    });
    let uids = assign(identities, found);
    let mut recovered = Recovered::default();
    let mut adopted = Vec::new();
    for ((uid, mut record), target_uid) in source.into_iter().zip(uids) {
        if target_uid.is_some() {
            record.outcome = Outcome::Copied { target_uid };
            adopted.push((uid, record));
        } else {
            recovered.missing.push(uid);
        }
    }
    recovered.adopted = adopted.len() as u64;
    state.replace_messages(at, folder, &adopted)?;
    Ok(recovered)
}

/// For each message one that was found with its bytes, each given once, in their order.
fn assign(wanted: impl Iterator<Item = Identity>, mut found: Vec<Found>) -> Vec<Option<u32>> {
    found.sort_by_key(|one| one.uid);
    let mut uids: HashMap<Identity, VecDeque<u32>> = HashMap::new();
    for one in found {
        uids.entry(one.identity).or_default().push_back(one.uid);
    }
    wanted
        .map(|identity| uids.get_mut(&identity)?.pop_front())
        .collect()
}

fn records(
    batch: &[Message],
    mut outcome: impl FnMut(&Message) -> Outcome,
) -> Vec<(u32, MessageRecord)> {
    let record = |message: &Message| MessageRecord {
        hash: message.identity.hash,
        size: message.identity.bytes,
        internal_date: message.internal_date.clone(),
        flags: message.flags.clone(),
        outcome: outcome(message),
    };
    batch
        .iter()
        .map(|one| one.uid)
        .zip(batch.iter().map(record))
        .collect()
}

#[cfg(test)]
mod tests;
