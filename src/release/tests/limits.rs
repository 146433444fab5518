//! When a release stops by itself, and when it is stopped.

use super::*;
use crate::{
    mail::BodyKind,
    release::peer::{Act, Moment},
    spool::Gate,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// A destination for which `say` is the answer to `verb`, until it is put right.
async fn wrong(verb: &'static str, say: &'static str) -> (Peer, Arc<AtomicBool>) {
    let right = Arc::new(AtomicBool::new(false));
    let seen = right.clone();
    let peer = Peer::start(move |_, moment| match moment {
        _ if seen.load(Ordering::SeqCst) => Act::Usual,
        Moment::Connected if verb == "CONNECT" => Act::Say(say),
        Moment::Command(line) if line.starts_with(verb) => Act::Say(say),
        Moment::Dot { .. } if verb == "." && say.is_empty() => Act::Close,
        _ => Act::Usual,
    })
    .await;
    (peer, right)
}

async fn with_fifty(peer: &Peer) -> World {
    let world = World::new(peer);
    for number in 0..50 {
        let to = format!("u{number}@corp.example");
        world.accept(&[&to], b"x\r\n").await;
    }
    world.release().await;
    world
}

async fn paused(world: &World) -> String {
    world
        .until("paused", |world| world.status().paused.is_some())
        .await;
    world
        .until("stopped", |world| world.releaser.status(DOMAIN).is_none())
        .await;
    world.status().paused.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_everything_gets_ten() {
    let (peer, right) = wrong("RCPT", "550 5.7.1 relaying denied\r\n").await;
    let world = with_fifty(&peer).await;
    let reason = paused(&world).await;
    assert!(reason.contains("550 5.7.1 relaying denied"), "{reason}");
    let ledger = world.ledger();
    assert_eq!((ledger.parked.count, ledger.waiting.count), (10, 40));
    right.store(true, Ordering::SeqCst);
    world.command(DomainCommand::Resume).await;
    world.drained().await;
    assert_eq!(
        world.ledger().delivered.count,
        40,
        "it goes on once it is put right"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_right_one_gets_nothing() {
    for (verb, say) in [
        ("CONNECT", "554 5.7.1 not for you\r\n"),
        ("MAIL", "530 5.7.0 Authentication required\r\n"),
    ] {
        let (peer, _) = wrong(verb, say).await;
        let world = with_fifty(&peer).await;
        let reason = paused(&world).await;
        assert!(reason.contains(say.trim_end()), "{reason}");
        assert_eq!(
            world.ledger().waiting.count,
            50,
            "nothing is parked, nothing deferred"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_itself_gets_nothing() {
    let greeting = "220 hold.example.net ESMTP\r\n";
    let (peer, _) = wrong("CONNECT", greeting).await;
    let world = with_fifty(&peer).await;
    let reason = paused(&world).await;
    assert!(reason.contains("own hostname"), "{reason}");
    assert_eq!(world.ledger().waiting.count, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_goes_round_in_circles_is_parked() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let world = World::new(&peer);
    let pass =
        format!("Received: from x\r\n\tby {HOSTNAME} (relay) with ESMTP id 1;\r\n\tdate\r\n");
    world
        .accept(&["bob@corp.example"], pass.repeat(3).as_bytes())
        .await;
    world
        .accept(&["bob@corp.example"], pass.repeat(2).as_bytes())
        .await;
    world.release().await;
    world.drained().await;
    let ledger = world.ledger();
    assert_eq!((ledger.parked.count, ledger.delivered.count), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_swallows_messages_is_stopped() {
    let (peer, _) = wrong(".", "").await;
    let world = with_fifty(&peer).await;
    let reason = paused(&world).await;
    assert!(reason.contains("without a final reply"), "{reason}");
    let ledger = world.ledger();
    assert!(ledger.in_doubt.count + ledger.resent <= 10, "{ledger:?}");
    assert!(ledger.waiting.count >= 40, "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_defers_nobody() {
    // A port that was free a moment ago.
    let address = Peer::start(|_, _| Act::Usual).await.address;
    let world = World::with(address, |_| {}, timeouts());
    for number in 0..20 {
        let to = format!("u{number}@corp.example");
        world.accept(&[&to], b"x\r\n").await;
    }
    world.release().await;
    world
        .until("blocked", |world| {
            let status = world.releaser.status(DOMAIN);
            status.is_some_and(|status| status.blocked.is_some() && status.next_try_ms.is_some())
        })
        .await;
    let status = world.releaser.status(DOMAIN).unwrap();
    let blocked = status.blocked.unwrap();
    assert!(blocked.contains("Connection refused"), "{blocked}");
    assert_eq!(world.ledger().waiting.count, 20);
    let peer = Peer::with(super::super::peer::USUAL, &address.to_string(), |_, _| {
        Act::Usual
    })
    .await;
    world.drained().await;
    assert_eq!(peer.taken().len(), 20);
    assert_eq!(world.releaser.status(DOMAIN).unwrap().blocked, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_takes_held_mail_elsewhere() {
    let (wrong, right) = (
        Peer::start(|_, _| Act::Stall).await,
        Peer::start(|_, _| Act::Usual).await,
    );
    let world = World::new(&wrong);
    world.accept(&["bob@corp.example"], b"x\r\n").await;
    world.release().await;
    world
        .until("tried", |world| {
            let status = world.releaser.status(DOMAIN);
            status.is_some_and(|status| status.in_flight == 1)
        })
        .await;
    let command = DomainCommand::Release {
        to: Some(right.address.to_string()),
        then: Phase::Forward,
        canary: None,
        gate: Gate::Open,
    };
    world.command(command).await;
    world.drained().await;
    assert_eq!(right.taken().len(), 1);
}

/// Where a destination hangs when the release is stopped decides what is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_only_what_was_sent_to_its_end_in_doubt() {
    for (verb, doubts) in [("MAIL", 0), ("DATA", 0), (".", 1)] {
        let reached = Arc::new(AtomicBool::new(false));
        let seen = reached.clone();
        let peer = Peer::start(move |_, moment| {
            let now = match moment {
                Moment::Command(line) => line,
                Moment::Dot { .. } => ".",
                Moment::Connected => return Act::Usual,
            };
            if now.starts_with(verb) {
                seen.store(true, Ordering::SeqCst);
                return Act::Stall;
            }
            Act::Usual
        })
        .await;
        let mut world = World::new(&peer);
        world.accept(&["bob@corp.example"], b"x\r\n").await;
        world.release().await;
        world
            .until("reached", |_| reached.load(Ordering::SeqCst))
            .await;
        world.stop().await;
        let ledger = world.ledger();
        assert_eq!(
            (ledger.in_doubt.count, ledger.waiting.count),
            (doubts, 1 - doubts),
            "{verb}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_stops_a_release_and_waits_for_its_reply() {
    let reached = Arc::new(tokio::sync::Notify::new());
    let bell = reached.clone();
    let (answer, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let peer = Peer::start(move |_, moment| {
        if matches!(moment, Moment::Dot { .. }) {
            bell.notify_one();
            tokio::task::block_in_place(|| wait.lock().unwrap().recv().unwrap());
        }
        Act::Usual
    })
    .await;
    let world = World::new(&peer);
    world.accept(&["bob@corp.example"], b"1\r\n").await;
    world.accept(&["bob@corp.example"], b"2\r\n").await;
    world.release().await;
    reached.notified().await;
    world.command(DomainCommand::Hold).await;
    answer.send(()).unwrap();
    world
        .until("stopped", |world| world.releaser.status(DOMAIN).is_none())
        .await;
    let ledger = world.ledger();
    assert_eq!((ledger.delivered.count, ledger.waiting.count), (1, 1));
    assert_eq!(peer.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_destination_cannot_do_parks_the_message() {
    let peer = Peer::with(
        "250-new.example\r\n250 PIPELINING\r\n",
        "127.0.0.1:0",
        |_, _| Act::Usual,
    )
    .await;
    let world = World::new(&peer);
    let mut eight = envelope(&["bob@corp.example"]);
    eight.body = BodyKind::EightBitMime;
    let id = world.accept_as(eight, b"\xe4\r\n").await;
    world
        .accept(&["bob@corp.example"], b"said nothing \xe4\r\n")
        .await;
    world.release().await;
    world.drained().await;
    let ledger = world.ledger();
    assert_eq!((ledger.parked.count, ledger.delivered.count), (1, 1));
    let event = world.events(id).await.pop().unwrap();
    assert!(event.remote.unwrap().reply.contains("8BITMIME"));
}
