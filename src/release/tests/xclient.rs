//! Where a message came from, as the destination is told.

use super::*;
use crate::release::peer::{Act, Moment, USUAL};

const XCLIENT: &str = "250-new.example\r\n250-PIPELINING\r\n\
                       250-XCLIENT NAME ADDR PROTO HELO PORT\r\n250 XFORWARD ADDR\r\n";
const XFORWARD: &str = "250-new.example\r\n250-PIPELINING\r\n250 XFORWARD ADDR IDENT SOURCE\r\n";

async fn offering(
    features: &'static str,
    script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static,
) -> Peer {
    Peer::with(features, "127.0.0.1:0", script).await
}

fn with(peer: &Peer, xclient: DestinationXclient) -> World {
    let change = |config: &mut Config| {
        for domain in &mut config.domains {
            domain.destination.xclient = xclient;
            // So that the commands of one session are in order.
            domain.destination.load.connections = 1;
        }
    };
    World::with(peer.address, change, timeouts())
}

/// Two messages from one client and one from another, and what the destination heard.
async fn three(world: &World) {
    for port in [4321, 4321, 9876] {
        let mut from = envelope(&["bob@corp.example"]);
        from.client.port = port;
        world.accept_as(from, b"x\r\n").await;
    }
    world.release().await;
}

fn heard(peer: &Peer, verb: &str) -> Vec<String> {
    let commands = peer.commands().into_iter();
    commands.filter(|line| line.starts_with(verb)).collect()
}

fn line(port: u16) -> String {
    format!("XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT={port} PROTO=ESMTP HELO=client.example")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_named_and_the_session_begins_again() {
    let peer = offering(XCLIENT, |_, _| Act::Usual).await;
    let world = with(&peer, DestinationXclient::Auto);
    three(&world).await;
    world.drained().await;
    let hello = || "EHLO hold.example.net".to_owned();
    let mut begin = peer.commands();
    begin.truncate(3);
    assert_eq!(begin, [hello(), line(4321), hello()]);
    assert_eq!(heard(&peer, "XCLIENT"), [line(4321), line(9876)]);
    assert_eq!(heard(&peer, "EHLO").len(), 3, "one session");
    assert_eq!(
        heard(&peer, "XFORWARD"),
        [""; 0],
        "it would say nothing new"
    );
    assert_eq!(peer.taken().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn xforward_goes_with_the_envelope() {
    let peer = offering(XFORWARD, |_, moment| match moment {
        // Whatever it says about it.
        Moment::Command(line) if line.starts_with("XFORWARD") => Act::Say("501 5.5.4 no\r\n"),
        _ => Act::Usual,
    })
    .await;
    let world = with(&peer, DestinationXclient::Auto);
    let id = world.accept(&["bob@corp.example"], b"x\r\n").await;
    world.release().await;
    world.drained().await;
    let expected = format!("XFORWARD ADDR=192.0.2.1 IDENT={id} SOURCE=REMOTE");
    assert_eq!(heard(&peer, "XFORWARD"), [expected]);
    assert_eq!((peer.taken().len(), heard(&peer, "XCLIENT").len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_that_is_not_offered_or_not_wanted() {
    for (features, xclient) in [
        (USUAL, DestinationXclient::Auto),
        (XCLIENT, DestinationXclient::Off),
        (XFORWARD, DestinationXclient::Off),
    ] {
        let peer = offering(features, |_, _| Act::Usual).await;
        let world = with(&peer, xclient);
        three(&world).await;
        world.drained().await;
        assert_eq!(heard(&peer, "X"), [""; 0]);
        assert_eq!(peer.taken().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_xclient_harms_no_message() {
    for refusal in [
        "501 5.5.4 Bad\r\n",
        "550 5.7.0 Not you\r\n",
        "450 4.7.1 Later\r\n",
    ] {
        let peer = offering(XCLIENT, move |_, moment| match moment {
            Moment::Command(line) if line.starts_with("XCLIENT") => Act::Say(refusal),
            _ => Act::Usual,
        })
        .await;
        let world = with(&peer, DestinationXclient::Auto);
        three(&world).await;
        world.drained().await;
        assert_eq!(peer.taken().len(), 3, "{refusal}");
        assert_eq!(world.ledger().delivered.count, 3);
        assert_eq!(heard(&peer, "XCLIENT").len(), 3, "each message tries");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_xclient_that_is_required_nothing_is_sent() {
    for features in [USUAL, XFORWARD, XCLIENT] {
        let peer = offering(features, |_, moment| match moment {
            Moment::Command(line) if line.starts_with("XCLIENT") => Act::Say("550 5.7.0 no\r\n"),
            _ => Act::Usual,
        })
        .await;
        let world = with(&peer, DestinationXclient::Require);
        three(&world).await;
        world
            .until("paused", |world| world.status().paused.is_some())
            .await;
        let reason = world.status().paused.unwrap();
        assert!(format!("{reason:?}").contains("XCLIENT"), "{reason:?}");
        assert_eq!(world.ledger().waiting.count, 3, "nothing is lost or parked");
        assert_eq!(heard(&peer, "MAIL"), [""; 0]);
    }
}

/// To a server that is far away several messages go in a row, and the one whose client it does
/// not like is one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_xclient_takes_nobody_elses_name() {
    let peer = Peer::far(XCLIENT, |_, moment| match moment {
        Moment::Command(line) if line.contains("PORT=7 ") => Act::Say("550 5.7.0 Not you\r\n"),
        _ => Act::Usual,
    })
    .await;
    let world = with(&peer, DestinationXclient::Auto);
    let ports = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    for (number, port) in ports.into_iter().enumerate() {
        let mut from = envelope(&[&format!("m{number}@corp.example")]);
        from.client.port = port;
        world.accept_as(from, b"x\r\n").await;
    }
    world.release().await;
    world.drained().await;
    for port in ports.into_iter().filter(|port| *port != 7) {
        let named = heard(&peer, "XCLIENT").into_iter();
        assert_eq!(
            named.filter(|said| *said == line(port)).count(),
            1,
            "{port}"
        );
    }
    assert_eq!(peer.taken().len(), ports.len());
}
