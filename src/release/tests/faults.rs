//! One fault at each step of a delivery.

use super::*;
use crate::{
    release::peer::{Act, Moment, USUAL},
    spool::Standing,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// A destination that does `act` the first time that a command begins with `verb`; a dot
/// is `.`.
async fn faulty(verb: &'static str, act: Act) -> Peer {
    let done = AtomicBool::new(false);
    Peer::start(move |_, moment| {
        let now = match moment {
            Moment::Connected => "",
            Moment::Command(line) => line,
            Moment::Dot { .. } => ".",
        };
        let hit = now.starts_with(verb) && !now.is_empty() && !done.swap(true, Ordering::SeqCst);
        if !now.starts_with(verb) || now.is_empty() {
            return Act::Usual;
        }
        if hit { act.clone() } else { Act::Usual }
    })
    .await
}

/// Three messages to one mailbox through a destination with one fault.
async fn three(peer: &Peer) -> (World, QueueId) {
    let world = World::new(peer);
    let first = world.accept(&["bob@corp.example"], b"1\r\n").await;
    world.accept(&["bob@corp.example"], b"2\r\n").await;
    world.accept(&["bob@corp.example"], b"3\r\n").await;
    world.release().await;
    world.drained().await;
    (world, first)
}

fn bodies(peer: &Peer) -> Vec<String> {
    let text = |taken: &Taken| String::from_utf8(original(taken).to_vec()).unwrap();
    peer.taken()
        .iter()
        .map(|taken| text(taken).trim_end().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_4xx_at_any_command_defers_and_keeps_the_order() {
    for verb in ["MAIL", "RCPT", "DATA", "."] {
        let peer = faulty(verb, Act::Say("450-4.2.0 not\r\n450 4.2.0 now\r\n")).await;
        let (world, first) = three(&peer).await;
        assert_eq!(bodies(&peer), ["1", "2", "3"], "{verb}");
        assert_eq!(world.ledger().delivered.count, 3);
        let events = world.events(first).await;
        let deferred = events
            .iter()
            .find(|event| matches!(event.to, Standing::Deferred { .. }))
            .unwrap_or_else(|| panic!("{verb}: {events:?}"));
        let remote = deferred.remote.clone().unwrap();
        assert_eq!(remote.reply, "450-4.2.0 not 450 4.2.0 now", "verbatim");
        assert_eq!(remote.dsn, "4.2.0");
        assert_eq!(
            remote.relay,
            format!("127.0.0.1[127.0.0.1]:{}", peer.address.port())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5xx_at_any_command_parks_that_delivery_alone() {
    for verb in ["MAIL", "RCPT", "DATA", "."] {
        let peer = faulty(verb, Act::Say("554 5.7.1 no\r\n")).await;
        let (world, first) = three(&peer).await;
        assert_eq!(bodies(&peer), ["2", "3"], "{verb}");
        let ledger = world.ledger();
        assert_eq!(
            (ledger.delivered.count, ledger.parked.count),
            (2, 1),
            "{verb}"
        );
        let event = world.events(first).await.pop().unwrap();
        assert_eq!((event.to, event.cause), (Standing::Parked, Cause::Reply));
        assert_eq!(event.remote.unwrap().reply, "554 5.7.1 no");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_before_the_end_is_no_doubt() {
    for verb in ["EHLO", "MAIL", "RCPT", "DATA"] {
        for act in [Act::Close, Act::SayAndClose("421 4.3.2 going down\r\n")] {
            let peer = faulty(verb, act.clone()).await;
            let (world, first) = three(&peer).await;
            assert_eq!(bodies(&peer), ["1", "2", "3"], "{verb} {act:?}");
            assert_eq!(world.ledger().resent, 0);
            let events = world.events(first).await;
            let doubt = |event: &&Event| matches!(event.to, Standing::InDoubt { .. });
            assert_eq!(events.iter().find(doubt), None, "{verb} {act:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_behind_the_end_is_in_doubt_and_sent_again() {
    for (act, arrived) in [
        (Act::Close, vec!["1", "2", "3"]),
        (Act::TakeAndClose, vec!["1", "1", "2", "3"]),
        (Act::SayAndClose("garbage\r\n"), vec!["1", "2", "3"]),
    ] {
        let peer = faulty(".", act.clone()).await;
        let (world, first) = three(&peer).await;
        assert_eq!(bodies(&peer), arrived, "{act:?}");
        let ledger = world.ledger();
        assert_eq!(
            (ledger.delivered.count, ledger.resent),
            (3, 1),
            "counted and reported"
        );
        let events = world.events(first).await;
        let doubt = |event: &&Event| matches!(event.to, Standing::InDoubt { .. });
        assert!(events.iter().any(|event| doubt(&event)), "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_can_be_parked_instead() {
    let peer = faulty(".", Act::TakeAndClose).await;
    let park = |config: &mut Config| config.release.in_doubt = InDoubtPolicy::Park;
    let world = World::with(peer.address, park, timeouts());
    world.accept(&["bob@corp.example"], b"1\r\n").await;
    world.accept(&["bob@corp.example"], b"2\r\n").await;
    world.release().await;
    world.drained().await;
    assert_eq!(bodies(&peer), ["1", "2"], "nothing is sent twice");
    let ledger = world.ledger();
    assert_eq!(
        (ledger.delivered.count, ledger.parked.count, ledger.resent),
        (1, 1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_has_a_limit_and_its_phase_counts() {
    let short = Duration::from_millis(100);
    for (verb, resent) in [("MAIL", 0), ("RCPT", 0), ("DATA", 0), (".", 1)] {
        let peer = faulty(verb, Act::Stall).await;
        let impatient = Timeouts {
            mail: short,
            rcpt: short,
            data: short,
            end_of_data: short,
            ..timeouts()
        };
        let world = World::with(peer.address, |_| {}, impatient);
        world.accept(&["bob@corp.example"], b"1\r\n").await;
        world.release().await;
        world.drained().await;
        assert_eq!(bodies(&peer), ["1"], "{verb}");
        assert_eq!(world.ledger().resent, resent, "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_does_not_harm_the_others() {
    let peer = Peer::start(|_, moment| match moment {
        Moment::Command(line) if line.contains("<eve@") => Act::Say("550 5.1.1 who?\r\n"),
        _ => Act::Usual,
    })
    .await;
    let world = World::new(&peer);
    let to = ["bob@corp.example", "eve@corp.example", "joe@corp.example"];
    world.accept(&to, b"x\r\n").await;
    world.release().await;
    world.drained().await;
    let taken = peer.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        taken[0].to,
        ["RCPT TO:<bob@corp.example>", "RCPT TO:<joe@corp.example>"]
    );
    let ledger = world.ledger();
    assert_eq!((ledger.delivered.count, ledger.parked.count), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_recipients_go_in_several_transactions() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let peer = Peer::start(move |_, moment| {
        let Moment::Command(line) = moment else {
            return Act::Usual;
        };
        if line.starts_with("MAIL") {
            count.store(0, Ordering::SeqCst);
        }
        let rcpt = line.starts_with("RCPT");
        if rcpt && count.fetch_add(1, Ordering::SeqCst) >= 3 {
            return Act::Say("452 4.5.3 too many recipients\r\n");
        }
        Act::Usual
    })
    .await;
    let one = |config: &mut Config| config.domains[0].destination.load.connections = 1;
    let world = World::with(peer.address, one, timeouts());
    let to: Vec<String> = (0..8).map(|i| format!("u{i}@corp.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let id = world.accept(&to, b"x\r\n").await;
    world.release().await;
    world.drained().await;
    let sizes: Vec<usize> = peer.taken().iter().map(|taken| taken.to.len()).collect();
    assert_eq!(sizes, [3, 3, 2]);
    let deferred = |event: &&Event| matches!(event.to, Standing::Deferred { .. });
    assert_eq!(
        world.events(id).await.iter().find(deferred),
        None,
        "nobody had to wait"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_answers_for_each_recipient() {
    let full = AtomicBool::new(true);
    let peer = Peer::with(USUAL, "127.0.0.1:0", move |_, moment| match moment {
        Moment::Dot { to: Some(to) } if to.contains("<full@") => {
            match full.swap(false, Ordering::SeqCst) {
                true => Act::Say("452 4.2.2 full\r\n"),
                false => Act::Usual,
            }
        }
        Moment::Dot { to: Some(to) } if to.contains("<gone@") => Act::Say("550 5.1.1 no\r\n"),
        _ => Act::Usual,
    })
    .await;
    let lmtp = |config: &mut Config| {
        config.domains[0].destination.protocol = DestinationProtocol::Lmtp;
    };
    let world = World::with(peer.address, lmtp, timeouts());
    let to = ["bob@corp.example", "full@corp.example", "gone@corp.example"];
    world.accept(&to, b"x\r\n").await;
    world.release().await;
    world.drained().await;
    let ledger = world.ledger();
    assert_eq!((ledger.delivered.count, ledger.parked.count), (2, 1));
    let to: Vec<String> = peer
        .taken()
        .into_iter()
        .flat_map(|taken| taken.to)
        .collect();
    assert_eq!(
        to,
        ["RCPT TO:<bob@corp.example>", "RCPT TO:<full@corp.example>"]
    );
    assert!(peer.commands()[0].starts_with("LHLO "));
}

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_replies_before_a_hang_up_count() {
    let peer = Peer::with(USUAL, "127.0.0.1:0", |number, moment| match moment {
        Moment::Dot { to: Some(to) } if to.contains("<eve@") && number == 0 => Act::TakeAndClose,
        _ => Act::Usual,
    })
    .await;
    let lmtp = |config: &mut Config| {
        config.domains[0].destination.protocol = DestinationProtocol::Lmtp;
    };
    let world = World::with(peer.address, lmtp, timeouts());
    world
        .accept(&["bob@corp.example", "eve@corp.example"], b"x\r\n")
        .await;
    world.release().await;
    world.drained().await;
    let to: Vec<String> = peer
        .taken()
        .into_iter()
        .flat_map(|taken| taken.to)
        .collect();
    let (bob, eve) = ("RCPT TO:<bob@corp.example>", "RCPT TO:<eve@corp.example>");
    assert_eq!(to, [bob, eve, eve], "bob had his reply");
    assert_eq!(world.ledger().resent, 1);
}
