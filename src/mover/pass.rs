//! A pass over one folder: what is new, what changed, what went.
//!
//! Where the folder stands is noted last, so that a pass that fails anywhere is done again
//! from where its messages' records are. Nothing here changes the source: [`Source`] has no
//! call that could.
//!
//! A folder of any size takes little memory: UIDs are kept as ranges, and what else is known
//! of messages for a window of them at a time. While a batch is appended the next one is
//! read.

mod copier;
mod expunged;
mod flagging;
mod reading;
mod report;
mod sides;
mod unread;
mod verify;

pub use report::Report;
pub use sides::{Folder, Meta, Opened, Reads, Scanned, Source};

use super::{
    copy::{CopyError, recover},
    folders::Pair,
    matching::Matching,
    meter::Gauge,
    pace::Pace,
    plan::{Flags, Place, Plan, Standing, Work, plan},
    state::{At, FolderRecord, State},
};
use crate::{config::Expunged, failpoint::Failpoint, imap::UidSet};
use copier::{Copier, vanish};
use flagging::{Settings, carry_flags};
use std::path::Path;
use unread::Unread;

/// Messages whose figures are in memory at once.
const WINDOW_UIDS: u32 = 1000;

/// Which folder, and how it stood before anything was read: what arrives meanwhile is new
/// in the next pass.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Which, by the source's names.
    pub at: At<'a>,
    /// At the source.
    pub standing: Standing,
    /// Where it goes, as far as the list of folders told.
    pub target: Place<'a>,
}

impl<'a> Job<'a> {
    /// Of a folder that the lists told of, into this mailbox; none where the source does not
    /// tell how it stands.
    #[must_use]
    pub fn of(at: At<'a>, pair: &'a Pair, mailbox: &'a str) -> Option<Self> {
        Some(Self {
            at,
            standing: pair.standing()?,
            target: pair.place(mailbox),
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
    Ok(plan(known.as_ref(), &job.standing, &job.target) == Plan::Skip)
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
    let known = match state.folder(at)? {
        Some(known) => Some(known.reaching(state.highest_copy(at)?)),
        None => None,
    };
    let place = Place {
        uidvalidity: Some(opened.uidvalidity),
        uidnext: Some(opened.uidnext),
        ..job.target
    };
    let report = course.report;
    let (mut record, work) = match (plan(known.as_ref(), standing, &place), known) {
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
        unread.only(state, at, &there)?;
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
    record.source_uidnext = standing.uidnext;
    record.retry_from = unread.first();
    record.source_messages = match listed {
        true => standing.messages,
        // More than there ever are: with UIDNEXT of now no other number would tell the next
        // pass that some are gone.
        false => u32::MAX,
    };
    record.source_highestmodseq = standing.highestmodseq;
    if unread.first().is_none() {
        // Until all are read, a copy of one that was not may be at the target.
        record.match_below = None;
    }
    record.target_uidnext = record.target_uidnext.max(Some(target.uidnext().await?));
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
        target_name: job.target.name.to_vec(),
        target_uidvalidity: opened.uidvalidity,
        match_below: (opened.messages > 0).then_some(opened.uidnext),
        target_mailbox: Some(job.target.mailbox.to_owned()),
        target_uidnext: Some(opened.uidnext),
        retry_from: None,
    };
    state.begin(job.at, &record)?;
    let work = Work {
        new_from: Some(1),
        flags: Flags::Unchanged,
        expunged: false,
    };
    Ok((record, work))
}

#[cfg(test)]
mod tests;
