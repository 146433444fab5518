//! What a pass has to do in a folder of the source, decided from one STATUS.
//!
//! A folder where nothing changed costs no SELECT. What a server does not tell (HIGHESTMODSEQ
//! of one without CONDSTORE) is never taken for "unchanged".

use super::state::FolderRecord;
use crate::imap::Name;

/// What a server tells of a folder by STATUS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// MESSAGES.
    pub messages: u32,
    /// HIGHESTMODSEQ (RFC 7162); none from a server without CONDSTORE.
    pub highestmodseq: Option<u64>,
}

/// Where a folder goes, as far as the target tells of it: a copy's UID names it there alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// Whose mailbox at which server.
    pub mailbox: &'a str,
    /// The folder's name, as that server sends it.
    pub name: &'a [u8],
    /// UIDVALIDITY.
    pub uidvalidity: Option<u32>,
    /// UIDNEXT.
    pub uidnext: Option<u32>,
}

impl Place<'_> {
    /// Whether what was copied is there. A mailbox that was made anew may have the UIDVALIDITY
    /// of the one before, but begins its UIDs anew too. What is not known is not the same.
    fn has_copies_of(&self, known: &FolderRecord) -> bool {
        let reaches =
            (self.uidnext.zip(known.target_uidnext)).is_some_and(|(now, before)| now >= before);
        // RFC 9051 §2.3.1.1: it is never 0, which stands here for a server that tells none.
        known.target_uidvalidity != 0
            && self.uidvalidity == Some(known.target_uidvalidity)
            && known.target_mailbox.as_deref() == Some(self.mailbox)
            && same_name(&known.target_name, self.name)
            && reaches
    }
}

/// A server may list a folder by another encoding of its name, or another case, than it was made
/// by.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    let plain = |raw| Name::from_raw(raw).to_string().to_lowercase();
    one == other || plain(one) == plain(other)
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing changed.
    Skip,
    /// The source's or the target's UIDVALIDITY is another one, the target's mailbox is, or
    /// nothing is known: every message is read, and matched by its hash with what the target has before anything is
    /// sent.
    Rebuild,
    /// The UIDs still name the same messages.
    Continue(Work),
}

/// What changed in a folder whose UIDs are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// New messages, and those to be tried again, from this UID on; none when there are none.
    pub new_from: Option<u32>,
    /// How the flags of the known ones are looked at.
    pub flags: Flags,
    /// Whether some were expunged, so that the UIDs have to be listed.
    pub expunged: bool,
}

/// How changed flags are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flags {
    /// None changed.
    Unchanged,
    /// FETCH with CHANGEDSINCE this (RFC 7162 §3.1.4.1).
    Since(u64),
    /// All are read: the source does not say what changed.
    All,
}

/// Decides.
#[must_use]
pub fn plan(known: Option<&FolderRecord>, source: &Standing, target: &Place<'_>) -> Plan {
    let Some(known) = known else {
        return Plan::Rebuild;
    };
    // RFC 9051 §2.3.1.1: UIDs mean nothing across UIDVALIDITYs, and UIDNEXT never falls.
    let same_source =
        known.source_uidvalidity == source.uidvalidity && known.source_uidnext <= source.uidnext;
    if !same_source || !target.has_copies_of(known) {
        return Plan::Rebuild;
    }
    let arrived = source.uidnext - known.source_uidnext;
    let flags = match (known.source_highestmodseq, source.highestmodseq) {
        (Some(before), Some(now)) if before == now => Flags::Unchanged,
        // A lower one has been seen after restored backups: it says nothing.
        (Some(before), Some(now)) if before < now => Flags::Since(before),
        _ => Flags::All,
    };
    let work = Work {
        new_from: ((arrived > 0).then_some(known.source_uidnext).into_iter())
            .chain(known.retry_from)
            .min(),
        flags,
        // At most as many arrived as UIDNEXT rose by: with that many more messages none was
        // expunged. With fewer one may have been, or a UID was never given.
        expunged: source.messages < known.source_messages
            || (arrived > 0 && source.messages - known.source_messages != arrived),
    };
    let still = work.new_from.is_none() && !work.expunged && flags == Flags::Unchanged;
    if still {
        Plan::Skip
    } else {
        Plan::Continue(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Standing = Standing {
        uidvalidity: 1,
        uidnext: 10,
        messages: 5,
        highestmodseq: Some(70),
    };

    fn known() -> FolderRecord {
        FolderRecord {
            source_uidvalidity: 1,
            source_uidnext: 10,
            source_messages: 5,
            source_highestmodseq: Some(70),
            target_name: b"INBOX".to_vec(),
            target_uidvalidity: 3,
            match_below: None,
            target_mailbox: Some("bob@new:993".into()),
            target_uidnext: Some(9),
            retry_from: None,
        }
    }

    const THERE: Place<'static> = Place {
        mailbox: "bob@new:993",
        name: b"INBOX",
        uidvalidity: Some(3),
        uidnext: Some(9),
    };

    fn decided(source: Standing) -> Plan {
        plan(Some(&known()), &source, &THERE)
    }

    #[test]
    fn nothing_changed_is_skipped() {
        assert_eq!(decided(NOW), Plan::Skip);
    }

    #[test]
    fn other_uids_are_rebuilt() {
        assert_eq!(plan(None, &NOW, &THERE), Plan::Rebuild);
        let other = Standing {
            uidvalidity: 2,
            ..NOW
        };
        assert_eq!(decided(other), Plan::Rebuild);
        // A source restored from a backup.
        let fallen = Standing { uidnext: 9, ..NOW };
        assert_eq!(decided(fallen), Plan::Rebuild);
    }

    #[test]
    fn another_mailbox_at_the_target_is_not_taken_for_the_one_with_the_copies() {
        let at = |there: Place<'_>| plan(Some(&known()), &NOW, &there);
        let grown = Place {
            uidnext: Some(12),
            name: b"Inbox",
            ..THERE
        };
        assert_eq!(at(grown), Plan::Skip);
        let others = [
            Place {
                uidvalidity: None,
                ..THERE
            },
            Place {
                uidvalidity: Some(4),
                ..THERE
            },
            Place {
                uidnext: None,
                ..THERE
            },
            // Made anew.
            Place {
                uidnext: Some(8),
                ..THERE
            },
            Place {
                mailbox: "bob@new:143",
                ..THERE
            },
            Place {
                name: b"Sent",
                ..THERE
            },
        ];
        for other in others {
            assert_eq!(at(other), Plan::Rebuild, "{other:?}");
        }
        let mute = Place {
            uidvalidity: Some(0),
            ..THERE
        };
        let without = FolderRecord {
            target_uidvalidity: 0,
            ..known()
        };
        assert_eq!(plan(Some(&without), &NOW, &mute), Plan::Rebuild);
        // As an earlier relay wrote it.
        let old = FolderRecord {
            target_mailbox: None,
            target_uidnext: None,
            ..known()
        };
        assert_eq!(plan(Some(&old), &NOW, &THERE), Plan::Rebuild);
    }

    #[test]
    fn what_is_tried_again_does_not_hide_that_the_source_was_restored() {
        let again = FolderRecord {
            retry_from: Some(4),
            ..known()
        };
        let work = Work {
            new_from: Some(4),
            flags: Flags::Unchanged,
            expunged: false,
        };
        let decided = |source| plan(Some(&again), &source, &THERE);
        assert_eq!(decided(NOW), Plan::Continue(work));
        let fallen = Standing { uidnext: 9, ..NOW };
        assert_eq!(decided(fallen), Plan::Rebuild);
    }

    #[test]
    fn what_changed_is_done_and_no_more() {
        let arrived = Standing {
            uidnext: 12,
            messages: 7,
            highestmodseq: Some(72),
            ..NOW
        };
        let work = Work {
            new_from: Some(10),
            flags: Flags::Since(70),
            expunged: false,
        };
        assert_eq!(decided(arrived), Plan::Continue(work));
        let one_went = Standing {
            messages: 6,
            ..arrived
        };
        let expunged = Work {
            expunged: true,
            ..work
        };
        assert_eq!(decided(one_went), Plan::Continue(expunged));
        let flagged = Standing {
            highestmodseq: Some(71),
            ..NOW
        };
        let flags = Work {
            new_from: None,
            ..work
        };
        assert_eq!(decided(flagged), Plan::Continue(flags));
    }

    #[test]
    fn a_source_that_does_not_tell_is_asked_for_all_flags() {
        let mute = Standing {
            highestmodseq: None,
            ..NOW
        };
        let work = Work {
            new_from: None,
            flags: Flags::All,
            expunged: false,
        };
        assert_eq!(decided(mute), Plan::Continue(work));
        let fallen = Standing {
            highestmodseq: Some(1),
            ..NOW
        };
        assert_eq!(decided(fallen), Plan::Continue(work));
    }
}
