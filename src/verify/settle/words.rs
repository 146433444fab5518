//! What is said of an exception.

use super::{Called, Work};
use crate::{
    ledger::verified::{Exception, Kind},
    mover::state::{At, Outcome},
    verify::{
        account::Pair,
        matching::{Missing, Wanted},
        naming::Label,
    },
};

impl Work<'_> {
    pub(super) fn exception(
        &self,
        kind: Kind,
        reason: String,
        found: Option<usize>,
        called: &Called,
    ) -> Exception {
        let mut exception = Exception::new(&self.account.target.user, kind, reason);
        if let Some(one) = found.and_then(|at| self.mailbox.found.get(at)) {
            exception.folder = Some(self.mailbox.shown(one.folder).to_owned());
            exception.uid = Some(one.uid);
            exception.queue_id = one.queue_id.map(|id| id.to_string());
            named(
                &mut exception,
                called.target.get(one.folder as usize, one.uid),
            );
        }
        exception
    }

    pub(super) fn label(&self, missing: Missing, called: &Called) -> Label {
        match missing {
            Missing::Copy(place) => {
                let Some(one) = self.copies.wanted.get(place) else {
                    return Label::default();
                };
                let mut label = called.source.get(one.pair as usize, one.uid);
                if label.size.is_none() {
                    label.size = self.size(one);
                }
                label
            }
            Missing::Delivery(place) => {
                let due = self.due.get(place);
                let label = due.and_then(|due| called.spool.get(&due.id));
                label.cloned().unwrap_or_default()
            }
        }
    }

    pub(super) fn pair(&self, one: &Wanted) -> Option<&Pair> {
        self.pairs.get(one.pair as usize)
    }

    fn size(&self, one: &Wanted) -> Option<u64> {
        let at = At {
            account: self.account.name(),
            folder: &self.pair(one)?.source,
        };
        Some(self.verifier.state.message(at, one.uid).ok()??.size)
    }

    /// Whether it may be there, where nobody can look.
    pub(super) fn is_blind(&self, one: &Wanted) -> bool {
        let folder = self.mailbox.folders.get(one.folder as usize);
        let mut unreadable = self.mailbox.unreadable.iter();
        folder.is_some_and(|folder| folder.trouble.is_some())
            || unreadable
                .any(|(folder, uid, _)| *folder == one.folder as usize && Some(*uid) == one.hint)
    }

    pub(super) fn why_missing(&self, place: usize, one: &Wanted) -> String {
        if let Some(why) = self.copies.refused.get(&place) {
            return format!("the new server refused it: {why}");
        }
        let at = self.pair(one).map(|pair| At {
            account: self.account.name(),
            folder: &pair.source,
        });
        let record = at.and_then(|at| self.verifier.state.message(at, one.uid).ok()?);
        match record.map(|record| record.outcome) {
            Some(
                outcome @ (Outcome::Copied { .. }
                | Outcome::Expunged { .. }
                | Outcome::Found { .. }),
            ) => {
                let uid = outcome.copy();
                let uid = uid.map_or(String::new(), |uid| format!(" as UID {uid}"));
                format!("it was copied{uid} and is not there any more")
            }
            Some(Outcome::Removed) => {
                "it was removed here after the old server had expunged it".to_owned()
            }
            Some(Outcome::Intended { .. }) => {
                "its copying was cut off: run `relay move` again".to_owned()
            }
            Some(Outcome::Refused { reply }) => format!("the new server refused it: {reply}"),
            Some(Outcome::Vanished) | None => {
                "it was not copied yet: run `relay move` again".to_owned()
            }
        }
    }

    pub(super) fn why_other(&self, at: usize) -> String {
        let one = self.mailbox.found.get(at);
        let odd = one.and_then(|one| self.mailbox.odd.get(&(one.folder, one.uid)));
        odd.cloned().unwrap_or_else(|| {
            "a message with its Message-ID is there, without relay's field or with other bytes"
                .to_owned()
        })
    }

    pub(super) fn both_ways(&self, copy: usize, then: &str) -> String {
        let one = self.copies.wanted.get(copy);
        let place = one.map_or(String::new(), |one| {
            let folder = self.pair(one).map_or("", |pair| &pair.shown);
            format!("{folder} UID {}", one.uid)
        });
        format!("it came to the old server too and was copied from {place}, {then}")
    }
}

/// Calls it by its name.
pub(super) fn named(exception: &mut Exception, label: Label) {
    exception.message_id = label.message_id;
    exception.subject = label.subject;
    exception.size = label.size;
}
