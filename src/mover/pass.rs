//! A pass over one folder: what is new, what changed, what went.
//!
//! Where the folder stands is noted last, so that a pass that fails anywhere is done again
//! from where its messages' records are. Nothing here changes the source: [`Source`] has no
//! call that could.
//!
//! A folder of any size takes little memory: UIDs are kept as ranges, and what else is known
//! of messages for a window of them at a time. While a batch is appended the next one is
//! read.

mod expunged;
mod flagging;
mod reading;
mod unread;
mod verify;

use super::{
    body::Read,
    copy::{Copied, CopyError, Failure, Message, Target, append, recover},
    date,
    flags::{Permanent, left_out},
    folders::Pair,
    keep::keep,
    matching::Matching,
    meter::Gauge,
    pace::{Pace, Went},
    plan::{Flags, Plan, Standing, Work, plan},
    state::{At, FolderRecord, MessageRecord, NoteKind, Outcome, State},
};
use crate::{config::Expunged, failpoint::Failpoint, imap::UidSet};
use flagging::{Settings, carry_flags};
use std::{
    collections::{BTreeSet, VecDeque},
    future::Future,
    path::Path,
    time::Instant,
};
use unread::Unread;
use verify::Verify;

/// Messages whose figures are in memory at once.
const WINDOW_UIDS: u32 = 1000;

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

/// What the source tells of messages without their bodies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scanned {
    /// By rising UID.
    pub metas: Vec<Meta>,
    /// Those that exist and of which it tells nothing.
    pub mute: UidSet,
}

/// What the source gave of a batch.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Messages that came whole.
    pub whole: Vec<Read>,
    /// Those that exist and that it does not give: UID, and its words.
    pub unreadable: Vec<(u32, String)>,
}

/// The folder at the source, over one connection: reading only.
pub trait Source: Send {
    /// The UIDs that there are from first to last.
    fn uids(
        &mut self,
        first: u32,
        last: u32,
    ) -> impl Future<Output = Result<UidSet, Failure>> + Send;

    /// Those of these messages that exist; only those changed since a modification sequence,
    /// where one is given.
    fn scan(
        &mut self,
        uids: &UidSet,
        changed_since: Option<u64>,
    ) -> impl Future<Output = Result<Scanned, Failure>> + Send;

    /// Those of these messages that still exist. One that is in neither list of the result is
    /// certainly gone.
    fn fetch(&mut self, uids: &UidSet) -> impl Future<Output = Result<Reads, Failure>> + Send;
}

/// The folder at the target, with what a pass needs beside appending.
pub trait Folder: Target {
    /// How it stands.
    fn open(&mut self) -> impl Future<Output = Result<Opened, Failure>> + Send;

    /// What is known of those of these messages that exist.
    fn scan(&mut self, uids: &UidSet) -> impl Future<Output = Result<Vec<Meta>, Failure>> + Send;

    /// BLAKE3 of the very bytes of those of these messages that exist.
    fn digests(
        &mut self,
        uids: &UidSet,
    ) -> impl Future<Output = Result<Vec<(u32, [u8; 32])>, Failure>> + Send;

    /// Whether single messages can be removed (UIDPLUS): without that, EXPUNGE would take all
    /// that anybody has marked.
    fn can_remove(&self) -> bool;

    /// Removes these messages and no others.
    fn remove(&mut self, uids: &UidSet) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Sets these flags in the place of those that the messages have.
    fn store(
        &mut self,
        uids: &UidSet,
        flags: &[String],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What the target tells of its folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// How many messages it has.
    pub messages: u32,
    /// What it takes as flags.
    pub permanent: Permanent,
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
    /// Messages that the source has no more, and that are kept at the target.
    pub expunged: u64,
    /// Messages that the source has no more, and that were removed at the target.
    pub removed: u64,
    /// Messages that the target did not take.
    pub refused: u64,
    /// Messages that the target has otherwise than the source.
    pub altered: u64,
    /// Messages that the source does not give, and that the pass before did not meet with.
    pub unread: u64,
    /// Flags and keywords that the target does not take.
    pub lost_flags: BTreeSet<String>,
    /// The latest INTERNALDATE of those that were new, in seconds since 1970.
    pub newest_s: Option<i64>,
}

impl Report {
    /// What was new: nothing in the last pass.
    #[must_use]
    pub fn found_new(&self) -> u64 {
        self.copied + self.adopted + self.flagged
    }

    /// Adds what was done in another folder.
    pub fn add(&mut self, other: Self) {
        self.copied += other.copied;
        self.bytes += other.bytes;
        self.adopted += other.adopted;
        self.flagged += other.flagged;
        self.expunged += other.expunged;
        self.removed += other.removed;
        self.refused += other.refused;
        self.altered += other.altered;
        self.unread += other.unread;
        self.lost_flags.extend(other.lost_flags);
        self.newest_s = self.newest_s.max(other.newest_s);
    }
}

/// Which folder, and how it stood before anything was read: what arrives meanwhile is new
/// in the next pass.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Which, by the source's names.
    pub at: At<'a>,
    /// At the source.
    pub standing: Standing,
    /// Its name at the target, as that server sends it.
    pub target_name: &'a [u8],
    /// UIDVALIDITY at the target, where the list of its folders told.
    pub target_uidvalidity: Option<u32>,
}

impl<'a> Job<'a> {
    /// Of a folder that the lists told of; none where the source does not tell how it stands.
    #[must_use]
    pub fn of(at: At<'a>, pair: &'a Pair) -> Option<Self> {
        Some(Self {
            at,
            standing: pair.standing()?,
            target_name: pair.target.raw(),
            target_uidvalidity: pair.target_uidvalidity(),
        })
    }
}

/// What a pass over a folder is counted and paced by.
#[derive(Debug)]
pub struct Course<'a> {
    /// How far it is.
    pub gauge: &'a Gauge<'a>,
    /// How much is sent at once.
    pub pace: &'a mut Pace,
    /// What was done, also by a pass that fails.
    pub report: &'a mut Report,
    /// Where messages are kept that the target does not take.
    pub keep: Option<&'a Path>,
    /// What becomes of the copies of messages that the source has no more.
    pub expunged: Expunged,
}

/// Whether there is nothing to do in a folder, as far as the lists of folders told.
///
/// # Errors
/// [`CopyError::State`].
pub fn is_done(state: &State, job: &Job<'_>) -> Result<bool, CopyError> {
    let known = state.folder(job.at)?;
    Ok(plan(known.as_ref(), &job.standing, job.target_uidvalidity) == Plan::Skip)
}

/// Goes through a folder once, which is open at both sides.
///
/// # Errors
/// [`CopyError`]: what is done is noted; the next pass goes on there.
pub async fn folder(
    state: &State,
    job: &Job<'_>,
    opened: &Opened,
    source: &mut impl Source,
    target: &mut impl Folder,
    course: Course<'_>,
) -> Result<(), CopyError> {
    let (at, standing) = (job.at, &job.standing);
    let known = state.folder(at)?;
    let report = course.report;
    let (mut record, work) = match (
        plan(known.as_ref(), standing, Some(opened.uidvalidity)),
        known,
    ) {
        (Plan::Skip, _) => return Ok(()),
        (Plan::Continue(work), Some(known)) => (known, work),
        (Plan::Continue(_) | Plan::Rebuild, _) => begin(state, job, opened)?,
    };
    let recovered = recover(state, at, target).await?;
    report.adopted += recovered.adopted;
    let mut matching = match record.match_below {
        Some(below) => Matching::read(state, at, target, below).await?,
        None => Matching::default(),
    };
    let settled = state.settled(at)?;
    let mut unread = Unread::read(state, at)?;
    let first = work.new_from.iter().chain(&recovered.missing).min();
    if let Some(first) = first {
        let last = standing.uidnext.saturating_sub(1);
        let there = match last.saturating_sub(*first) {
            // Looking at each UID costs no more than asking which there are.
            0..WINDOW_UIDS => UidSet::range(*first, last),
            _ => source.uids(*first, last).await?,
        };
        let new: UidSet = there.iter().filter(|uid| !settled.contains(*uid)).collect();
        let expunged = |uid: &&u32| !there.contains(**uid);
        vanish(state, at, recovered.missing.iter().filter(expunged))?;
        let mut copier = Copier {
            state,
            at,
            permanent: &opened.permanent,
            gauge: course.gauge,
            pace: course.pace,
            keep: course.keep,
            unread,
        };
        for window in new.chunks(usize::MAX, WINDOW_UIDS) {
            copier
                .window(source, target, &window, &mut matching, report)
                .await?;
        }
        unread = copier.unread;
    }
    let settings = Settings {
        state,
        at,
        permanent: &opened.permanent,
    };
    carry_flags(&settings, source, target, work.flags, &settled, report).await?;
    let mut listed = true;
    if work.expunged {
        let policy = (course.expunged, standing.messages);
        listed = expunged::follow(state, at, source, target, policy, report).await?;
    }
    Failpoint::MovePassed.pass();
    // Those that cannot be read are new again in the next pass.
    record.source_uidnext = unread.first().unwrap_or(standing.uidnext);
    if listed {
        record.source_messages = standing.messages;
    }
    record.source_highestmodseq = standing.highestmodseq;
    record.match_below = None;
    state.put_folder(at, &record)?;
    Ok(())
}

/// Begins the map anew: every message is new, and may be at the target already.
fn begin(state: &State, job: &Job<'_>, opened: &Opened) -> Result<(FolderRecord, Work), CopyError> {
    let record = FolderRecord {
        source_uidvalidity: job.standing.uidvalidity,
        source_uidnext: 1,
        source_messages: 0,
        source_highestmodseq: None,
        target_name: job.target_name.to_vec(),
        target_uidvalidity: opened.uidvalidity,
        match_below: (opened.messages > 0).then_some(opened.uidnext),
    };
    state.begin(job.at, &record)?;
    let work = Work {
        new_from: Some(1),
        flags: Flags::Unchanged,
        expunged: false,
    };
    Ok((record, work))
}

/// What a window of new messages is copied with.
struct Copier<'a> {
    state: &'a State,
    at: At<'a>,
    permanent: &'a Permanent,
    gauge: &'a Gauge<'a>,
    pace: &'a mut Pace,
    keep: Option<&'a Path>,
    unread: Unread,
}

impl Copier<'_> {
    async fn window(
        &mut self,
        source: &mut impl Source,
        target: &mut impl Folder,
        window: &UidSet,
        matching: &mut Matching,
        report: &mut Report,
    ) -> Result<(), CopyError> {
        let Scanned { metas, mute } = source.scan(window, None).await?;
        let mut there: UidSet = metas.iter().map(|meta| meta.uid).collect();
        there.extend(&mute);
        let mut gone: Vec<u32> = window.iter().filter(|uid| !there.contains(*uid)).collect();
        for uid in mute.iter() {
            let why = "it does not tell what that message is";
            report.unread += self.unread.add(self.state, self.at, uid, 0, why)?;
        }
        for meta in &metas {
            let lost = self.permanent.filter(&meta.flags).lost;
            report.lost_flags.extend(lost);
            let date = date::seconds(&meta.internal_date);
            report.newest_s = report.newest_s.max(date);
        }
        let mut verify = Verify::default();
        let mut ready: Vec<Message> = Vec::new();
        let mut left = VecDeque::from(metas);
        loop {
            let batch = reading::batch(&mut left, *self.pace);
            if batch.is_empty() && ready.is_empty() {
                break;
            }
            verify.expect(&ready).await;
            let permanent = self.permanent;
            let next = reading::read(source, &batch, permanent);
            let now = self.append(target, std::mem::take(&mut ready));
            let (next, now) = tokio::join!(next, now);
            self.count(now?, &mut verify, report);
            let mut next = next?;
            gone.append(&mut next.gone);
            for (uid, size, why) in next.unreadable {
                report.unread += self.unread.add(self.state, self.at, uid, size, &why)?;
                self.gauge.pass(1, size);
            }
            let came = next.messages.iter().map(|message| message.uid);
            self.unread.came(self.state, self.at, came)?;
            ready = self.adopt(target, next.messages, matching, report).await?;
        }
        vanish(self.state, self.at, gone.iter())?;
        self.unread.came(self.state, self.at, gone.into_iter())?;
        report.altered += verify.compare(self.state, self.at, target).await?;
        Ok(())
    }

    /// Appends a batch, and learns from how that went.
    async fn append(
        &mut self,
        target: &mut impl Folder,
        batch: Vec<Message>,
    ) -> Result<Copied, CopyError> {
        if batch.is_empty() {
            return Ok(Copied::default());
        }
        let begun = Instant::now();
        let copied = append(self.state, self.at, target, batch).await?;
        if let Some(directory) = self.keep {
            for refused in &copied.refused {
                keep(directory, self.at, refused).await?;
            }
        }
        self.pace.learn(match copied.cuts {
            0 => Went::Whole(begun.elapsed()),
            _ => Went::Refused,
        });
        Ok(copied)
    }

    fn count(&self, copied: Copied, verify: &mut Verify, report: &mut Report) {
        let messages = copied.messages.len() as u64;
        self.gauge.copy(messages, copied.bytes);
        self.gauge.pass(copied.refused.len() as u64, 0);
        report.copied += messages;
        report.bytes += copied.bytes;
        report.refused += copied.refused.len() as u64;
        verify.copied(&copied.messages);
    }

    /// Notes those that the target has already, with their flags, and gives the others.
    async fn adopt(
        &self,
        target: &mut impl Folder,
        messages: Vec<Message>,
        matching: &mut Matching,
        report: &mut Report,
    ) -> Result<Vec<Message>, CopyError> {
        let (mut others, mut adopted) = (Vec::new(), Vec::new());
        for message in messages {
            match matching.take(message.known) {
                Some(uid) => adopted.push((message, uid)),
                None => others.push(message),
            }
        }
        if adopted.is_empty() {
            return Ok(others);
        }
        let flags = adopted
            .iter()
            .map(|(message, uid)| (*uid, &message.flags[..]));
        let lacking = flagging::store(target, flags).await?;
        for (message, uid) in &adopted {
            if let Some(keywords) = lacking.get(uid) {
                let note = super::copy::note(message, NoteKind::Altered, left_out(keywords));
                self.state.note(self.at, message.uid, &note)?;
            }
        }
        let records: Vec<(u32, MessageRecord)> = (adopted.iter())
            .map(|(message, uid)| {
                let outcome = Outcome::Found { target_uid: *uid };
                (message.uid, super::copy::record(message, outcome))
            })
            .collect();
        self.state.settle(self.at, &records)?;
        report.adopted += adopted.len() as u64;
        let bytes = adopted.iter().map(|(message, _)| message.body.len());
        self.gauge.pass(adopted.len() as u64, bytes.sum());
        Ok(others)
    }
}

/// Notes those that were about to be sent before a crash, and that the source has no more.
fn vanish<'u>(
    state: &State,
    at: At<'_>,
    uids: impl Iterator<Item = &'u u32>,
) -> Result<(), CopyError> {
    let mut records = Vec::new();
    for uid in uids {
        if let Some(mut record) = state.message(at, *uid)? {
            record.outcome = Outcome::Vanished;
            records.push((*uid, record));
        }
    }
    if !records.is_empty() {
        state.settle(at, &records)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
