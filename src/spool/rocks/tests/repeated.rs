//! A message that its client sends again is kept once, unless the first was confirmed.

use super::*;

const WINDOW: Duration = Duration::from_secs(3600);

async fn once(spool: &RocksSpool, envelope: Envelope, bytes: &[u8]) -> Receipt {
    within(spool, envelope, bytes, WINDOW).await
}

async fn within(spool: &RocksSpool, envelope: Envelope, bytes: &[u8], window: Duration) -> Receipt {
    let mut draft = spool.begin();
    draft.append(bytes).await.unwrap();
    draft.commit_once(envelope, window).await.unwrap()
}

fn to_bob() -> Envelope {
    envelope(&["bob@corp.example", "eve@other.example"])
}

async fn messages(spool: &RocksSpool) -> usize {
    spool.messages(None, 100).await.unwrap().len()
}

#[tokio::test]
async fn the_same_again_is_kept_once_and_an_event_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let first = once(&spool, to_bob(), b"hello").await;
    assert!(!first.is_repeated());
    let mut again = to_bob();
    again.client.port = 2;
    again.received_ms += 1000;
    let second = once(&spool, again.clone(), b"hello").await;
    assert!(second.is_repeated());
    assert_eq!(second.id(), first.id());
    assert_eq!(messages(&spool).await, 1);
    let events = spool.events(first.id()).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].cause, Cause::Repeated);
    assert_eq!(events[0].from, events[0].to);
    assert_balanced(&spool).await;
    // Also by the next process.
    shut(spool).await;
    let spool = open(&config).await;
    assert_eq!(once(&spool, again, b"hello").await.id(), first.id());
    assert_eq!(messages(&spool).await, 1);
    assert_eq!(
        spool.domain("corp.example").unwrap().ledger.accepted.count,
        1
    );
}

#[tokio::test]
async fn a_large_message_leaves_no_second_file() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let bytes = noise(draft::INLINE_BYTES_MAX + 1);
    let first = once(&spool, to_bob(), &bytes).await;
    assert!(once(&spool, to_bob(), &bytes).await.is_repeated());
    assert_eq!(spool.files.numbers().unwrap().len(), 1);
    assert_eq!(read_all(&spool, first.id()).await, bytes);
}

#[tokio::test]
async fn a_confirmed_message_may_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let first = once(&spool, to_bob(), b"hello").await;
    spool.confirm(first.id());
    let second = once(&spool, to_bob(), b"hello").await;
    assert!(!second.is_repeated());
    // A stop forgets no confirmation.
    spool.confirm(second.id());
    shut(spool).await;
    let spool = open(&config).await;
    assert!(!once(&spool, to_bob(), b"hello").await.is_repeated());
    assert_eq!(messages(&spool).await, 3);
}

#[tokio::test]
async fn what_differs_is_another_message() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let changes: [fn(&mut Envelope); 6] = [
        |_| {},
        |envelope| envelope.client.ip = "192.0.2.2".parse().unwrap(),
        |envelope| envelope.recipients.reverse(),
        |envelope| drop(envelope.recipients.pop()),
        |envelope| {
            let sender = Address::parse("a@b.example").unwrap();
            envelope.reverse_path = ReversePath::Address(sender);
        },
        |envelope| envelope.recipients[0].notify = Some("NEVER".into()),
    ];
    for change in changes {
        let mut envelope = to_bob();
        change(&mut envelope);
        assert!(!once(&spool, envelope, b"hello").await.is_repeated());
    }
    assert!(!once(&spool, to_bob(), b"hello!").await.is_repeated());
    assert_eq!(messages(&spool).await, changes.len() + 1);
}

#[tokio::test]
async fn after_its_time_it_is_another_message_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let moment = Duration::from_millis(1);
    let first = within(&spool, to_bob(), b"hello", moment).await;
    assert!(!first.is_repeated());
    let later = now_ms() + 2;
    while now_ms() < later {
        tokio::task::yield_now().await;
    }
    assert!(
        !within(&spool, to_bob(), b"hello", moment)
            .await
            .is_repeated()
    );
    assert!(
        !within(&spool, to_bob(), b"x", Duration::ZERO)
            .await
            .is_repeated()
    );
    assert!(
        !within(&spool, to_bob(), b"x", Duration::ZERO)
            .await
            .is_repeated()
    );
    let later = now_ms() + 2;
    while now_ms() < later {
        tokio::task::yield_now().await;
    }
    // Any batch lets go of what is over its time.
    spool
        .add_domains(vec!["third.example".into()])
        .await
        .unwrap();
    let left = unconfirmed::Unconfirmed::load(&spool.store().unwrap()).unwrap();
    assert_eq!(left.len(), 0);
}
