//! A pass over one folder: what is new, what changed, what went.
//!
//! Where the folder stands is noted last, so that a pass that fails anywhere is done again
//! from where its messages' records are. Nothing here changes the source: [`Source`] has no
//! call that could.

use super::{
    copy::{CopyError, Failure, Message, Target, append, rebuild, recover},
    flags::Permanent,
    hash::identity,
    plan::{Flags, Plan, Standing, Work, plan},
    state::{At, FolderRecord, MessageRecord, Outcome, State},
};
use std::{
    collections::{BTreeSet, HashSet},
    future::Future,
};

/// Messages in a batch.
const BATCH_MESSAGES_MAX: usize = 100;
/// Bytes in a batch, unless one message alone has more.
const BATCH_BYTES_MAX: u64 = 8 << 20;

/// What the source tells of a message without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// UID.
    pub uid: u32,
    /// RFC822.SIZE in bytes.
    pub size: u64,
    /// INTERNALDATE; empty where the source says none.
    pub internal_date: String,
    /// Flags and keywords.
    pub flags: Vec<String>,
}

/// The folder at the source, over one connection: reading only.
pub trait Source: Send {
    /// STATUS.
    fn standing(&mut self) -> impl Future<Output = Result<Standing, Failure>> + Send;

    /// The messages from this UID on; only those changed since a modification sequence,
    /// where one is given.
    fn scan(
        &mut self,
        from: u32,
        changed_since: Option<u64>,
    ) -> impl Future<Output = Result<Vec<Meta>, Failure>> + Send;

    /// The bytes of those of these messages that still exist, by rising UID.
    fn fetch(
        &mut self,
        uids: &[u32],
    ) -> impl Future<Output = Result<Vec<(u32, Vec<u8>)>, Failure>> + Send;
}

/// The folder at the target, with what a pass needs beside appending.
pub trait Folder: Target {
    /// UIDVALIDITY.
    fn uidvalidity(&mut self) -> impl Future<Output = Result<u32, Failure>> + Send;

    /// What it takes as flags.
    fn permanent(&mut self) -> impl Future<Output = Result<Permanent, Failure>> + Send;

    /// Sets these flags in the place of those that a message has.
    fn store(
        &mut self,
        uid: u32,
        flags: &[String],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a pass did in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Messages that it copied.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that were found at the target already.
    pub adopted: u64,
    /// Messages whose flags it changed.
    pub flagged: u64,
    /// Messages that the source has no more; they are kept.
    pub expunged: u64,
    /// Messages that the target did not take, by UID at the source, with its words.
    pub refused: Vec<(u32, String)>,
    /// Flags and keywords that the target does not take.
    pub lost_flags: BTreeSet<String>,
}

impl Report {
    /// What was new: nothing in the last pass.
    #[must_use]
    pub fn found_new(&self) -> u64 {
        self.copied + self.adopted + self.flagged
    }
}

/// Goes through a folder once.
///
/// # Errors
/// [`CopyError`]: what is done is noted; the next pass goes on there.
pub async fn folder(
    state: &State,
    at: At<'_>,
    source: &mut impl Source,
    target: &mut impl Folder,
    target_name: &[u8],
) -> Result<Report, CopyError> {
    // Before anything is read: what arrives meanwhile is new in the next pass.
    let standing = source.standing().await?;
    let known = state.folder(at)?;
    let target_uidvalidity = target.uidvalidity().await?;
    let mut record = FolderRecord {
        source_uidvalidity: standing.uidvalidity,
        source_uidnext: 1,
        source_messages: 0,
        source_highestmodseq: None,
        target_name: target_name.to_vec(),
        target_uidvalidity,
    };
    let mut report = Report::default();
    let work = match plan(known.as_ref(), &standing, Some(target_uidvalidity)) {
        Plan::Skip => return Ok(report),
        Plan::Continue(work) => work,
        Plan::Rebuild => {
            let permanent = target.permanent().await?;
            report.adopted = match_all(state, at, source, target, &record, &permanent).await?;
            Work {
                new_from: Some(1),
                flags: Flags::All,
                expunged: false,
            }
        }
    };
    let permanent = target.permanent().await?;
    let recovered = recover(state, at, target).await?;
    report.adopted += recovered.adopted;
    let first = work.new_from.iter().chain(&recovered.missing).min();
    if let Some(first) = first {
        let again: HashSet<u32> = recovered.missing.iter().copied().collect();
        let mut new = Vec::new();
        for meta in source.scan(*first, None).await? {
            if again.contains(&meta.uid) || state.message(at, meta.uid)?.is_none() {
                new.push(meta);
            }
        }
        copy(
            state,
            at,
            source,
            target,
            &permanent,
            new,
            &again,
            &mut report,
        )
        .await?;
    }
    carry_flags(
        state,
        at,
        source,
        target,
        &permanent,
        work.flags,
        &mut report,
    )
    .await?;
    if work.expunged {
        report.expunged = note_expunged(state, at, source).await?;
    }
    record.source_uidnext = standing.uidnext;
    record.source_messages = standing.messages;
    record.source_highestmodseq = standing.highestmodseq;
    state.put_folder(at, &record)?;
    Ok(report)
}

/// Makes the map anew. Reads the source only where the target has something to match.
async fn match_all(
    state: &State,
    at: At<'_>,
    source: &mut impl Source,
    target: &mut impl Folder,
    record: &FolderRecord,
    permanent: &Permanent,
) -> Result<u64, CopyError> {
    let found = target.since(1).await?;
    let mut messages = Vec::new();
    if !found.is_empty() {
        for batch in batches(source.scan(1, None).await?) {
            for message in read(source, &batch, permanent).await? {
                messages.push((
                    message.uid,
                    MessageRecord {
                        hash: message.identity.hash,
                        size: message.identity.bytes,
                        internal_date: message.internal_date,
                        // What the copy has is not known: all are compared after this.
                        flags: vec!["?".into()],
                        outcome: Outcome::Vanished,
                    },
                ));
            }
        }
    }
    Ok(rebuild(state, at, record, messages, found)?.adopted)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call, of what a pass has at hand"
)]
async fn copy(
    state: &State,
    at: At<'_>,
    source: &mut impl Source,
    target: &mut impl Folder,
    permanent: &Permanent,
    new: Vec<Meta>,
    intended: &HashSet<u32>,
    report: &mut Report,
) -> Result<(), CopyError> {
    let mut gone: HashSet<u32> = intended.clone();
    for batch in batches(new) {
        for meta in &batch {
            report.lost_flags.extend(permanent.filter(&meta.flags).lost);
            gone.insert(meta.uid);
        }
        let messages = read(source, &batch, permanent).await?;
        for message in &messages {
            gone.remove(&message.uid);
        }
        let copied = append(state, at, target, messages).await?;
        report.copied += copied.messages;
        report.bytes += copied.bytes;
        report.refused.extend(copied.refused);
    }
    // Those that the source had a moment ago, or before a crash, and has no more.
    for uid in gone {
        let record = state.message(at, uid)?.unwrap_or(MessageRecord {
            hash: [0; 32],
            size: 0,
            internal_date: String::new(),
            flags: Vec::new(),
            outcome: Outcome::Vanished,
        });
        let outcome = Outcome::Vanished;
        state.settle(at, &[(uid, MessageRecord { outcome, ..record })])?;
    }
    Ok(())
}

async fn carry_flags(
    state: &State,
    at: At<'_>,
    source: &mut impl Source,
    target: &mut impl Folder,
    permanent: &Permanent,
    flags: Flags,
    report: &mut Report,
) -> Result<(), CopyError> {
    let changed = match flags {
        Flags::Unchanged => return Ok(()),
        Flags::Since(modseq) => source.scan(1, Some(modseq)).await?,
        Flags::All => source.scan(1, None).await?,
    };
    for meta in changed {
        let kept = permanent.filter(&meta.flags);
        report.lost_flags.extend(kept.lost);
        let Some(mut record) = state.message(at, meta.uid)? else {
            continue;
        };
        let Outcome::Copied {
            target_uid: Some(target_uid),
        } = record.outcome
        else {
            continue;
        };
        if !same(&record.flags, &kept.flags) {
            target.store(target_uid, &kept.flags).await?;
            record.flags = kept.flags;
            state.settle(at, &[(meta.uid, record)])?;
            report.flagged += 1;
        }
    }
    Ok(())
}

async fn note_expunged(
    state: &State,
    at: At<'_>,
    source: &mut impl Source,
) -> Result<u64, CopyError> {
    let there: HashSet<u32> = (source.scan(1, None).await?.iter().map(|meta| meta.uid)).collect();
    let mut gone = Vec::new();
    state.messages(at, |uid, mut record| {
        if let (false, Outcome::Copied { target_uid }) = (there.contains(&uid), &record.outcome) {
            record.outcome = Outcome::Expunged {
                target_uid: *target_uid,
            };
            gone.push((uid, record));
        }
    })?;
    state.settle(at, &gone)?;
    Ok(gone.len() as u64)
}

async fn read(
    source: &mut impl Source,
    batch: &[Meta],
    permanent: &Permanent,
) -> Result<Vec<Message>, Failure> {
    let uids: Vec<u32> = batch.iter().map(|meta| meta.uid).collect();
    let bodies = source.fetch(&uids).await?;
    let messages = bodies.into_iter().filter_map(|(uid, bytes)| {
        let meta = batch.iter().find(|meta| meta.uid == uid)?;
        Some(Message {
            uid,
            identity: identity(&bytes),
            internal_date: meta.internal_date.clone(),
            flags: permanent.filter(&meta.flags).flags,
            bytes,
        })
    });
    Ok(messages.collect())
}

/// Cut so that each is bounded in messages and bytes.
fn batches(metas: Vec<Meta>) -> Vec<Vec<Meta>> {
    let (mut all, mut now, mut bytes) = (Vec::new(), Vec::new(), 0);
    for meta in metas {
        let full = now.len() >= BATCH_MESSAGES_MAX || bytes + meta.size > BATCH_BYTES_MAX;
        if full && !now.is_empty() {
            all.push(std::mem::take(&mut now));
            bytes = 0;
        }
        bytes += meta.size;
        now.push(meta);
    }
    all.push(now);
    all
}

/// Whether they are the same flags; these have no case and no order.
fn same(one: &[String], other: &[String]) -> bool {
    let set = |flags: &[String]| -> BTreeSet<String> {
        flags.iter().map(|flag| flag.to_lowercase()).collect()
    };
    set(one) == set(other)
}

#[cfg(test)]
mod tests;
