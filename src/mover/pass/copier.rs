//! New messages of a window: those that the target has already are adopted, the others are
//! appended. While a batch is appended the next one is read.

use super::{Folder, Report, Scanned, Source, flagging, reading, unread::Unread, verify::Verify};
use crate::{
    imap::UidSet,
    mover::{
        account::now_s,
        copy::{Copied, CopyError, Message, append, note, record},
        date,
        flags::{Permanent, left_out},
        keep::keep,
        matching::Matching,
        meter::Gauge,
        pace::{Pace, Went},
        state::{At, MessageRecord, NoteKind, Outcome, State},
    },
};
use std::{collections::VecDeque, path::Path, time::Instant};

/// What a window of new messages is copied with.
pub(super) struct Copier<'a> {
    pub state: &'a State,
    pub at: At<'a>,
    pub permanent: &'a Permanent,
    pub gauge: &'a Gauge<'a>,
    pub pace: &'a mut Pace,
    pub keep: Option<&'a Path>,
    pub unread: Unread,
}

impl Copier<'_> {
    pub async fn window(
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
        let now_s = now_s();
        for meta in &metas {
            let lost = self.permanent.filter(&meta.flags).lost;
            report.lost_flags.extend(lost);
            let date = date::arrived(&meta.internal_date, now_s);
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
                let told = note(message, NoteKind::Altered, left_out(keywords));
                self.state.note(self.at, message.uid, &told)?;
            }
        }
        let records: Vec<(u32, MessageRecord)> = (adopted.iter())
            .map(|(message, uid)| {
                let outcome = Outcome::Found { target_uid: *uid };
                (message.uid, record(message, outcome))
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
pub(super) fn vanish<'u>(
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
