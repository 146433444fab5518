//! The engine against its promises: what was acknowledged is there after reopening, in
//! order and whole; counters are what a recount says; damage is noticed.

mod bounced;
mod damage;
mod plan;
mod repeated;

use super::*;
use crate::{
    mail::{
        Address, BodyKind, Client, DeliveryId, Digest, Envelope, Lane, Protocol, QueueId,
        Recipient, ReversePath,
    },
    spool::{DomainCommand, DomainStatus, Receipt, Standing, State},
};
use std::{fs, io::Read, os::unix::fs::FileExt, path::PathBuf};

fn config(directory: &tempfile::TempDir) -> SpoolConfig {
    SpoolConfig {
        path: directory.path().join("spool"),
        retain_delivered: Duration::from_secs(60),
        retain_records: Duration::from_secs(60),
        min_free_bytes: 0,
    }
}

fn envelope(recipients: &[&str]) -> Envelope {
    let address = |text: &&str| Recipient::plain(Address::parse(text).unwrap());
    Envelope {
        reverse_path: ReversePath::Null,
        recipients: recipients.iter().map(address).collect(),
        body: BodyKind::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        client: Client {
            ip: "192.0.2.1".parse().unwrap(),
            port: 1,
            name: None,
            helo: "mx.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
        },
        received_ms: now_ms(),
    }
}

async fn open(config: &SpoolConfig) -> Arc<RocksSpool> {
    let spool = RocksSpool::open(config).unwrap();
    let names = vec!["corp.example".to_owned(), "other.example".to_owned()];
    spool.add_domains(names).await.unwrap();
    spool
}

async fn accept(spool: &RocksSpool, recipients: &[&str], bytes: &[u8]) -> Receipt {
    let mut draft = spool.begin();
    for piece in bytes.chunks(10_000) {
        draft.append(piece).await.unwrap();
    }
    draft.commit(envelope(recipients)).await.unwrap()
}

async fn read_all(spool: &RocksSpool, id: QueueId) -> Vec<u8> {
    let mut body = spool.body(id).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await.unwrap() {
        bytes.extend(piece);
    }
    bytes
}

async fn step(
    spool: &RocksSpool,
    id: QueueId,
    recipient: u32,
    step: Step,
) -> Result<Vec<QueueId>, SpoolError> {
    let transition = Transition {
        delivery: DeliveryId {
            message: id,
            recipient,
        },
        step,
        cause: Cause::Reply,
        remote: None,
        at_ms: now_ms(),
    };
    spool.advance(vec![transition]).await
}

async fn release(spool: &RocksSpool) {
    let command = DomainCommand::release();
    let cause = Cause::Operator("relay release".into());
    spool
        .command("corp.example".into(), command, cause)
        .await
        .unwrap();
}

/// Waits until the database is closed and its files are all written.
async fn shut(spool: Arc<RocksSpool>) {
    spool.close().await.unwrap();
    let store = Arc::downgrade(&spool.store().unwrap());
    drop(spool);
    while store.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

async fn assert_balanced(spool: &RocksSpool) {
    let recount = spool.recount(true).await.unwrap();
    assert_eq!(recount.findings, Vec::<String>::new());
    for domain in &recount.domains {
        assert_eq!(domain.counters, domain.recounted);
        assert!(domain.counters.balances());
        let status = spool.domain(&domain.name).unwrap();
        assert_eq!(status.ledger, domain.counters);
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let sizes = [
        0,
        1,
        4096,
        draft::INLINE_BYTES_MAX,
        draft::INLINE_BYTES_MAX + 1,
        3_000_000,
    ];
    let mut receipts = Vec::new();
    for size in sizes {
        receipts.push(
            accept(
                &spool,
                &["bob@corp.example", "eve@other.example"],
                &noise(size),
            )
            .await,
        );
    }
    shut(spool).await;

    let spool = open(&config).await;
    assert!(receipts.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    for (receipt, size) in receipts.iter().zip(sizes) {
        assert_eq!(read_all(&spool, receipt.id()).await, noise(size));
        assert_eq!(receipt.digest(), Digest::of(&noise(size)));
        let states = spool.deliveries(receipt.id()).await.unwrap();
        assert_eq!(
            states.iter().map(|d| d.state).collect::<Vec<_>>(),
            [State::Held; 2]
        );
    }
    let listed = spool.messages(None, 100).await.unwrap();
    assert!(
        listed
            .iter()
            .map(|m| m.id)
            .eq(receipts.iter().map(Receipt::id))
    );
    let after = accept(&spool, &["bob@corp.example"], b"later").await;
    assert!(after.id() > receipts.last().unwrap().id());
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn many_sessions_commit_together_and_in_the_order_of_their_ids() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move {
                accept(&spool, &["bob@corp.example"], format!("{n}").as_bytes())
                    .await
                    .id()
            })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    ids.sort();
    let order = spool
        .unfinished("corp.example".into(), None, 1000)
        .await
        .unwrap();
    assert!(
        order
            .iter()
            .map(|entry| entry.id.message)
            .eq(ids.iter().copied())
    );
    assert!(ids.windows(2).all(|pair| pair[0].next() == pair[1]));
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn a_draft_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let mut draft = spool.begin();
    draft.append(&noise(500_000)).await.unwrap();
    assert_eq!(draft.head().len(), 16 * 1024);
    let bodies = || fs::read_dir(config.path.join("bodies")).unwrap().count();
    assert_eq!(bodies(), 1);
    drop(draft);
    assert_eq!(bodies(), 0);
    assert_eq!(spool.messages(None, 1).await.unwrap(), []);
}

#[tokio::test]
async fn a_file_without_a_message_is_removed_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let kept = accept(&spool, &["bob@corp.example"], &noise(500_000)).await;
    shut(spool).await;
    fs::write(config.path.join("bodies/00000000000000ff"), b"half").unwrap();
    // What every crash may leave is told, and is nothing to worry about.
    let dead = RocksSpool::open_read_only(&config).unwrap();
    let recount = dead.recount(true).await.unwrap();
    assert_eq!((recount.leftovers, recount.findings), (1, vec![]));
    drop(dead);
    let spool = open(&config).await;
    assert_eq!(fs::read_dir(config.path.join("bodies")).unwrap().count(), 1);
    assert_eq!(read_all(&spool, kept.id()).await, noise(500_000));
}

#[tokio::test]
async fn a_release_ends_in_forward_when_its_backlog_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let id = accept(&spool, &["bob@corp.example", "eve@corp.example"], b"x")
        .await
        .id();
    // Held: nothing may be sent.
    let refused = step(&spool, id, 0, Step::Attempt).await;
    assert!(matches!(
        refused,
        Err(SpoolError::Conflict {
            state: State::Held,
            ..
        })
    ));
    release(&spool).await;
    assert_eq!(spool.domain("corp.example").unwrap().phase, Phase::Release);

    step(&spool, id, 0, Step::Attempt).await.unwrap();
    assert_eq!(step(&spool, id, 0, Step::Deliver).await.unwrap(), []);
    step(&spool, id, 1, Step::Attempt).await.unwrap();
    assert_balanced(&spool).await;
    assert_eq!(step(&spool, id, 1, Step::Deliver).await.unwrap(), [id]);
    assert_eq!(spool.domain("corp.example").unwrap().phase, Phase::Forward);
    assert_eq!(
        spool
            .unfinished("corp.example".into(), None, 9)
            .await
            .unwrap(),
        []
    );
    let history: Vec<String> = spool
        .domain_events("corp.example".into())
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.what)
        .collect();
    assert_eq!(
        history,
        ["phase hold -> release", "phase release -> forward"]
    );
    assert_balanced(&spool).await;
}

/// Each delivery has left a trace that says when its message goes.
#[tokio::test]
async fn what_was_delivered_twice_is_removed_once() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let ids = [
        accept(&spool, &["bob@corp.example"], b"x").await.id(),
        accept(&spool, &["eve@corp.example"], b"x").await.id(),
    ];
    release(&spool).await;
    for id in ids {
        for taken in [Step::Attempt, Step::Deliver, Step::Rewind, Step::Found] {
            step(&spool, id, 0, taken).await.unwrap();
        }
    }
    let mut later = now_ms();
    for _ in 0..5 {
        later += 100_000_000;
        while spool.purge(later, 10).await.unwrap() > 0 {}
        assert_balanced(&spool).await;
    }
    assert_eq!(spool.messages(None, 10).await.unwrap(), []);
    let ledger = spool.domain("corp.example").unwrap().ledger;
    assert_eq!(ledger.delivered.count, 2);
}

/// A process that ends while its database is being closed dies of it.
#[tokio::test]
async fn whoever_drops_a_spool_waits_until_its_database_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let _ = accept(&spool, &["bob@corp.example"], b"x\r\n").await;
    let database = Arc::downgrade(&spool.store().unwrap());
    drop(spool);
    assert!(database.upgrade().is_none());
}

#[tokio::test]
async fn steps_fit_the_state_or_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let id = accept(&spool, &["bob@corp.example", "eve@corp.example"], b"x")
        .await
        .id();
    release(&spool).await;
    for wrong in [
        Step::Deliver,
        Step::Recall,
        Step::Doubt { due_ms: 0 },
        Step::Retry,
        Step::Found,
    ] {
        assert!(step(&spool, id, 0, wrong).await.is_err(), "{wrong:?}");
    }
    // One that does not fit spoils the whole request.
    let both = [(0, Step::Drop), (1, Step::Found)].map(|(recipient, step)| Transition {
        delivery: DeliveryId {
            message: id,
            recipient,
        },
        step,
        cause: Cause::Operator("test".into()),
        remote: None,
        at_ms: 1,
    });
    assert!(spool.advance(both.to_vec()).await.is_err());
    assert!(spool.events(id).await.unwrap().is_empty());
    // While it is under way a person cannot take it away.
    step(&spool, id, 0, Step::Attempt).await.unwrap();
    assert!(step(&spool, id, 0, Step::Drop).await.is_err());
    step(&spool, id, 0, Step::Recall).await.unwrap();
    step(&spool, id, 0, Step::Drop).await.unwrap();
    assert!(step(&spool, id, 0, Step::Retry).await.is_err());
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn an_attempt_without_an_end_is_in_doubt_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let id = accept(&spool, &["bob@corp.example", "eve@corp.example"], b"x")
        .await
        .id();
    release(&spool).await;
    step(&spool, id, 0, Step::Attempt).await.unwrap();
    shut(spool).await;

    let spool = open(&config).await;
    let states: Vec<State> = spool
        .deliveries(id)
        .await
        .unwrap()
        .iter()
        .map(|d| d.state)
        .collect();
    assert_eq!(states, [State::InDoubt, State::Queued]);
    let events = spool.events(id).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].cause, Cause::Restart);
    step(&spool, id, 0, Step::Retry).await.unwrap();
    assert_eq!(spool.domain("corp.example").unwrap().ledger.resent, 1);
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn a_lane_is_walked_from_its_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let mut bobs = Vec::new();
    for n in 0..6 {
        let name = if n % 2 == 0 {
            "bob@corp.example"
        } else {
            "eve@corp.example"
        };
        let id = accept(&spool, &[name], b"x").await.id();
        if n % 2 == 0 {
            bobs.push(DeliveryId {
                message: id,
                recipient: 0,
            });
        }
    }
    let lane = Address::parse("bob@corp.example").unwrap().lane();
    let walk = async |after, until| {
        let found = spool
            .lane("corp.example".into(), lane, after, until, 10)
            .await
            .unwrap();
        found.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(walk(None, bobs[2]).await, bobs);
    assert_eq!(walk(Some(bobs[0]), bobs[1]).await, [bobs[1]]);
    step(&spool, bobs[0].message, 0, Step::Park).await.unwrap();
    assert_eq!(walk(None, bobs[2]).await, bobs[1..]);
    // A parked one still has its place in the queue.
    let queue = spool
        .unfinished("corp.example".into(), None, 10)
        .await
        .unwrap();
    assert_eq!(queue[0].standing, Standing::Parked);
}

#[tokio::test]
async fn bodies_go_first_then_records_and_the_ledger_still_counts() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let small = accept(&spool, &["bob@corp.example"], b"small").await.id();
    let large = accept(&spool, &["bob@corp.example"], &noise(500_000))
        .await
        .id();
    for id in [small, large] {
        step(&spool, id, 0, Step::Drop).await.unwrap();
    }
    assert_eq!(spool.purge(now_ms(), 10).await.unwrap(), 0);
    let later = now_ms() + 61_000;
    assert_eq!(spool.purge(later, 10).await.unwrap(), 2);
    for id in [small, large] {
        assert!(matches!(
            spool.body(id).await.map(|_| ()),
            Err(SpoolError::NoBody(_))
        ));
        assert!(!spool.message(id).await.unwrap().unwrap().has_body);
    }
    // Files go behind the answer; the next one says that the thread is through with it.
    spool.probe().await.unwrap();
    assert_eq!(fs::read_dir(config.path.join("bodies")).unwrap().count(), 0);
    assert_balanced(&spool).await;
    assert_eq!(spool.purge(later + 61_000, 10).await.unwrap(), 2);
    assert_eq!(spool.messages(None, 9).await.unwrap(), []);
    assert_eq!(
        spool.domain("corp.example").unwrap().ledger.dropped.count,
        2
    );
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn a_damaged_body_is_named_before_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let id = accept(&spool, &["bob@corp.example"], &noise(600_000))
        .await
        .id();
    let file = fs::read_dir(config.path.join("bodies"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    flip(&file, 300_000);
    let mut body = spool.body(id).await.unwrap();
    let end = loop {
        match body.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(SpoolError::Corrupt { .. })), "{end:?}");
    let findings = spool.recount(true).await.unwrap().findings;
    assert!(
        findings.len() == 1 && findings[0].contains(&id.to_string()),
        "{findings:?}"
    );
}

fn flip(file: &Path, offset: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

/// A spool as a power cut leaves it: everything synced is there, nothing was closed.
/// `cut` may do to its files what the cut does.
async fn crashed(
    messages: usize,
    cut: impl Fn(&Path, PathBuf),
) -> (tempfile::TempDir, SpoolConfig, Vec<QueueId>) {
    let directory = tempfile::tempdir().unwrap();
    let live = config(&directory);
    let spool = open(&live).await;
    let mut ids = Vec::new();
    for _ in 0..messages {
        ids.push(
            accept(&spool, &["bob@corp.example"], &noise(3000))
                .await
                .id(),
        );
    }
    let crashed = tempfile::tempdir().unwrap();
    let config = config(&crashed);
    copy(&live.path, &config.path);
    let log = fs::read_dir(config.path.join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    cut(&config.path, log);
    (crashed, config, ids)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn ids(spool: &RocksSpool) -> Vec<QueueId> {
    spool
        .messages(None, 1000)
        .await
        .unwrap()
        .iter()
        .map(|message| message.id)
        .collect()
}

#[tokio::test]
async fn a_crash_without_damage_loses_nothing() {
    let (_directory, config, expected) = crashed(20, |_, _| {}).await;
    let spool = RocksSpool::open(&config).unwrap();
    assert_eq!(ids(&spool).await, expected);
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn a_torn_tail_that_nobody_was_promised_is_cut_off() {
    let torn = |_: &Path, log: PathBuf| {
        // A batch that was being written: a whole header, half of its content.
        let mut bytes = Vec::new();
        fs::File::open(&log)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes.extend([1, 2, 3, 4, 200, 0, 1]);
        bytes.extend(noise(100));
        fs::write(&log, bytes).unwrap();
    };
    let (_directory, config, expected) = crashed(20, torn).await;
    let spool = RocksSpool::open(&config).unwrap();
    assert_eq!(ids(&spool).await, expected);
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn a_flipped_bit_among_acknowledged_records_stops_the_start_and_changes_nothing() {
    let flipped = |_: &Path, log: PathBuf| flip(&log, fs::metadata(&log).unwrap().len() / 2);
    let (_directory, config, _) = crashed(20, flipped).await;
    let listing = || {
        let mut files: Vec<_> = fs::read_dir(config.path.join("db"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().to_str().unwrap().starts_with("LO"))
            .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = listing();
    for _ in 0..2 {
        match RocksSpool::open(&config).map(|_| ()) {
            Err(SpoolError::Lost {
                found,
                acknowledged,
                ..
            }) => assert!(found < acknowledged),
            other => panic!("{other:?}"),
        }
        assert!(listing() == before, "the damaged files were changed");
    }
}

#[tokio::test]
async fn a_log_that_ends_early_at_a_record_is_noticed() {
    // RocksDB takes an empty log for a clean one; only the watermark knows better.
    let emptied = |_: &Path, log: PathBuf| fs::write(log, []).unwrap();
    let (_directory, config, _) = crashed(20, emptied).await;
    let opened = RocksSpool::open(&config).map(|_| ());
    assert!(matches!(opened, Err(SpoolError::Lost { .. })), "{opened:?}");
}

#[tokio::test]
async fn reading_beside_no_daemon_changes_nothing_and_needs_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let id = accept(&spool, &["bob@corp.example"], b"x").await.id();
    let second = RocksSpool::open_read_only(&config).map(|_| ());
    assert!(
        matches!(second, Err(SpoolError::InUse { .. })),
        "{second:?}"
    );
    shut(spool).await;
    let reader = RocksSpool::open_read_only(&config).unwrap();
    assert_eq!(read_all(&reader, id).await, b"x");
    assert_balanced(&reader).await;
    let draft = reader.begin();
    assert_eq!(
        draft.commit(envelope(&["bob@corp.example"])).await,
        Err(SpoolError::Closed)
    );
}

#[tokio::test]
async fn a_full_disk_is_told_before_mail_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    config.min_free_bytes = 1 << 60;
    let spool = open(&config).await;
    assert!(matches!(spool.admit(1), Err(SpoolError::Full { .. })));
}

#[tokio::test]
async fn repair_makes_counters_and_order_anew() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let id = accept(&spool, &["bob@corp.example"], b"x").await.id();
    let domain = spool.number("corp.example").unwrap();
    let delivery = DeliveryId {
        message: id,
        recipient: 0,
    };
    let mut damage = store::Batch::default();
    damage.delete(&Key::order(domain, delivery));
    damage.mark(&Key::lane(
        domain,
        Lane(1),
        DeliveryId {
            recipient: 7,
            ..delivery
        },
    ));
    spool.store().unwrap().write_synced(damage).unwrap();
    assert_eq!(spool.recount(false).await.unwrap().findings.len(), 2);
    assert_eq!(spool.repair().await.unwrap().len(), 2);
    assert_balanced(&spool).await;
    assert_eq!(
        spool
            .unfinished("corp.example".into(), None, 9)
            .await
            .unwrap()[0]
            .id,
        delivery
    );
}
