//! Flags that changed at the source, set at the target.

use super::{Folder, Report, Source, WINDOW_UIDS};
use crate::{
    imap::UidSet,
    mover::{
        copy::{CopyError, Failure},
        flags::{Permanent, left_out, parted},
        plan::Flags,
        state::{At, NoteKind, NoteRecord, Outcome, State},
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What flags are carried with.
pub struct Settings<'a> {
    pub state: &'a State,
    pub at: At<'a>,
    pub permanent: &'a Permanent,
}

/// Carries the flags of those of the known messages that have changed.
pub async fn carry_flags(
    settings: &Settings<'_>,
    source: &mut impl Source,
    target: &mut impl Folder,
    flags: Flags,
    known: &UidSet,
    report: &mut Report,
) -> Result<(), CopyError> {
    let since = match flags {
        Flags::Unchanged => return Ok(()),
        Flags::Since(modseq) => Some(modseq),
        Flags::All => None,
    };
    for window in known.chunks(usize::MAX, WINDOW_UIDS) {
        let mut changed = Vec::new();
        for meta in source.scan(&window, since).await?.metas {
            let kept = settings.permanent.filter(&meta.flags);
            report.lost_flags.extend(kept.lost);
            let Some(mut record) = settings.state.message(settings.at, meta.uid)? else {
                continue;
            };
            let (Outcome::Copied { .. } | Outcome::Found { .. }, Some(target_uid)) =
                (&record.outcome, record.outcome.copy())
            else {
                continue;
            };
            if !same(&record.flags, &kept.flags) {
                record.flags = kept.flags;
                changed.push((target_uid, (meta.uid, record)));
            }
        }
        if changed.is_empty() {
            continue;
        }
        let flags = changed
            .iter()
            .map(|(uid, (_, record))| (*uid, &record.flags[..]));
        let lacking = store(target, flags).await?;
        for (target_uid, (uid, record)) in &changed {
            if let Some(keywords) = lacking.get(target_uid) {
                let note = NoteRecord {
                    kind: NoteKind::Altered,
                    message_id: None,
                    size: record.size,
                    why: left_out(keywords),
                };
                settings.state.note(settings.at, *uid, &note)?;
            }
        }
        report.flagged += changed.len() as u64;
        let records: Vec<_> = changed.into_iter().map(|(_, record)| record).collect();
        settings.state.settle(settings.at, &records)?;
    }
    Ok(())
}

/// Sets flags, all messages with the same ones by one command. Keywords that the target refuses
/// are left out, and given by the UIDs of the messages that lack them: a folder must not fail in
/// each pass for a keyword.
pub async fn store<'f>(
    target: &mut impl Folder,
    flags: impl Iterator<Item = (u32, &'f [String])>,
) -> Result<HashMap<u32, Vec<String>>, Failure> {
    let mut groups: BTreeMap<Vec<String>, UidSet> = BTreeMap::new();
    for (uid, flags) in flags {
        let mut flags = flags.to_vec();
        flags.sort_unstable();
        groups.entry(flags).or_default().insert(uid);
    }
    let mut lacking = HashMap::new();
    for (flags, uids) in groups {
        let (system, keywords) = parted(&flags);
        match target.store(&uids, &flags).await {
            Err(Failure::Refused { .. }) if !keywords.is_empty() => {
                target.store(&uids, &system).await?;
                lacking.extend(uids.iter().map(|uid| (uid, keywords.clone())));
            }
            done => done?,
        }
    }
    Ok(lacking)
}

/// Whether they are the same flags; these have no case and no order.
fn same(one: &[String], other: &[String]) -> bool {
    let set = |flags: &[String]| -> BTreeSet<String> {
        flags.iter().map(|flag| flag.to_lowercase()).collect()
    };
    set(one) == set(other)
}
