//! A long life: mail comes in all the time, is held, released and removed, a mailbox grows and
//! is copied, relay is restarted and killed; memory, descriptors and spool stay flat, and in the
//! end every message is accounted for.
//!
//! Short by default; `make soak H=1` for an hour (`RELAY_SOAK_SECONDS`).

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    Random,
    client::Client,
    moving::{Servers, copied},
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::Scripted,
    temp,
};

const SENDERS: u64 = 4;
/// Messages a second of each sender, about.
const PAUSE: Duration = Duration::from_millis(20);

fn life() -> Duration {
    let seconds = match std::env::var("RELAY_SOAK_SECONDS") {
        Ok(number) => number.parse().expect("RELAY_SOAK_SECONDS is a number"),
        Err(_) => 12,
    };
    Duration::from_secs(seconds)
}

/// What a relay takes of the machine.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident_kib: u64,
    descriptors: usize,
    spool_kib: u64,
    accept_us: u64,
}

#[test]
fn a_long_life_is_a_flat_one() {
    let directory = temp();
    let peer = Scripted::healthy();
    let settings = Settings {
        spool_more: "retain_delivered = \"0s\"\nretain_records = \"1m\"",
        ..Settings::to(peer.port)
    };
    let servers = Servers::start(directory.path());
    let mut relay = Relay::configured(directory.path(), &settings);
    relay.configure(&servers.section());
    relay.run();
    let port = AtomicU16::new(relay.port());
    let over = AtomicBool::new(false);
    let accepted = Mutex::new(BTreeSet::new());
    let mut samples = Vec::new();
    let mut arrived = BTreeSet::new();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (port, over, accepted) = (&port, &over, &accepted);
            scope.spawn(move || send(sender, port, over, accepted));
        }
        let begun = Instant::now();
        let mut round = 0_u64;
        while begun.elapsed() < life() {
            // A kill every fifth round, a restart every other one.
            relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
            thread::sleep(Duration::from_secs(1));
            relay.ok(&["hold", DOMAIN]);
            servers.grow(3);
            copied(&relay.ok(&["--json", "move", "--once"]));
            arrived.extend(tags(&peer));
            samples.push(sample(&relay, directory.path()));
            if round % 5 == 4 {
                relay.kill();
            } else if round % 5 == 2 {
                relay.stop();
            } else {
                round += 1;
                continue;
            }
            relay.run();
            port.store(relay.port(), Ordering::SeqCst);
            round += 1;
        }
        over.store(true, Ordering::SeqCst);
    });
    let accepted = accepted.into_inner().unwrap();
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    poll("everything delivered", || {
        let domain = relay.domain(DOMAIN);
        let open = domain["states"]["in_doubt"]["count"].as_u64().unwrap();
        (domain["backlog"] == 0 && open == 0).then_some(())
    });
    arrived.extend(tags(&peer));
    let missing: Vec<&String> = accepted.difference(&arrived).collect();
    assert!(
        missing.is_empty(),
        "accepted and not delivered: {missing:?}"
    );
    assert_eq!(relay.count("delivered"), relay.accepted());
    relay.assert_clean();
    println!("{} messages in the mailbox", servers.assert_same());
    println!(
        "{} accepted, {} samples: first {:?}, last {:?}",
        accepted.len(),
        samples.len(),
        samples[0],
        samples[samples.len() - 1]
    );
    flat(&samples);
}

/// The last third is not above the one before it, by more than what varies anyway.
fn flat(samples: &[Sample]) {
    let third = samples.len() / 3;
    if third == 0 {
        return; // Too short to tell.
    }
    let highest = |part: &[Sample], of: fn(&Sample) -> u64| part.iter().map(of).max().unwrap();
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    for (what, of, room) in [
        (
            "memory, KiB",
            (|s| s.resident_kib) as fn(&Sample) -> u64,
            64 * 1024,
        ),
        ("descriptors", |s| s.descriptors as u64, 64),
        ("accepting, us", |s| s.accept_us, 1_000_000),
        // A table or blob file may come on top before compaction takes the older ones.
        ("spool, KiB", |s| s.spool_kib, 64 * 1024),
    ] {
        let (before, after) = (highest(middle, of), highest(last, of));
        println!("{what}: {before} in the second third, {after} in the last");
        assert!(
            after <= before * 5 / 4 + room,
            "{what}: {before} -> {after}"
        );
    }
}

fn sample(relay: &Relay, directory: &Path) -> Sample {
    let process = format!("/proc/{}", relay.pid());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let resident = line.unwrap().split_whitespace().nth(1).unwrap();
    let begun = Instant::now();
    let to = format!("probe@{DOMAIN}");
    let message = b"Subject: probe\r\nX-Tag: probe\r\n\r\nx\r\n";
    Client::deliver(relay.port(), "a@example.org", &[&to], message).unwrap();
    Sample {
        resident_kib: resident.parse().unwrap(),
        descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
        spool_kib: size(&directory.join("spool")) / 1024,
        accept_us: u64::try_from(begun.elapsed().as_micros()).unwrap(),
    }
}

/// Files come and go while it looks.
fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::metadata(path).map_or(0, |meta| meta.len());
    };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

/// Sends until it is over, and writes down what got a 250.
fn send(sender: u64, port: &AtomicU16, over: &AtomicBool, accepted: &Mutex<BTreeSet<String>>) {
    let mut random = Random::new(sender + 1);
    let mut client = None;
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        thread::sleep(PAUSE);
        let Some(mut connected) = client
            .take()
            .or_else(|| Client::hello(port.load(Ordering::SeqCst)).ok())
        else {
            continue;
        };
        number += 1;
        let tag = format!("s{sender}n{number}");
        let size = match random.below(50) {
            0 => 200_000,
            _ => random.below(4000),
        };
        let lines = usize::try_from(size / 20).unwrap();
        let head = format!("X-Tag: {tag}\r\n\r\n").into_bytes();
        let message = [head, b"012345678901234567\r\n".repeat(lines)].concat();
        let to = format!("user{}@{DOMAIN}", random.below(50));
        if connected.send("a@example.org", &[&to], &message).is_ok() {
            accepted.lock().unwrap().insert(tag);
            client = Some(connected);
        }
    }
}

/// Of what has arrived since the last call.
fn tags(peer: &Scripted) -> Vec<String> {
    let arrivals = peer.take_stored();
    arrivals
        .iter()
        .map(|arrival| tag(&arrival.message))
        .collect()
}

fn tag(message: &[u8]) -> String {
    let head = text(&message[..message.len().min(1000)]);
    let (_, rest) = head.split_once("X-Tag: ").unwrap();
    rest.split("\r\n").next().unwrap().to_owned()
}
