use super::*;

const INBOX: u32 = 0;
const SENT: u32 = 1;

fn found(folder: u32, uid: u32, bytes: u8) -> Found {
    Found {
        folder,
        uid,
        hash: [bytes; 16],
        core: Some(bytes.into()),
        message_id: Some(bytes.into()),
        queue_id: None,
        fit: Fit::Same,
    }
}

fn released(uid: u32, bytes: u8, id: u64) -> Found {
    Found {
        queue_id: QueueId::new(id),
        ..found(INBOX, uid, bytes)
    }
}

fn wanted(folder: u32, uid: u32, bytes: u8, hint: Option<u32>) -> Wanted {
    Wanted {
        pair: folder,
        uid,
        folder,
        hash: Some([bytes; 16]),
        hint,
    }
}

fn due(id: u64, place: Place) -> Due {
    Due {
        id: QueueId::new(id).unwrap(),
        digest: [200; 16],
        place,
    }
}

#[test]
fn a_mailbox_as_it_should_be() {
    let found = [found(INBOX, 5, 1), found(INBOX, 6, 1), released(7, 3, 9)];
    // The same bytes twice at the source are twice at the target.
    let wanted = [wanted(INBOX, 1, 1, Some(6)), wanted(INBOX, 2, 1, None)];
    let due = [due(9, Place::There)];
    let matched = matched(&found, &wanted, &due);
    assert_eq!(matched.copies, [Verdict::There(1), Verdict::There(0)]);
    assert_eq!(matched.deliveries, [Verdict::There(2)]);
    assert!(matched.surplus(&found, &due).is_empty());
    assert!(matched.split(&found).is_empty());
}

#[test]
fn missing_moved_altered() {
    let found = [found(INBOX, 5, 9), found(SENT, 6, 2)];
    let wanted = [
        wanted(INBOX, 1, 1, Some(5)),
        wanted(INBOX, 2, 2, Some(8)),
        wanted(INBOX, 3, 3, Some(9)),
    ];
    let matched = matched(&found, &wanted, &[]);
    let expected = [Verdict::Altered(0), Verdict::Elsewhere(1), Verdict::Missing];
    assert_eq!(matched.copies, expected);
}

#[test]
fn an_exact_copy_elsewhere_goes_before_another_message_at_its_place() {
    let found = [found(INBOX, 5, 9), found(INBOX, 6, 1)];
    let matched = matched(&found, &[wanted(INBOX, 1, 1, Some(5))], &[]);
    assert_eq!(matched.copies, [Verdict::There(1)]);
    assert_eq!(matched.surplus(&found, &[]), [(0, Surplus::Unknown)]);
}

#[test]
fn deliveries_by_their_queue_id() {
    let altered = Found {
        fit: Fit::Other,
        ..released(2, 4, 11)
    };
    let found = [
        released(1, 3, 10),
        altered,
        released(3, 3, 10),
        released(4, 5, 77),
        found(INBOX, 5, 200),
    ];
    let due = [
        due(10, Place::There),
        due(11, Place::There),
        due(12, Place::There),
        due(13, Place::There),
        due(14, Place::Perhaps),
        due(15, Place::Here),
    ];
    let matched = matched(&found, &[], &due);
    let expected = [
        Verdict::There(0),
        Verdict::Altered(1),
        // By its bytes alone: a server may take trace fields away.
        Verdict::There(4),
        Verdict::Missing,
        Verdict::Waiting,
        Verdict::Waiting,
    ];
    assert_eq!(matched.deliveries, expected);
    let id = QueueId::new(77).unwrap();
    let surplus = [(2, Surplus::Again(0)), (3, Surplus::Released(id))];
    assert_eq!(matched.surplus(&found, &due), surplus);
}

#[test]
fn what_came_both_ways_is_known_by_message_id_and_body() {
    let copied = found(INBOX, 1, 1);
    let brought = Found {
        core: copied.core,
        ..released(2, 2, 10)
    };
    let found = [copied, brought];
    let due = [due(10, Place::There)];
    let matched = matched(&found, &[wanted(INBOX, 4, 1, Some(1))], &due);
    assert_eq!(matched.split(&found), [(0, 0)]);
    assert!(matched.surplus(&found, &due).is_empty());
}

#[test]
fn a_replaced_message_is_paired_by_its_message_id() {
    let found = [found(INBOX, 9, 5)];
    let mut matched = matched(&found, &[wanted(INBOX, 1, 1, Some(3))], &[]);
    assert_eq!(matched.copies, [Verdict::Missing]);
    assert_eq!(matched.pair(&found, Missing::Copy(0), 6), None);
    assert_eq!(matched.pair(&found, Missing::Copy(0), 5), Some(0));
    assert_eq!(matched.copies, [Verdict::Altered(0)]);
    assert!(matched.surplus(&found, &[]).is_empty());
    assert_eq!(matched.pair(&found, Missing::Copy(0), 5), None);
}
