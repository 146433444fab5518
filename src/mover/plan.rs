//! What a pass has to do in a folder of the source, decided from one STATUS.
//!
//! A folder where nothing changed costs no SELECT. What a server does not tell (HIGHESTMODSEQ
//! of one without CONDSTORE) is never taken for "unchanged".

use super::state::FolderRecord;

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

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing changed.
    Skip,
    /// The source's or the target's UIDVALIDITY is another one, or nothing is known: every
    /// message is read, and matched by its hash with what the target has before anything is
    /// sent.
    Rebuild,
    /// The UIDs still name the same messages.
    Continue(Work),
}

/// What changed in a folder whose UIDs are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// New messages from this UID on; none when there are none.
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

/// Decides. `target_uidvalidity` is that of the folder at the target, if it exists.
#[must_use]
pub fn plan(
    known: Option<&FolderRecord>,
    source: &Standing,
    target_uidvalidity: Option<u32>,
) -> Plan {
    let Some(known) = known else {
        return Plan::Rebuild;
    };
    // RFC 9051 §2.3.1.1: UIDs mean nothing across UIDVALIDITYs, and UIDNEXT never falls.
    let same_source =
        known.source_uidvalidity == source.uidvalidity && known.source_uidnext <= source.uidnext;
    if !same_source || target_uidvalidity != Some(known.target_uidvalidity) {
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
        new_from: (arrived > 0).then_some(known.source_uidnext),
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
        }
    }

    fn decided(source: Standing) -> Plan {
        plan(Some(&known()), &source, Some(3))
    }

    #[test]
    fn nothing_changed_is_skipped() {
        assert_eq!(decided(NOW), Plan::Skip);
    }

    #[test]
    fn other_uids_are_rebuilt() {
        assert_eq!(plan(None, &NOW, Some(3)), Plan::Rebuild);
        assert_eq!(plan(Some(&known()), &NOW, None), Plan::Rebuild);
        assert_eq!(plan(Some(&known()), &NOW, Some(4)), Plan::Rebuild);
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
