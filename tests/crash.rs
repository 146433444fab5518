//! `kill -9` at random moments: whatever got a 250 is there, whole and in order, and a
//! release goes on where it was.
//!
//! `RELAY_CRASH_CYCLES` says how often each test kills; the default is short.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    Random,
    client::{Client, queue_id, wire},
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

const SENDERS: u64 = 8;

fn cycles() -> u64 {
    match std::env::var("RELAY_CRASH_CYCLES") {
        Ok(number) => number.parse().expect("RELAY_CRASH_CYCLES is a number"),
        Err(_) => 10,
    }
}

/// A message from its end-of-data on.
#[derive(Clone, Debug)]
struct Sent {
    tag: String,
    mailbox: String,
    message: Vec<u8>,
    /// Just before the end-of-data left.
    dot_at: Instant,
    /// The 250's queue id, and when it was read; nothing when none came.
    acknowledged: Option<(String, Instant)>,
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
    let record = Mutex::new(Vec::new());
    let counter = AtomicU64::new(0);
    for cycle in cycles {
        relay.run();
        let life = Duration::from_millis(20 + random.below(400));
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                let port = relay.port();
                let (record, counter) = (&record, &counter);
                scope.spawn(move || load(port, counter, record));
            }
            thread::sleep(life);
            relay.kill();
        });
        let record = record.lock().unwrap();
        let acknowledged = record.iter().filter(|sent| sent.acknowledged.is_some());
        println!(
            "cycle {cycle}: killed after {life:?}; {} acknowledged so far",
            acknowledged.count()
        );
        // Every other time first as the dead left it, without a daemon.
        if cycle % 2 == 0 {
            check(&relay, directory.path(), &record);
        }
        relay.run();
        check(&relay, directory.path(), &record);
        // Files of messages that never got a 250 are gone with the start.
        assert_eq!(relay.json(&["fsck"])["leftovers"], 0);
        relay.kill();
    }
}

/// What makes the moments differ from run to run, shown so that they can be had again.
fn seed() -> u64 {
    let seed = std::env::var("RELAY_CRASH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("RELAY_CRASH_SEED={seed}");
    seed
}

/// Sends until the server is gone, and writes down each 250 the moment it is read.
fn load(port: u16, counter: &AtomicU64, record: &Mutex<Vec<Sent>>) {
    let Ok(mut client) = Client::hello(port) else {
        return;
    };
    loop {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let mut random = Random::new(number + 1);
        // Mostly small; some of several chunks.
        let size = match random.below(100) {
            0 => 300_000 + random.below(700_000),
            _ => random.below(4000),
        };
        let tag = format!("n{number}");
        let mailbox = format!("user{}@{DOMAIN}", random.below(20));
        let message = message(&tag, usize::try_from(size).unwrap(), &mut random);
        if client.envelope("load@example.org", &[&mailbox]).is_err() {
            return;
        }
        let wire = wire(&message);
        let (body, dot) = wire.split_at(wire.len() - 3);
        if client.raw(body).is_err() {
            return;
        }
        let mut sent = Sent {
            tag,
            mailbox,
            message,
            dot_at: Instant::now(),
            acknowledged: None,
        };
        let reply = client.raw(dot).and_then(|()| client.reply());
        if let Ok(reply) = &reply {
            let id = queue_id(reply).expect("a healthy server takes all");
            sent.acknowledged = Some((id, Instant::now()));
        }
        record.lock().unwrap().push(sent);
        if reply.is_err() {
            return;
        }
    }
}

fn message(tag: &str, size: usize, random: &mut Random) -> Vec<u8> {
    let mut message = format!("X-Tag: {tag}\r\nSubject: crash\r\n\r\n").into_bytes();
    let end = message.len() + size;
    while message.len() < end {
        message.extend(format!(".{:016x}\r\n", random.next()).into_bytes());
    }
    message
}

/// Every acknowledged message is there once, whole, with its envelope and in order; every
/// other is absent or whole; and a full recount agrees.
fn check(relay: &Relay, directory: &Path, record: &[Sent]) {
    let listed = relay.list();
    let ids: Vec<&str> = listed
        .iter()
        .map(|line| line["queue_id"].as_str().unwrap())
        .collect();
    assert!(ids.is_sorted(), "listed in the order of the ids");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "listed once");

    let bodies = export(relay, directory);
    assert_eq!(bodies.len(), ids.len());
    let by_tag: BTreeMap<&str, &Sent> = record
        .iter()
        .map(|sent| (sent.tag.as_str(), sent))
        .collect();
    let mut found = BTreeMap::new();
    for line in &listed {
        let id = line["queue_id"].as_str().unwrap();
        let body = &bodies[id];
        let tag = tag(body);
        // What was in flight when the server died was recorded too.
        let sent = by_tag
            .get(tag.as_str())
            .unwrap_or_else(|| panic!("{id}: unknown {tag}"));
        assert!(sent.message == *body, "{id}: {tag} is not whole");
        assert_eq!(line["recipients"][0]["address"], sent.mailbox, "{id}");
        assert_eq!(line["recipients"][0]["state"], "held", "{id}");
        assert_eq!(line["sender"], "load@example.org", "{id}");
        assert_eq!(found.insert(tag.clone(), id), None, "{tag} twice");
    }
    for sent in record {
        if let Some((id, _)) = &sent.acknowledged {
            let kept = found.get(&sent.tag).copied();
            assert_eq!(kept, Some(id.as_str()), "{} got a 250 as {id}", sent.tag);
        }
    }
    assert_order(record);
    relay.assert_clean();
}

/// If one message's 250 was read before another's end-of-data was sent, the first has the
/// lower id.
fn assert_order(record: &[Sent]) {
    let mut begun: Vec<(Instant, &str)> = Vec::new();
    let mut ended: Vec<(Instant, &str)> = Vec::new();
    for sent in record {
        if let Some((id, at)) = &sent.acknowledged {
            begun.push((sent.dot_at, id));
            ended.push((*at, id));
        }
    }
    begun.sort_unstable();
    ended.sort_unstable();
    let mut ended = ended.into_iter().peekable();
    let mut highest = "";
    for (at, id) in begun {
        while let Some((_, before)) = ended.next_if(|(ended_at, _)| *ended_at < at) {
            highest = highest.max(before);
        }
        assert!(highest < id, "{id} was sent after the 250 of {highest}");
    }
}

/// All bodies, by queue id.
fn export(relay: &Relay, directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let to = directory.join("export");
    let _ = fs::remove_dir_all(&to);
    relay.ok(&["export", "--format", "eml", "--to", to.to_str().unwrap()]);
    let mut bodies = BTreeMap::new();
    collect(&to, &mut bodies);
    bodies
}

fn collect(directory: &Path, bodies: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, bodies);
        }
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            bodies.insert(id, fs::read(&path).unwrap()),
            None,
            "{path:?}"
        );
    }
}

fn tag(message: &[u8]) -> String {
    let head = text(&message[..message.len().min(1000)]);
    let (_, rest) = head.split_once("X-Tag: ").unwrap();
    rest.split("\r\n").next().unwrap().to_owned()
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
