//! What a release waits for is on disk, and keeps it from coming to its end.

use super::*;
use crate::{
    config::{LoadChange, LoadSet, load::Setting},
    spool::Gate,
};

async fn command(spool: &RocksSpool, command: DomainCommand) -> DomainStatus {
    let cause = Cause::Operator("test".into());
    let done = spool.command("corp.example".into(), command, cause).await;
    done.unwrap()
}

fn release_with(canary: Option<u32>, gate: Gate) -> DomainCommand {
    DomainCommand::Release {
        to: None,
        then: Phase::Forward,
        canary,
        gate,
    }
}

#[tokio::test]
async fn a_canary_is_the_first_of_the_backlog_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let mut ids = Vec::new();
    for to in [
        &["a@other.example"][..],
        &["b@corp.example", "c@corp.example"],
        &["d@corp.example"],
        &["e@corp.example"],
    ] {
        ids.push(accept(&spool, to, b"x").await.id());
    }
    step(&spool, ids[2], 0, Step::Park).await.unwrap();
    let status = command(&spool, release_with(Some(2), Gate::Open)).await;
    let canary = status.canary.unwrap();
    // What is parked would not be sent, and another domain's mail is not meant.
    assert_eq!((canary.first, canary.last), (ids[1], ids[3]));
    assert_eq!((canary.messages, canary.sent), (2, false));
    shut(spool).await;
    let spool = open(&config).await;
    assert_eq!(spool.domain("corp.example").unwrap().canary, Some(canary));

    // With everything sent it stands all the same, until a person goes on.
    for (id, recipients) in [(ids[1], 2), (ids[3], 1)] {
        for recipient in 0..recipients {
            step(&spool, id, recipient, Step::Attempt).await.unwrap();
            step(&spool, id, recipient, Step::Deliver).await.unwrap();
        }
    }
    assert_eq!(spool.domain("corp.example").unwrap().phase, Phase::Release);
    let status = command(&spool, DomainCommand::EndCanary).await;
    assert!(status.paused.unwrap().contains("canary of 2"));
    assert!(status.canary.unwrap().sent);
    let status = command(&spool, DomainCommand::Resume).await;
    assert_eq!((status.phase, status.canary), (Phase::Forward, None));
    assert_eq!(status.paused, None);
}

#[tokio::test]
async fn a_pause_in_the_middle_of_a_canary_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&config(&directory)).await;
    let _ = accept(&spool, &["a@corp.example"], b"x").await;
    command(&spool, release_with(Some(5), Gate::Open)).await;
    let reason = "refused".into();
    command(&spool, DomainCommand::Pause { reason }).await;
    let status = command(&spool, DomainCommand::Resume).await;
    assert_eq!(status.canary.map(|canary| canary.messages), Some(1));
    let status = command(&spool, DomainCommand::Hold).await;
    assert_eq!(status.canary, None);
}

#[tokio::test]
async fn a_short_disk_takes_the_oldest_delivered_bytes_first_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    config.min_free_bytes = 1 << 60;
    let spool = open(&config).await;
    let mut ids = Vec::new();
    for bytes in [
        b"one".to_vec(),
        noise(200_000),
        b"three".to_vec(),
        noise(200_000),
    ] {
        ids.push(accept(&spool, &["a@corp.example"], &bytes).await.id());
    }
    command(&spool, DomainCommand::release()).await;
    for id in &ids[..3] {
        step(&spool, *id, 0, Step::Attempt).await.unwrap();
        step(&spool, *id, 0, Step::Deliver).await.unwrap();
    }
    assert_eq!(spool.relieve(2).await.unwrap(), 2);
    let mut kept = Vec::new();
    for id in &ids {
        kept.push(spool.message(*id).await.unwrap().unwrap().has_body);
    }
    assert_eq!(kept, [false, false, true, true]);
    assert_eq!(spool.relieve(9).await.unwrap(), 1);
    // What waits is not touched, and nothing of the account is lost.
    assert_eq!(spool.relieve(9).await.unwrap(), 0);
    assert_eq!(read_all(&spool, ids[3]).await, noise(200_000));
    assert_eq!(spool.measures().given_up.get(), 3);
    assert_balanced(&spool).await;
}

/// What was delivered goes back to its place, and is kept as long as anything that waits.
#[tokio::test]
async fn a_rewind_is_at_its_old_place_and_does_not_expire() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let first = accept(&spool, &["a@corp.example"], b"x").await.id();
    let second = accept(&spool, &["a@corp.example"], b"y").await.id();
    command(&spool, DomainCommand::release()).await;
    for id in [first, second] {
        step(&spool, id, 0, Step::Attempt).await.unwrap();
        step(&spool, id, 0, Step::Deliver).await.unwrap();
    }
    let third = accept(&spool, &["a@corp.example"], b"z").await.id();
    let order = async || {
        let all = spool.unfinished("corp.example".into(), None, 9).await;
        let all: Vec<QueueId> = all.unwrap().iter().map(|one| one.id.message).collect();
        all
    };
    assert_eq!(order().await, [third]);
    assert!(step(&spool, third, 0, Step::Rewind).await.is_err());
    step(&spool, first, 0, Step::Rewind).await.unwrap();
    assert_eq!(order().await, [first, third]);
    let status = spool.domain("corp.example").unwrap();
    assert_eq!(
        (status.ledger.in_doubt.count, status.ledger.doubted),
        (1, 1)
    );
    // Long after its first expiry it is there, and the other one is not.
    spool.purge(u64::MAX, 9).await.unwrap();
    assert_eq!(read_all(&spool, first).await, b"x");
    let gone = step(&spool, second, 0, Step::Rewind).await;
    assert!(
        matches!(gone, Err(SpoolError::NoBody(id)) if id == second),
        "{gone:?}"
    );
    step(&spool, first, 0, Step::Found).await.unwrap();
    assert_eq!(spool.domain("corp.example").unwrap().ledger.found, 1);
    assert_balanced(&spool).await;
}

#[tokio::test]
async fn a_closed_gate_keeps_an_empty_release_from_going_on() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    for gate in [Gate::Domain, Gate::Mailbox] {
        let status = command(&spool, release_with(Some(3), gate)).await;
        // Nothing is held, so nothing can go first.
        assert_eq!((status.phase, status.canary), (Phase::Release, None));
        assert_eq!(status.gate, gate);
    }
    shut(spool).await;
    let spool = open(&config).await;
    assert_eq!(spool.domain("corp.example").unwrap().gate, Gate::Mailbox);
    let status = command(&spool, DomainCommand::Open).await;
    assert_eq!((status.phase, status.gate), (Phase::Forward, Gate::Open));
    let events = spool.domain_events("corp.example".into()).await.unwrap();
    let said: Vec<&str> = events.iter().map(|event| &*event.what).collect();
    assert!(said.contains(&"gate mailbox -> open"), "{said:?}");
}

#[tokio::test]
async fn limits_survive_a_restart_and_each_change_is_an_event() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let _ = accept(&spool, &["a@corp.example"], b"x").await;
    let _ = accept(&spool, &["b@other.example"], b"x").await;
    let change = LoadChange {
        connections: Setting::To(5),
        rate: Setting::To("600/m".parse().unwrap()),
        ..LoadChange::default()
    };
    let status = command(&spool, DomainCommand::Limit(change)).await;
    assert_eq!(status.load.to_string(), "connections = 5, rate = 600/m");
    // The same again is no change.
    command(&spool, DomainCommand::Limit(change)).await;
    command(&spool, DomainCommand::Hold).await;
    shut(spool).await;
    let spool = open(&config).await;
    assert_eq!(spool.domain("corp.example").unwrap().load, status.load);
    let other = spool.domain("other.example").unwrap();
    assert_eq!(other.load, LoadSet::default());
    let reset = DomainCommand::Limit(LoadChange::reset());
    assert_eq!(command(&spool, reset).await.load, LoadSet::default());
    shut(spool).await;
    let spool = open(&config).await;
    assert_eq!(
        spool.domain("corp.example").unwrap().load,
        LoadSet::default()
    );
    let events = spool.domain_events("corp.example".into()).await.unwrap();
    let said: Vec<&str> = events.iter().map(|event| &*event.what).collect();
    let expected = [
        "limits: connections = 5, rate = 600/m",
        "limits: as configured",
    ];
    assert_eq!(said, expected);
}
