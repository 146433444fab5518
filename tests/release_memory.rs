//! What the release of a large backlog costs in resident memory, measured from outside, with a
//! mailbox for each message: the most that the order of lanes can cost.
//!
//! `RELAY_MEMORY_MESSAGES=1000000 cargo test --test release_memory -- --nocapture` releases a
//! million.

mod support;

use relay::{
    config::SpoolConfig,
    mail::{Address, BodyKind, Client, Envelope, Protocol, Recipient, ReversePath},
    spool::{Spool, rocks::RocksSpool},
};
use std::{
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use support::{
    peers::Peer,
    relay::{DOMAIN, Relay, Settings},
    temp,
};

const MESSAGES: usize = 20_000;
/// Under way at once while the spool is filled: a sync serves them all.
const TOGETHER: usize = 500;
const KIB_MAX: u64 = 256 * 1024;

#[test]
fn a_release_takes_256_mib_at_most_however_much_is_held() {
    let messages = std::env::var("RELAY_MEMORY_MESSAGES").map_or(MESSAGES, |count| {
        count.parse().expect("a number of messages")
    });
    let directory = temp();
    let begun = Instant::now();
    fill(&directory.path().join("spool"), messages);
    println!("{messages} messages held in {:?}", begun.elapsed());
    let sink = Peer::sink(&directory.path().join("sink"), 0, &[]);
    let relay = Relay::start(directory.path(), &Settings::to(sink.port("smtp")));
    assert_eq!(relay.count("held"), messages as u64);
    let held_kib = resident(&relay, "VmRSS:");
    let begun = Instant::now();
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    let mut last = (0, Instant::now());
    while relay.domain(DOMAIN)["phase"] != "forward" {
        let delivered = relay.count("delivered");
        if delivered > last.0 {
            last = (delivered, Instant::now());
        }
        assert!(
            last.1.elapsed() < support::PATIENCE,
            "{delivered} and no more"
        );
        thread::sleep(Duration::from_millis(200));
    }
    let spent = begun.elapsed();
    assert_eq!(relay.count("delivered"), messages as u64);
    // The most that it ever was, not the last reading.
    let peak_kib = resident(&relay, "VmHWM:");
    println!(
        "{messages} messages released in {spent:?}: {} MiB resident at most, {} MiB before",
        peak_kib / 1024,
        held_kib / 1024
    );
    assert!(peak_kib <= KIB_MAX, "{peak_kib} KiB");
}

fn resident(relay: &Relay, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

/// Messages of about 1 kB, each for a mailbox of its own, as the receiver commits them.
fn fill(path: &Path, messages: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let spool = RocksSpool::open(&SpoolConfig {
            path: path.to_owned(),
            min_free_bytes: 0,
            ..SpoolConfig::default()
        })
        .unwrap();
        spool.add_domains(vec![DOMAIN.into()]).await.unwrap();
        let text = format!(
            "Subject: held\r\n\r\n{}",
            "x".repeat(70).to_owned() + "\r\n"
        );
        let text = Arc::new(text.repeat(11));
        let mut number = 0;
        while number < messages {
            let batch = (number..messages.min(number + TOGETHER)).map(|number| {
                let (spool, text) = (spool.clone(), text.clone());
                tokio::spawn(async move {
                    let mut draft = spool.begin();
                    draft.append(text.as_bytes()).await.unwrap();
                    let _receipt = draft.commit(envelope(number)).await.unwrap();
                })
            });
            for task in batch.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            number += TOGETHER;
        }
        spool.close().await.unwrap();
    });
}

fn envelope(number: usize) -> Envelope {
    let address = |text: &str| Address::parse(text).unwrap();
    Envelope {
        reverse_path: ReversePath::Address(address("alice@example.org")),
        recipients: vec![Recipient::plain(address(&format!("user{number}@{DOMAIN}")))],
        body: BodyKind::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        client: Client {
            ip: "192.0.2.1".parse().unwrap(),
            port: 4321,
            name: None,
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
        },
        received_ms: 1_795_428_001_500,
    }
}
