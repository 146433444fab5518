//! `kill -9` at random moments: whatever got a 250 is there, whole and in order, and a
//! release goes on where it was.
//!
//! `RELAY_CRASH_CYCLES` says how often each test kills; the default is short.

use crate::{
    client::{Log, compare, message, seed, tag},
    support::{
        Random,
        client::Client,
        relay::{DOMAIN, Relay, Settings, text},
        scripted::{Act, Ask, Scripted},
        temp,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    thread,
    time::Duration,
};

fn cycles() -> u64 {
    match std::env::var("RELAY_CRASH_CYCLES") {
        Ok(number) => number.parse().expect("RELAY_CRASH_CYCLES is a number"),
        Err(_) => 10,
    }
}

#[test]
fn every_250_survives_a_kill_under_load() {
    let mut random = Random::new(seed());
    let cycles = cycles();
    // A spool for so many, since every cycle looks at all that the spool holds.
    for first in (0..cycles).step_by(10) {
        kill_under_load(first..cycles.min(first + 10), &mut random);
    }
}

fn kill_under_load(cycles: Range<u64>, random: &mut Random) {
    let directory = temp();
    let mut relay = Relay::configured(directory.path(), &Settings::default());
    let log = Log::default();
    for cycle in cycles {
        relay.run();
        let life = Duration::from_millis(20 + random.below(400));
        let waiting = thread::scope(|scope| {
            log.load(scope, relay.port(), 100);
            thread::sleep(life);
            relay.kill();
            log.waiting()
        });
        println!(
            "cycle {cycle}: killed after {life:?}, {waiting} commits open; {} accepted so far",
            log.accepted()
        );
        // Every other time first as the dead left it, without a daemon.
        if cycle % 2 == 0 {
            compare(&relay, directory.path(), &log.sent()).assert_none();
        }
        relay.run();
        compare(&relay, directory.path(), &log.sent()).assert_none();
        // Files of messages that never got a 250 are gone with the start.
        assert_eq!(relay.json(&["fsck"])["leftovers"], 0);
        relay.kill();
    }
}

#[test]
fn a_release_goes_on_after_a_kill() {
    const MESSAGES: u64 = 400;
    const MAILBOXES: u64 = 40;
    let directory = temp();
    let mut random = Random::new(seed());
    // Slow enough that every kill strikes deliveries under way.
    let peer = Scripted::new(|ask| match ask {
        Ask::Dot(..) => Act::Wait(Duration::from_millis(20)),
        _ => Act::Go,
    });
    let mut relay = Relay::start(
        directory.path(),
        &Settings {
            connections: 5,
            ..Settings::to(peer.port)
        },
    );
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut client = Client::hello(relay.port()).unwrap();
    for number in 0..MESSAGES {
        let mailbox = format!("user{}@{DOMAIN}", number % MAILBOXES);
        let tag = format!("n{number}");
        let message = message(&tag, 500, &mut random);
        client
            .send("load@example.org", &[&mailbox], &message)
            .unwrap();
        expected.entry(mailbox).or_default().push(tag);
    }
    client.quit().unwrap();
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    let kills = cycles().min(MESSAGES / 20);
    for kill in 1..=kills {
        let enough = kill * MESSAGES / (kills + 2) + random.below(MESSAGES / (kills + 2));
        peer.await_arrivals("progress", |arrivals| arrivals.len() as u64 >= enough);
        thread::sleep(Duration::from_millis(random.below(30)));
        relay.kill();
        relay.run();
    }
    relay.await_forward();

    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    for arrival in peer.arrivals() {
        let tag = tag(&arrival.message);
        let tags = got.entry(arrival.recipients[0].clone()).or_default();
        if tags.last() == Some(&tag) {
            repeated.insert(tag);
        } else {
            tags.push(tag);
        }
    }
    assert_eq!(got, expected, "each mailbox in order, nothing lost");
    let doubted = doubted(&relay);
    assert!(
        repeated.is_subset(&doubted),
        "{repeated:?} but reported {doubted:?}"
    );
    assert_eq!(relay.count("delivered"), MESSAGES);
    relay.assert_clean();
}

/// The tags of the messages that have been in doubt, by their events.
fn doubted(relay: &Relay) -> BTreeSet<String> {
    let listed = text(&relay.ok(&["list", "--state", "delivered", "--format", "jsonl"]));
    let ids = listed.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["queue_id"].as_str().unwrap().to_owned()
    });
    ids.filter(|id| {
        let events = relay.events(id);
        events.iter().any(|event| event["to"] == "in_doubt")
    })
    .map(|id| tag(&relay.ok(&["show", &id, "--raw"])))
    .collect()
}

/// RFC 1047 across a crash: the 250 left, nobody knows whether it arrived, and the process
/// that sent it is gone.
#[test]
fn a_retry_after_a_kill_is_kept_once() {
    let directory = temp();
    let mut relay = Relay::start(directory.path(), &Settings::default());
    let to = format!("bob@{DOMAIN}");
    let message = b"Subject: once\r\n\r\nonce\r\n".as_slice();
    let send = |relay: &Relay| {
        let mut client = Client::hello(relay.port()).unwrap();
        client.send("alice@sender.test", &[&to], message).unwrap()
    };
    let first = send(&relay);
    relay.kill();
    relay.run();
    assert_eq!(send(&relay), first);
    assert_eq!(relay.accepted(), 1);
    let events = relay.events(&first);
    assert_eq!(events.len(), 1, "{events:?}");
    // One that was confirmed, and whose confirmation was written with a later batch.
    let mut client = Client::hello(relay.port()).unwrap();
    client.send("alice@sender.test", &[&to], message).unwrap();
    client
        .send("alice@sender.test", &[&to], b"another\r\n")
        .unwrap();
    relay.kill();
    relay.run();
    assert_ne!(send(&relay), first);
    relay.assert_clean();
}
