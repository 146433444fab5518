//! What the mover remembers.

use super::*;

const INBOX: At<'static> = At {
    account: "bob",
    folder: b"INBOX",
};

fn message(outcome: Outcome) -> MessageRecord {
    MessageRecord {
        hash: [7; 32],
        ascii_head: None,
        size: 10,
        internal_date: " 1-Jan-2026 00:00:00 +0000".into(),
        flags: vec!["\\Seen".into()],
        outcome,
    }
}

fn folder(uidnext: u32) -> FolderRecord {
    FolderRecord {
        source_uidvalidity: 1,
        source_uidnext: uidnext,
        source_messages: 2,
        source_highestmodseq: Some(9),
        target_name: b"INBOX".to_vec(),
        target_uidvalidity: 5,
        match_below: None,
        target_mailbox: Some("bob@new:993".into()),
        target_uidnext: Some(3),
        retry_from: None,
    }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let intended = message(Outcome::Intended { target_uidnext: 4 });
    let copied = message(Outcome::Copied {
        target_uid: Some(4),
    });
    {
        let state = State::open(directory.path()).unwrap();
        let both = [(3, intended.clone()), (300, intended.clone())];
        state.intend(INBOX, &both).unwrap();
        state.settle(INBOX, &[(3, copied.clone())]).unwrap();
        state.put_folder(INBOX, &folder(301)).unwrap();
    }
    let state = State::open(directory.path()).unwrap();
    assert_eq!(state.folder(INBOX).unwrap(), Some(folder(301)));
    assert_eq!(state.message(INBOX, 3).unwrap(), Some(copied.clone()));
    let mut all = Vec::new();
    state
        .messages(INBOX, |uid, message| all.push((uid, message)))
        .unwrap();
    assert_eq!(all, [(3, copied), (300, intended)]);
}

#[test]
fn accounts_and_folders_with_like_names_are_apart() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    let places = [("a", "b"), ("a", "bc"), ("ab", "c"), ("", "abc"), ("a", "")];
    let places = places.map(|(account, folder)| At {
        account,
        folder: folder.as_bytes(),
    });
    for (uid, at) in (1..).zip(places) {
        let copied = message(Outcome::Copied { target_uid: None });
        state.settle(at, &[(uid, copied)]).unwrap();
        state.put_folder(at, &folder(uid)).unwrap();
    }
    for (uid, at) in (1..).zip(places) {
        let mut uids = Vec::new();
        state.messages(at, |uid, _| uids.push(uid)).unwrap();
        assert_eq!(uids, [uid]);
        assert_eq!(state.folder(at).unwrap(), Some(folder(uid)));
    }
    let names: Vec<_> = state.folders("a").unwrap().into_iter().collect();
    let names: Vec<&[u8]> = names.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, [&b""[..], b"b", b"bc"]);
}

#[test]
fn a_new_map_takes_the_place_of_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    let copied = |uid| {
        message(Outcome::Copied {
            target_uid: Some(uid),
        })
    };
    state
        .settle(INBOX, &[(1, copied(1)), (u32::MAX, copied(2))])
        .unwrap();
    let beside = At {
        folder: b"INBOXES",
        ..INBOX
    };
    state.settle(beside, &[(1, copied(1))]).unwrap();
    state.begin(INBOX, &folder(12)).unwrap();
    let mut uids = Vec::new();
    state.messages(INBOX, |uid, _| uids.push(uid)).unwrap();
    assert!(uids.is_empty());
    assert_eq!(state.folder(INBOX).unwrap(), Some(folder(12)));
    assert!(state.message(beside, 1).unwrap().is_some());
}

#[test]
fn what_was_refused_is_named_and_can_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    let refused = Outcome::Refused { reply: "no".into() };
    let note = |kind| NoteRecord {
        kind,
        message_id: Some("<a@b>".into()),
        size: 10,
        why: "no".into(),
    };
    state.put_folder(INBOX, &folder(9)).unwrap();
    state.settle(INBOX, &[(7, message(refused))]).unwrap();
    state.note(INBOX, 7, &note(NoteKind::Refused)).unwrap();
    state.note(INBOX, 8, &note(NoteKind::Altered)).unwrap();
    let other = At {
        account: "bobby",
        ..INBOX
    };
    state.note(other, 1, &note(NoteKind::Refused)).unwrap();
    let named = |uid, kind| (b"INBOX".to_vec(), uid, note(kind));
    let both = [named(7, NoteKind::Refused), named(8, NoteKind::Altered)];
    assert_eq!(state.notes("bob").unwrap(), both);
    assert_eq!(state.retry_refused("bob").unwrap(), [b"INBOX".to_vec()]);
    assert_eq!(state.notes("bob").unwrap(), both[1..]);
    assert_eq!(state.message(INBOX, 7).unwrap(), None);
    let again = FolderRecord {
        retry_from: Some(7),
        ..folder(9)
    };
    assert_eq!(state.folder(INBOX).unwrap(), Some(again));
    assert_eq!(state.notes("bobby").unwrap().len(), 1);
}

#[test]
fn one_process_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = State::open(directory.path()).unwrap();
    assert!(matches!(
        State::open(directory.path()),
        Err(StateError::InUse { .. })
    ));
    drop(first);
    State::open(directory.path()).unwrap();
}
