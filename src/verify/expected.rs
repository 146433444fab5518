//! What the old server had of an account: by the mover's map, by what the old server still
//! tells, or by reading it again.

use super::{
    account::{Pair, Verifier},
    facts::Facts,
    matching::Wanted,
    reader::{Reader, Take},
};
use crate::{
    imap::{Name, UidSet},
    ledger::verified::SourceReach,
    mover::state::{At, MessageRecord, NoteKind, Outcome, State, StateError},
};
use std::collections::HashMap;

/// The messages that should be copies by now.
#[derive(Debug, Default)]
pub struct Copies {
    /// Each of them.
    pub wanted: Vec<Wanted>,
    /// What is known against some, by their place: the target's refusal.
    pub refused: HashMap<usize, String>,
    /// What the mover found altered when it copied, by their place.
    pub altered: HashMap<usize, String>,
    /// Those that the old server has and does not give: pair, UID, why.
    pub unreadable: Vec<(usize, u32, String)>,
    /// What was not looked at as asked, in words.
    pub remarks: Vec<String>,
}

/// What the old server told of a folder now.
#[derive(Debug, Default)]
struct Seen {
    /// Which messages it has; none where it was not asked.
    uids: Option<UidSet>,
    /// The hashes of those that were read.
    read: HashMap<u32, [u8; 16]>,
}

impl Copies {
    /// Takes all messages of a folder pair.
    ///
    /// # Errors
    /// Those of the mover's state.
    pub async fn add(
        &mut self,
        verifier: &Verifier,
        account: &str,
        (place, pair): (usize, &Pair),
        source: Option<&mut Reader<'_>>,
    ) -> Result<(), StateError> {
        let at = At {
            account,
            folder: &pair.source,
        };
        let mut map: Vec<(u32, MessageRecord)> = Vec::new();
        let slim = |uid, record| map.push((uid, slim(record)));
        verifier.state.messages(at, slim)?;
        let mut seen = Seen::default();
        if let Some(source) = source.filter(|_| pair.is_listed) {
            match self
                .ask(verifier.reach, (place, pair), source, &mut map)
                .await
            {
                Ok(told) => seen = told,
                Err(why) => self.remarks.push(format!(
                    "{}: the old server does not show it ({why}); the mover's map alone tells \
                     what it had",
                    pair.shown
                )),
            }
        }
        self.join((place, pair), map, &seen);
        Ok(())
    }

    /// What the old server tells of a folder now, and the hashes of what the map does not know.
    async fn ask(
        &mut self,
        reach: SourceReach,
        (place, pair): (usize, &Pair),
        source: &mut Reader<'_>,
        map: &mut Vec<(u32, MessageRecord)>,
    ) -> Result<Seen, String> {
        let name = Name::from_raw(&pair.source);
        let (selected, uids) = source.look(&name).await?;
        let known = pair.record.as_ref().map(|record| record.source_uidvalidity);
        if known != selected.uidvalidity && !map.is_empty() {
            self.remarks.push(format!(
                "{}: the old server has numbered it anew (UIDVALIDITY) since it was copied: it \
                 is read again",
                pair.shown
            ));
            map.clear();
        }
        let mapped = map.iter().filter(|(_, one)| has_hash(one));
        let mapped: UidSet = mapped.map(|(uid, _)| *uid).collect();
        let to_read: UidSet = match reach {
            SourceReach::Read => uids.clone(),
            _ => uids.iter().filter(|uid| !mapped.contains(*uid)).collect(),
        };
        let mut read = HashMap::new();
        let failed = source.read(&name, &to_read, &mut Hashes(&mut read)).await?;
        let failed = failed.into_iter().map(|(uid, why)| (place, uid, why));
        self.unreadable.extend(failed);
        Ok(Seen {
            uids: Some(uids),
            read,
        })
    }

    fn join(&mut self, (place, pair): (usize, &Pair), map: Vec<(u32, MessageRecord)>, seen: &Seen) {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let mut want = |uid, hash, hint| {
            self.wanted.push(Wanted {
                pair: number(place),
                uid,
                folder: number(pair.folder),
                hash,
                hint,
            });
        };
        let mut known = UidSet::new();
        for (uid, record) in map {
            known.insert(uid);
            let is_listed = seen.uids.as_ref().is_some_and(|uids| uids.contains(uid));
            // Gone from the old server, and from the new one because of that.
            let gone = matches!(record.outcome, Outcome::Vanished | Outcome::Removed);
            if gone && !is_listed {
                continue;
            }
            let hint = record.outcome.copy();
            let hash = seen.read.get(&uid).copied();
            let hash = hash.or_else(|| has_hash(&record).then(|| half(&record.hash)));
            want(uid, hash, hint.filter(|_| pair.hints_hold));
        }
        let new = seen.read.iter().filter(|(uid, _)| !known.contains(**uid));
        let mut new: Vec<(&u32, &[u8; 16])> = new.collect();
        new.sort_unstable();
        for (uid, hash) in new {
            want(*uid, Some(*hash), None);
        }
    }

    /// What the mover noted of them, when all are taken.
    ///
    /// # Errors
    /// Those of the mover's state.
    pub fn note(&mut self, state: &State, account: &str, pairs: &[Pair]) -> Result<(), StateError> {
        for (folder, uid, note) in state.notes(account)? {
            let is_it = |one: &Wanted| {
                let pair = pairs.get(one.pair as usize);
                one.uid == uid && pair.is_some_and(|pair| pair.source == folder)
            };
            if let Some(at) = self.wanted.iter().position(is_it) {
                let list = match note.kind {
                    NoteKind::Refused => &mut self.refused,
                    NoteKind::Altered => &mut self.altered,
                    // It says itself what it cannot read.
                    NoteKind::Unread => continue,
                };
                list.insert(at, note.why);
            }
        }
        Ok(())
    }
}

/// Without what is not compared.
fn slim(mut record: MessageRecord) -> MessageRecord {
    record.flags = Vec::new();
    record.internal_date = String::new();
    record
}

/// One that vanished before it could be read has none.
fn has_hash(record: &MessageRecord) -> bool {
    record.hash != [0; 32]
}

/// The first half of a hash.
#[must_use]
pub fn half(hash: &[u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

struct Hashes<'a>(&'a mut HashMap<u32, [u8; 16]>);

impl Take for Hashes<'_> {
    async fn take(&mut self, uid: u32, _: u64, facts: Facts) {
        self.0.insert(uid, half(&facts.whole.hash));
    }
}
