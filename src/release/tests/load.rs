//! How much a destination is asked to take: its own LIMITS, an operator's, and what it bears.

use super::*;
use crate::{
    config::{LoadChange, LoadSet, load::Setting},
    release::peer::{Act, Moment},
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn slowed(world: &World) -> String {
    let status = world.releaser.status(DOMAIN);
    status.map_or_else(String::new, |status| status.slowed.join("; "))
}

async fn with(peer: &Peer, messages: usize) -> World {
    let world = World::new(peer);
    for number in 0..messages {
        let to = format!("u{number}@corp.example");
        world.accept(&[&to], b"x\r\n").await;
    }
    world
}

async fn limit(world: &World, change: LoadChange) {
    world.command(DomainCommand::Limit(change)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_as_many_messages_as_its_limit_says() {
    const LIMITS: &str = "250-new.example\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=3\r\n";
    let mails = std::sync::Arc::new(std::sync::Mutex::new(Vec::<usize>::new()));
    let seen = mails.clone();
    let script = move |number: usize, moment: &Moment| {
        let mut mails = seen.lock().unwrap();
        let length = mails.len().max(number + 1);
        mails.resize(length, 0);
        match moment {
            Moment::Command(line) if line.starts_with("MAIL") => mails[number] += 1,
            _ => {}
        }
        // Those that are refused count too.
        match moment {
            Moment::Command(line) if line.contains("<u3@") => Act::Say("550 5.1.1 nobody\r\n"),
            _ => Act::Usual,
        }
    };
    let peer = Peer::with(LIMITS, "127.0.0.1:0", script).await;
    let world = with(&peer, 10).await;
    world.release().await;
    world.drained().await;
    let mails = mails.lock().unwrap().clone();
    assert_eq!(mails.iter().sum::<usize>(), 10, "{mails:?}");
    assert!(mails.iter().all(|count| *count <= 3), "{mails:?}");
    let quits = (peer.commands().iter())
        .filter(|line| *line == "QUIT")
        .count();
    assert!(quits >= mails.iter().filter(|count| **count == 3).count());
    let ledger = world.ledger();
    assert_eq!((ledger.delivered.count, ledger.parked.count), (9, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_as_many_recipients_as_its_limit_says() {
    const LIMITS: &str = "250-new.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n\
                          250 LIMITS RCPTMAX=3 RCPTDOMAINMAX=1\r\n";
    let peer = Peer::with(LIMITS, "127.0.0.1:0", |_, _| Act::Usual).await;
    let world = World::new(&peer);
    let to: Vec<String> = (0..8).map(|i| format!("u{i}@corp.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let id = world.accept(&to, b"x\r\n").await;
    world.release().await;
    world.drained().await;
    let mut sizes: Vec<usize> = peer.taken().iter().map(|taken| taken.to.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 3, 3]);
    let rcpts = (peer.commands().iter())
        .filter(|line| line.starts_with("RCPT"))
        .count();
    assert_eq!(rcpts, 8, "nobody was named who had to be refused");
    let events = world.events(id).await;
    assert_eq!(events.len(), 8, "each was tried once: {events:#?}");
}

/// Reports about bounced mail go to senders everywhere by one server.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_as_many_domains_as_its_limit_says() {
    const LIMITS: &str = "250-new.example\r\n250-PIPELINING\r\n250 LIMITS RCPTDOMAINMAX=2\r\n";
    let domains = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = domains.clone();
    let script = move |number: usize, moment: &Moment| {
        if let Moment::Command(line) = moment
            && let Some((_, domain)) = line
                .strip_prefix("RCPT TO:")
                .and_then(|to| to.split_once('@'))
        {
            seen.lock().unwrap().push((number, domain.to_owned()));
        }
        Act::Usual
    };
    let peer = Peer::with(LIMITS, "127.0.0.1:0", script).await;
    let mut connection = crate::release::connection::Connection::open(&super::session::setup(
        &peer,
        DestinationTls::None,
    ))
    .await
    .unwrap();
    let three = envelope(&[
        "a@one.example",
        "b@two.example",
        "c@one.example",
        "d@three.example",
    ]);
    assert_eq!(connection.room_for(&three, &[0, 1, 2, 3]), 3);
    connection.use_for(&three, &[0]);
    assert_eq!(connection.room_for(&three, &[3, 2, 1]), 2);
    connection.use_for(&three, &[3]);
    assert_eq!(connection.room_for(&three, &[1, 2]), 0);
    assert_eq!(connection.room_for(&three, &[2, 3]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_and_lifted_while_it_runs() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let world = with(&peer, 60).await;
    let rate = |text: &str| LoadChange {
        rate: Setting::To(text.parse().unwrap()),
        ..LoadChange::default()
    };
    limit(&world, rate("20/s")).await;
    let begun = Instant::now();
    world.release().await;
    world
        .until("bound", |world| {
            slowed(world).contains("rate 20/s is reached")
        })
        .await;
    world
        .until("under way", |world| world.ledger().delivered.count >= 20)
        .await;
    // The first goes at once, the twentieth 19 times 50 ms later.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(940), "{took:?}");
    let connections = peer.clients().len();
    limit(&world, rate("1/h")).await;
    world
        .until("bound", |world| {
            slowed(world).contains("rate 1/h is reached")
        })
        .await;
    limit(&world, LoadChange::reset()).await;
    world.drained().await;
    assert_eq!(world.ledger().delivered.count, 60);
    assert_eq!(peer.taken().len(), 60);
    assert!(
        peer.clients().len() <= connections + 4,
        "it went on, and did not begin again"
    );
    assert_eq!(world.status().load, LoadSet::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_fewer_and_more_while_it_runs() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hold = Arc::new(AtomicBool::new(false));
    let (opened, peak, held) = (open.clone(), most.clone(), hold.clone());
    let peer = Peer::start(move |_, moment| {
        match moment {
            Moment::Command(line) if line.starts_with("MAIL") => {
                let now = opened.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(now, Ordering::SeqCst);
            }
            Moment::Dot { .. } => {
                tokio::task::block_in_place(|| {
                    while held.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
                opened.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Act::Usual
    })
    .await;
    let connections = |count| LoadChange {
        connections: Setting::To(count),
        ..LoadChange::default()
    };
    let world = with(&peer, 200).await;
    limit(&world, connections(2)).await;
    hold.store(true, Ordering::SeqCst);
    world.release().await;
    world
        .until("one at first", |_| open.load(Ordering::SeqCst) == 1)
        .await;
    hold.store(false, Ordering::SeqCst);
    world
        .until("some sent", |world| world.ledger().delivered.count >= 50)
        .await;
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
    hold.store(true, Ordering::SeqCst);
    world
        .until("bound", |world| {
            slowed(world).contains("all 2 connections are in use")
        })
        .await;
    limit(&world, connections(1)).await;
    hold.store(false, Ordering::SeqCst);
    world
        .until("more sent", |world| world.ledger().delivered.count >= 100)
        .await;
    hold.store(true, Ordering::SeqCst);
    world
        .until("bound", |world| {
            slowed(world).contains("its only connection is in use")
        })
        .await;
    assert_eq!(open.load(Ordering::SeqCst), 1);
    hold.store(false, Ordering::SeqCst);
    limit(&world, LoadChange::reset()).await;
    world.drained().await;
    assert_eq!(world.ledger().delivered.count, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_a_time_are_kept() {
    const MESSAGES: usize = 6;
    const BYTES: usize = 100_000;
    let peer = Peer::start(|_, _| Act::Usual).await;
    let rate = |config: &mut Config| {
        config.domains[0].destination.load.bytes_rate = "300 kB/s".parse().unwrap();
    };
    let world = World::with(peer.address, rate, timeouts());
    let line = format!("{}\r\n", "x".repeat(998));
    let data = line.repeat(BYTES / line.len());
    for number in 0..MESSAGES {
        let to = format!("u{number}@corp.example");
        world.accept(&[&to], data.as_bytes()).await;
    }
    let begun = Instant::now();
    world.release().await;
    world
        .until("bound", |world| {
            slowed(world).contains("bytes_rate 300 kB/s is reached")
        })
        .await;
    world.drained().await;
    // 600 kB, of which a piece for each connection may go at once.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_700), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(peer.taken().len(), MESSAGES);
}

/// A server with so many seats: whoever comes when they are taken is sent away.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_two_connections_gets_two_and_no_pause() {
    let away = Arc::new(AtomicUsize::new(0));
    let sent_away = away.clone();
    let script = move |number: usize, moment: &Moment| match moment {
        // The first two live on.
        Moment::Connected if number >= 2 => {
            sent_away.fetch_add(1, Ordering::SeqCst);
            Act::SayAndClose("421 4.7.0 too many connections\r\n")
        }
        Moment::Dot { .. } => {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(5)));
            Act::Usual
        }
        _ => Act::Usual,
    };
    let peer = Peer::start(script).await;
    let world = with(&peer, 200).await;
    world.release().await;
    world
        .until("slowed", |world| {
            slowed(world).contains("421 4.7.0 too many connections")
        })
        .await;
    assert!(
        slowed(&world).contains("2 of 4 connections"),
        "{}",
        slowed(&world)
    );
    let blocked = world.releaser.status(DOMAIN).unwrap().blocked;
    assert_eq!(blocked, None, "it goes on over the two");
    world.drained().await;
    assert_eq!(world.ledger().delivered.count, 200);
    let away = away.load(Ordering::SeqCst);
    assert!((1..=4).contains(&away), "asked {away} times for more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_slow_is_asked_for_less_and_that_is_said() {
    let slow = Arc::new(AtomicBool::new(false));
    let seen = slow.clone();
    let peer = Peer::start(move |_, moment| {
        if matches!(moment, Moment::Dot { .. }) {
            let ms = if seen.load(Ordering::SeqCst) { 700 } else { 10 };
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(ms)));
        }
        Act::Usual
    })
    .await;
    let world = with(&peer, 400).await;
    world.release().await;
    let connections = |world: &World| {
        let status = world.releaser.status(DOMAIN);
        status.map_or(0, |status| status.connections_allowed)
    };
    world.until("all", |world| connections(world) == 4).await;
    slow.store(true, Ordering::SeqCst);
    world
        .until("fewer", |world| slowed(world).contains("a message takes "))
        .await;
    assert!(connections(&world) < 4);
    slow.store(false, Ordering::SeqCst);
    world
        .until("all again", |world| connections(world) == 4)
        .await;
    world.drained().await;
    assert_eq!(world.ledger().delivered.count, 400);
}
