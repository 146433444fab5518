//! Nothing twice, nothing lost: the relay dies at each named step of a delivery, and asks the
//! new server over IMAP what became of it.
//!
//! A few rounds by default; `RELAY_RELEASE_KILLS=500` asks for so many.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};
use support::{
    Random,
    client::Client,
    far::far,
    peers::Peer,
    relay::{DOMAIN, Relay, Settings, text},
    temp,
};

const MAILBOXES: u64 = 20;
/// Where it dies. An attempt that was not finished leaves a doubt, so that the step behind it
/// has something to ask for.
const STEPS: [&str; 10] = [
    "release.begun",
    "release.attempted",
    "witness.answered",
    "release.sent",
    "witness.answered",
    "release.replied",
    "release.recorded",
    "commit.begun",
    "commit.synced",
    "commit.acknowledged",
];

/// Each mailbox's tags, in the order in which they were accepted.
type Expected = BTreeMap<String, Vec<String>>;

/// A relay in front of a Dovecot, perhaps far away, that it may look into.
fn scene(directory: &Path, release: &'static str, round_trip: Duration) -> (Peer, Relay) {
    let dovecot = Peer::dovecot(&directory.join("dovecot"));
    let lmtp = match round_trip {
        Duration::ZERO => dovecot.port("lmtp"),
        _ => far(dovecot.port("lmtp"), round_trip),
    };
    let settings = Settings {
        protocol: "lmtp",
        connections: 4,
        release,
        ..Settings::to(lmtp)
    };
    let relay = Relay::configured(directory, &settings);
    let accounts = directory.join("accounts.csv");
    let mut csv = "source_user,source_password,target_user,target_password\n".to_owned();
    for number in 0..MAILBOXES {
        let user = mailbox(number);
        csv += &format!("{user},pw,{user},pw\n");
    }
    fs::write(&accounts, csv).unwrap();
    let imap = dovecot.port("imap");
    relay.configure(&format!(
        "\n[mover]\naccounts = {accounts:?}\n\
         source = {{ host = \"127.0.0.1\", port = 9, tls = \"none\" }}\n\
         target = {{ host = \"127.0.0.1\", port = {imap}, tls = \"none\" }}\n"
    ));
    (dovecot, relay)
}

#[test]
fn killed_at_each_step_of_a_delivery_it_loses_nothing_and_sends_nothing_twice() {
    kill_at_each_step(Duration::ZERO);
}

/// There messages go in rows.
#[test]
fn killed_far_away_it_loses_nothing_and_sends_nothing_twice() {
    kill_at_each_step(Duration::from_millis(20));
}

fn kill_at_each_step(round_trip: Duration) {
    let kills = std::env::var("RELAY_RELEASE_KILLS").map_or(STEPS.len() as u64, |kills| {
        kills.parse().expect("RELAY_RELEASE_KILLS is a number")
    });
    let directory = temp();
    let release = "retry_min = \"200ms\"\nretry_max = \"1s\"\nin_doubt_after = \"1s\"";
    let (dovecot, mut relay) = scene(directory.path(), release, round_trip);
    relay.run();
    let mut random = Random::new(4);
    let expected = send(relay.port(), kills * 12, &mut random);
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    relay.kill();
    let mut died = BTreeMap::new();
    for round in 0..kills {
        let step = STEPS[(round % STEPS.len() as u64) as usize];
        // What asks is there once, at least; of the others take one of the first.
        let turn = match step {
            "witness.answered" => 1,
            _ => 1 + random.below(3),
        };
        relay.run_to_death(&format!("{step}@{turn}"));
        *died.entry(step).or_insert(0) += 1;
    }
    relay.run();
    relay.await_forward();
    let domain = relay.domain(DOMAIN);
    eprintln!(
        "{kills} kills: {died:?}; in doubt {} times, {} of them found there, {} sent again in doubt",
        domain["doubted"], domain["found"], domain["resent"]
    );
    let sent: usize = expected.values().map(Vec::len).sum();
    assert_eq!(relay.count("delivered"), sent as u64);
    assert_eq!(domain["resent"], 0, "each doubt could be settled: {domain}");
    assert!(domain["found"].as_u64().unwrap() > 0, "{domain}");
    assert!(domain["doubted"].as_u64() > domain["found"].as_u64());
    relay.assert_clean();
    for (mailbox, tags) in &expected {
        assert_eq!(stored(&dovecot, mailbox), *tags, "{mailbox}");
    }
}

/// Sends so many messages, one in ten to several mailboxes.
fn send(port: u16, messages: u64, random: &mut Random) -> Expected {
    let mut expected = Expected::new();
    let mut client = Client::hello(port).unwrap();
    for number in 0..messages {
        let several = if random.below(10) == 0 { 3 } else { 1 };
        let mailboxes: BTreeSet<String> = (0..several)
            .map(|_| mailbox(random.below(MAILBOXES)))
            .collect();
        let recipients: Vec<&str> = mailboxes.iter().map(String::as_str).collect();
        let message =
            format!("X-Tag: {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\ntext\r\n");
        client
            .send("sender@example.org", &recipients, message.as_bytes())
            .unwrap();
        for mailbox in mailboxes {
            expected
                .entry(mailbox)
                .or_default()
                .push(number.to_string());
        }
    }
    client.quit().unwrap();
    expected
}

fn mailbox(number: u64) -> String {
    format!("user{number:03}@{DOMAIN}")
}

/// A mailbox's tags, in the order in which Dovecot filed them.
fn stored(dovecot: &Peer, mailbox: &str) -> Vec<String> {
    let mut filed: Vec<(String, String)> = Vec::new();
    let folder = dovecot.mail().join(mailbox).join("Maildir");
    for part in ["new", "cur"] {
        for entry in fs::read_dir(folder.join(part)).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            filed.push((when(&name), tag(&fs::read(entry.path()).unwrap())));
        }
    }
    filed.sort();
    filed.into_iter().map(|(_, tag)| tag).collect()
}

/// `1795428001.M123456P77.host` in a form that sorts by time.
fn when(name: &str) -> String {
    let (seconds, rest) = name.split_once(".M").unwrap();
    let micros = rest.split('P').next().unwrap();
    format!("{seconds}.{micros:0>6}")
}

fn tag(message: &[u8]) -> String {
    let message = text(message);
    let (_, rest) = message.split_once("X-Tag: ").unwrap();
    rest.lines().next().unwrap().to_owned()
}

/// A new server that has lost the mail of half its mailboxes gets that mail again, in order,
/// and nothing else twice; also when the relay dies in the middle of putting it back.
#[test]
fn a_rewind_sends_again_what_was_lost_and_nothing_else() {
    let directory = temp();
    let release = "retry_min = \"200ms\"\nretry_max = \"1s\"\nin_doubt_after = \"1s\"";
    let (dovecot, mut relay) = scene(directory.path(), release, Duration::ZERO);
    relay.run();
    let expected = send(relay.port(), 60, &mut Random::new(5));
    let again = ["release", DOMAIN, "--again", "--since", "1h", "--yes"];
    // Nothing was delivered yet.
    assert_eq!(relay.cli(&again).status.code(), Some(65));
    relay.ok(&["release", DOMAIN, "--yes"]);
    let mut kept = 0;
    for (number, (mailbox, tags)) in expected.iter().enumerate() {
        assert_eq!(stored(&dovecot, mailbox), *tags, "{mailbox}");
        if number % 2 == 0 {
            kept += tags.len() as u64;
            continue;
        }
        for part in ["new", "cur"] {
            let folder = dovecot.mail().join(mailbox).join("Maildir").join(part);
            for entry in fs::read_dir(folder).into_iter().flatten() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
    }
    // Without a terminal and --yes nothing is done.
    assert_eq!(relay.cli(&again[..5]).status.code(), Some(64));
    relay.stop();
    relay.run_with("release.rewound@7");
    assert!(!relay.cli(&again).status.success());
    relay.await_death();
    relay.run();
    assert_eq!(
        relay.domain(DOMAIN)["phase"],
        "hold",
        "it waits for a person"
    );
    relay.ok(&again);
    let domain = relay.domain(DOMAIN);
    assert_eq!(domain["phase"], "forward", "{domain}");
    assert_eq!(domain["resent"], 0, "{domain}");
    assert_eq!(domain["found"], kept, "{domain}");
    for (mailbox, tags) in &expected {
        assert_eq!(stored(&dovecot, mailbox), *tags, "{mailbox}");
    }
    relay.assert_clean();
}
