//! Messages read from the source, in batches.

use super::{Meta, Source};
use crate::mover::{
    copy::{Failure, Message},
    flags::Permanent,
};
use std::collections::HashMap;

/// Messages in a batch.
const BATCH_MESSAGES_MAX: usize = 200;
/// Bytes in a batch, unless one message alone has more.
const BATCH_BYTES_MAX: u64 = 6 << 20;

/// A batch that was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// What came, by rising UID.
    pub messages: Vec<Message>,
    /// The UIDs of those that the source has no more.
    pub gone: Vec<u32>,
}

/// Reads a batch.
pub async fn read(
    source: &mut impl Source,
    batch: &[Meta],
    permanent: &Permanent,
) -> Result<Reading, Failure> {
    let uids = batch.iter().map(|meta| meta.uid).collect();
    let mut reads: HashMap<u32, _> = (source.fetch(&uids).await?.into_iter())
        .map(|read| (read.uid, read))
        .collect();
    let mut reading = Reading::default();
    for meta in batch {
        let Some(read) = reads.remove(&meta.uid) else {
            reading.gone.push(meta.uid);
            continue;
        };
        reading.messages.push(Message {
            uid: meta.uid,
            identity: read.identity,
            internal_date: meta.internal_date.clone(),
            flags: permanent.filter(&meta.flags).flags,
            body: read.body,
        });
    }
    Ok(reading)
}

/// Cut so that each is bounded in messages and bytes.
pub fn batches(metas: Vec<Meta>) -> Vec<Vec<Meta>> {
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
    if !now.is_empty() {
        all.push(now);
    }
    all
}
