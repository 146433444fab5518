//! Order and bytes.

use super::*;
use crate::release::peer::{Act, CHUNKING, Moment, USUAL};
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const CHUNKING_ALONE: &str = "250-new.example\r\n250 CHUNKING\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_arrives_as_it_was() {
    for features in [USUAL, CHUNKING, CHUNKING_ALONE] {
        every_byte_arrives(features).await;
    }
}

async fn every_byte_arrives(features: &'static str) {
    let peer = Peer::with(features, "127.0.0.1:0", |_, _| Act::Usual).await;
    let world = World::new(&peer);
    let long = [b"x".repeat(200_000), b"\r\n".to_vec()].concat();
    let big = b"0123456789abcdef.\r\n..\r\n".repeat(100_000);
    let bodies: Vec<Vec<u8>> = vec![
        b"Subject: x\r\n\r\nhello\r\n".to_vec(),
        b"".to_vec(),
        b".\r\n".to_vec(),
        b"..\r\n.\r\n...x\r\n".to_vec(),
        b"\r\n\r\n\r\n".to_vec(),
        b"a\r\n\r\n".to_vec(),
        b"8-bit \xff\xfe\x80\r\n".to_vec(),
        b"nul \0 and \0.\r\n".to_vec(),
        b"bare \r inside\r\n".to_vec(),
        long,
        big,
    ];
    for body in &bodies {
        world.accept(&["bob@corp.example"], body).await;
    }
    world.release().await;
    world.drained().await;
    let taken = peer.taken();
    assert_eq!(taken.len(), bodies.len());
    for (taken, body) in taken.iter().zip(&bodies) {
        assert!(original(taken) == body, "{} bytes differ", body.len());
    }
    let offered = features.contains("CHUNKING");
    let chunks = peer.commands();
    let chunks = chunks.iter().filter(|line| line.starts_with("BDAT"));
    assert_eq!(chunks.count(), if offered { bodies.len() } else { 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_header_names_the_message_and_a_single_recipient() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let world = World::new(&peer);
    let one = world.accept(&["bob@corp.example"], b"x\r\n").await;
    world
        .accept(&["bob@corp.example", "eve@corp.example"], b"x\r\n")
        .await;
    world.release().await;
    world.drained().await;
    let text = |at: usize| String::from_utf8(peer.taken()[at].data.clone()).unwrap();
    assert!(text(0).contains(&format!("by {HOSTNAME} (relay) with ESMTP id {one}")));
    assert!(text(0).contains("for <bob@corp.example>"));
    assert!(
        !text(1).contains("for <"),
        "recipients do not learn of each other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_many_goes_once() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let world = World::new(&peer);
    let to: Vec<String> = (0..40).map(|i| format!("u{i}@corp.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    world.accept(&to, b"x\r\n").await;
    world.release().await;
    world.drained().await;
    let taken = peer.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].to.len(), 40);
    assert_eq!(world.ledger().delivered.count, 40);
}

/// 400 messages into 30 mailboxes, one in five to several, over four connections, and a
/// destination that fails in every way, from a fixed seed.
#[tokio::test(flavor = "multi_thread")]
async fn order_holds_under_fire() {
    under_fire(USUAL, NEAR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_under_fire_in_chunks() {
    under_fire(CHUNKING, NEAR).await;
}

/// In rows of messages: seldom enough for the destination to prove right again and again.
#[tokio::test(flavor = "multi_thread")]
async fn order_holds_under_fire_far_away() {
    under_fire(USUAL, FAR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_under_fire_far_away_in_chunks() {
    under_fire(CHUNKING, FAR).await;
}

/// How far away the destination seems to be, and one in how many moments is one of trouble.
#[derive(Clone, Copy)]
struct Fire {
    far: bool,
    of: usize,
}

const NEAR: Fire = Fire {
    far: false,
    of: 100,
};
const FAR: Fire = Fire {
    far: true,
    of: 1500,
};

async fn under_fire(features: &'static str, fire: Fire) {
    let count = AtomicUsize::new(0);
    let script = move |_: usize, moment: &Moment| {
        let roll = count
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(2_654_435_761)
            >> 7;
        match (moment, roll % fire.of) {
            (Moment::Command(line), 0..4) if line.starts_with("RCPT") => {
                Act::Say("452 4.2.2 mailbox full\r\n")
            }
            (Moment::Command(line), 4) if line.starts_with("MAIL") => Act::Close,
            (Moment::Command(line), 5) if line.starts_with("DATA") => Act::Close,
            (Moment::Command(line), 6) if line.starts_with("RCPT") => {
                Act::SayAndClose("421 4.3.2 going down\r\n")
            }
            (Moment::Dot { .. }, 10..14) => Act::Say("451 4.3.0 not now\r\n"),
            (Moment::Dot { .. }, 14..17) => Act::TakeAndClose,
            (Moment::Dot { .. }, 17..20) => Act::Close,
            _ => Act::Usual,
        }
    };
    let peer = match fire.far {
        true => Peer::far(features, script).await,
        false => Peer::with(features, "127.0.0.1:0", script).await,
    };
    let world = World::new(&peer);
    let mut expected: HashMap<String, Vec<usize>> = HashMap::new();
    let mut deliveries = 0;
    for number in 0..400 {
        let several = if number % 5 == 0 { 1 + number % 7 } else { 1 };
        let to: Vec<String> = (0..several)
            .map(|i| format!("u{}@corp.example", (number * 7 + i * 11) % 30))
            .collect();
        for to in &to {
            expected
                .entry(format!("RCPT TO:<{to}>"))
                .or_default()
                .push(number);
        }
        deliveries += to.len() as u64;
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        world
            .accept(&to, format!("Subject: {number}\r\n\r\n").as_bytes())
            .await;
    }
    world.release().await;
    world.drained().await;
    let ledger = world.ledger();
    assert_eq!(ledger.delivered.count, deliveries, "{ledger:?}");
    let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
    let mut twice = 0;
    for taken in peer.taken() {
        let text = String::from_utf8(original(&taken).to_vec()).unwrap();
        let number = text[9..].trim_end().parse().unwrap();
        for to in &taken.to {
            let seen = seen.entry(to.clone()).or_default();
            if seen.last() == Some(&number) {
                twice += 1;
            } else {
                seen.push(number);
            }
        }
    }
    assert_eq!(seen, expected, "each mailbox in its order, nothing lost");
    assert!(
        twice <= ledger.resent,
        "{twice} twice, {} reported",
        ledger.resent
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_mailbox_delays_no_other() {
    let peer = Peer::start(|_, moment| match moment {
        Moment::Command(line) if line.contains("<eve@") => Act::Say("452 4.2.2 full\r\n"),
        _ => Act::Usual,
    })
    .await;
    let hour = Duration::from_secs(3600);
    let world = World::with(
        peer.address,
        |config| (config.release.retry_min, config.release.retry_max) = (hour, hour),
        timeouts(),
    );
    let eve = world.accept(&["eve@corp.example"], b"1\r\n").await;
    for _ in 0..50 {
        world
            .accept(&["eve@corp.example", "bob@corp.example"], b"2\r\n")
            .await;
    }
    world.release().await;
    world
        .until("delivered to bob", |world| {
            world.ledger().delivered.count == 50
        })
        .await;
    let ledger = world.ledger();
    assert_eq!(
        ledger.deferred.count, 1,
        "only the head of eve's lane was tried"
    );
    assert_eq!(ledger.waiting.count, 50);
    let tries = peer
        .commands()
        .iter()
        .filter(|line| line.contains("<eve@"))
        .count();
    assert_eq!(tries, 1);
    let event = world.events(eve).await.pop().unwrap();
    assert_eq!(event.remote.unwrap().reply, "452 4.2.2 full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_can_put_the_mailbox_back_at_once() {
    let full = Arc::new(Mutex::new(true));
    let seen = full.clone();
    let peer = Peer::start(move |_, moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") && *seen.lock().unwrap() => {
            Act::Say("452 4.2.2 full\r\n")
        }
        _ => Act::Usual,
    })
    .await;
    let hour = Duration::from_secs(3600);
    let world = World::with(
        peer.address,
        |config| (config.release.retry_min, config.release.retry_max) = (hour, hour),
        timeouts(),
    );
    let first = world.accept(&["eve@corp.example"], b"1\r\n").await;
    world.accept(&["eve@corp.example"], b"2\r\n").await;
    world.release().await;
    world
        .until("deferred", |world| world.ledger().deferred.count == 1)
        .await;
    *full.lock().unwrap() = false;
    let transition = crate::spool::Transition {
        delivery: crate::mail::DeliveryId {
            message: first,
            recipient: 0,
        },
        step: crate::spool::Step::Retry,
        cause: Cause::Operator("relay retry".into()),
        remote: None,
        at_ms: 1,
    };
    world.spool.advance(vec![transition]).await.unwrap();
    world.drained().await;
    let bodies: Vec<_> = peer
        .taken()
        .iter()
        .map(|taken| original(taken).to_vec())
        .collect();
    assert_eq!(bodies, [b"1\r\n", b"2\r\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_mail_is_forwarded_at_once() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let world = World::new(&peer);
    world.release().await;
    world.drained().await;
    for number in 1..=5 {
        world.accept(&["bob@corp.example"], b"late\r\n").await;
        world
            .until("forwarded", |world| {
                world.ledger().delivered.count == number
            })
            .await;
    }
    let hellos = peer
        .commands()
        .iter()
        .filter(|line| line.starts_with("EHLO"))
        .count();
    assert_eq!(hellos, 1, "the connection was kept");
}
