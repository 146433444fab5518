//! Messages read from the source, in batches.

use super::{Meta, Reads, Source};
use crate::mover::{
    copy::{Failure, Message},
    flags::Permanent,
    pace::Pace,
};
use std::collections::{HashMap, VecDeque};

/// A batch that was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// What came, by rising UID.
    pub messages: Vec<Message>,
    /// The UIDs of those that the source has no more.
    pub gone: Vec<u32>,
    /// Those that it has and does not give: UID, bytes, and its words.
    pub unreadable: Vec<(u32, u64, String)>,
}

/// Reads a batch.
pub async fn read(
    source: &mut impl Source,
    batch: &[Meta],
    permanent: &Permanent,
) -> Result<Reading, Failure> {
    if batch.is_empty() {
        return Ok(Reading::default());
    }
    let uids = batch.iter().map(|meta| meta.uid).collect();
    let Reads { whole, unreadable } = source.fetch(&uids).await?;
    let mut reads: HashMap<u32, _> = (whole.into_iter()).map(|read| (read.uid, read)).collect();
    let mut unreadable: HashMap<u32, String> = unreadable.into_iter().collect();
    let mut reading = Reading::default();
    for meta in batch {
        let Some(read) = reads.remove(&meta.uid) else {
            match unreadable.remove(&meta.uid) {
                Some(why) => reading.unreadable.push((meta.uid, meta.size, why)),
                None => reading.gone.push(meta.uid),
            }
            continue;
        };
        reading.messages.push(Message {
            uid: meta.uid,
            known: read.known,
            internal_date: meta.internal_date.clone(),
            flags: permanent.filter(&meta.flags).flags,
            left_out: Vec::new(),
            body: read.body,
        });
    }
    Ok(reading)
}

/// Takes the next batch off.
pub fn batch(left: &mut VecDeque<Meta>, pace: Pace) -> Vec<Meta> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(meta) = left.pop_front_if(|meta| {
        batch.is_empty()
            || (batch.len() < pace.messages_max() && bytes + meta.size <= pace.bytes_max())
    }) {
        bytes += meta.size;
        batch.push(meta);
    }
    batch
}
