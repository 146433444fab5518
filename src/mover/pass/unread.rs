//! Messages that the source has and does not give: a damaged file, or a moment's trouble.
//!
//! Each is named, and tried again in each pass. The pass that meets with one for the first time
//! is none that found nothing wrong; a later one may be, or a damaged message of the old server
//! would keep the new one waiting for ever.

use crate::{
    imap::UidSet,
    mover::state::{At, NoteKind, NoteRecord, State, StateError},
};
use std::collections::BTreeSet;

/// Those of a folder.
#[derive(Debug, Default)]
pub struct Unread {
    /// Noted in an earlier pass.
    known: BTreeSet<u32>,
    /// Met with in this one.
    now: BTreeSet<u32>,
}

impl Unread {
    /// Those that earlier passes have noted.
    pub fn read(state: &State, at: At<'_>) -> Result<Self, StateError> {
        let mut known = BTreeSet::new();
        state.folder_notes(at, |uid, note| {
            if note.kind == NoteKind::Unread {
                known.insert(uid);
            }
        })?;
        let now = BTreeSet::new();
        Ok(Self { known, now })
    }

    /// Notes one; gives 1 when no pass has noted it before.
    pub fn add(
        &mut self,
        state: &State,
        at: At<'_>,
        uid: u32,
        size: u64,
        why: &str,
    ) -> Result<u64, StateError> {
        let note = NoteRecord {
            kind: NoteKind::Unread,
            message_id: None,
            size,
            why: why.to_owned(),
        };
        state.note(at, uid, &note)?;
        self.now.insert(uid);
        Ok(u64::from(!self.known.contains(&uid)))
    }

    /// These came, or are gone: what was noted of them is over.
    pub fn came(
        &mut self,
        state: &State,
        at: At<'_>,
        uids: impl Iterator<Item = u32>,
    ) -> Result<(), StateError> {
        for uid in uids {
            if self.known.remove(&uid) {
                state.forget_note(at, uid)?;
            }
        }
        Ok(())
    }

    /// Of those that were to be tried in this pass only these are still there: what was noted of
    /// the others is over.
    pub fn only(&mut self, state: &State, at: At<'_>, there: &UidSet) -> Result<(), StateError> {
        let gone = self.known.iter().filter(|uid| !there.contains(**uid));
        let gone: Vec<u32> = gone.copied().collect();
        self.came(state, at, gone.into_iter())
    }

    /// The lowest UID of those that did not come in this pass.
    pub fn first(&self) -> Option<u32> {
        self.now.first().copied()
    }
}
