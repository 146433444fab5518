//! What the source has expunged since it was copied: noted and kept, or removed at the target
//! too.
//!
//! Only what the mover has put there itself is ever removed, by its UID; never what it found
//! there, nor anything of a folder whose UIDs are others than before.

use super::{Folder, Report, Source};
use crate::{
    config::Expunged,
    imap::UidSet,
    mover::{
        copy::CopyError,
        state::{At, MessageRecord, Outcome, State},
    },
};

/// Finds them and does as the configuration says. `messages`: how many the source says that it
/// has. A list that is shorter is not whole, or mail went meanwhile: nothing is believed gone by
/// it, and the next pass looks again. Whether the list was whole.
pub async fn follow(
    state: &State,
    at: At<'_>,
    source: &mut impl Source,
    target: &mut impl Folder,
    (policy, messages): (Expunged, u32),
    report: &mut Report,
) -> Result<bool, CopyError> {
    let there = source.uids(1, u32::MAX).await?;
    if there.len() < u64::from(messages) {
        return Ok(false);
    }
    let (mut kept, mut removed): (Vec<(u32, MessageRecord)>, Vec<_>) = (Vec::new(), Vec::new());
    let mut copies = UidSet::new();
    let mirrors = policy == Expunged::Mirror && target.can_remove();
    state.messages(at, |uid, mut record| {
        if there.contains(uid) {
            return;
        }
        match record.outcome {
            Outcome::Copied {
                target_uid: Some(copy),
            } if mirrors => {
                copies.insert(copy);
                record.outcome = Outcome::Removed;
                removed.push((uid, record));
            }
            Outcome::Copied { .. } | Outcome::Found { .. } => {
                let target_uid = record.outcome.copy();
                record.outcome = Outcome::Expunged { target_uid };
                kept.push((uid, record));
            }
            _ => {}
        }
    })?;
    if !copies.is_empty() {
        // Removed twice, after a crash in between, is removed.
        target.remove(&copies).await?;
    }
    state.settle(at, &removed)?;
    state.settle(at, &kept)?;
    report.removed += removed.len() as u64;
    report.expunged += kept.len() as u64;
    Ok(true)
}
