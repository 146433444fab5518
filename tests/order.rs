//! Every mailbox gets its mail in the order of the commits, whatever the new server does
//! on the way.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use support::{
    Random,
    arrivals::{Expected, Repeats, deliveries, in_order, tag},
    client::Client,
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

const SENDERS: u64 = 16;
const MESSAGES_EACH: u64 = 100;
const MAILBOXES: u64 = 200;

#[test]
fn a_healthy_server_gets_each_mailbox_in_order() {
    let directory = temp();
    let peer = Scripted::healthy();
    let (relay, expected) = held(directory.path(), &Settings::to(peer.port));
    relay.ok(&["release", DOMAIN, "--yes"]);
    let arrivals = peer.stored();
    assert_eq!(in_order(&arrivals, &expected), Repeats::new());
    // In parallel, and not over more than was allowed.
    let connections: BTreeSet<usize> = arrivals.iter().map(|one| one.connection).collect();
    assert!((2..=20).contains(&connections.len()), "{connections:?}");
}

#[test]
fn order_survives_refusals_and_lost_connections() {
    let directory = temp();
    let faults = Arc::new(Faults::default());
    let script = Arc::clone(&faults);
    let peer = Scripted::new(move |ask| script.act(ask));
    let (relay, expected) = held(directory.path(), &Settings::to(peer.port));
    relay.ok(&["release", DOMAIN, "--yes"]);
    let repeats = in_order(&peer.stored(), &expected);
    assert_all_delivered(&relay, &expected);

    // Twice only where the server kept a message and closed without a reply.
    let arrivals = peer.arrivals();
    let by_act = |act: Act| -> Repeats {
        let some = arrivals.iter().filter(|arrival| arrival.act == act);
        some.flat_map(deliveries).collect()
    };
    let kept_in_silence = by_act(Act::StoreAndClose);
    assert!(!kept_in_silence.is_empty(), "the script never did it");
    assert_eq!(repeats, kept_in_silence);
    // Whatever was lost after end-of-data is reported as in doubt; and nothing is that
    // met no lost connection.
    let doubted = in_doubt_ever(&relay);
    assert!(doubted.is_superset(&kept_in_silence));
    assert!(doubted.is_superset(&by_act(Act::Close)));
    let closed = faults.closed.lock().unwrap();
    let unfounded = doubted.iter().find(|(_, tag)| !closed.contains(tag));
    assert_eq!(unfounded, None);
}

#[test]
fn a_mailbox_that_waits_delays_no_other() {
    let directory = temp();
    // One mailbox takes nothing until all others have everything.
    const STUCK: &str = "user000@corp.example";
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let peer = Scripted::new(move |ask| match ask {
        Ask::Rcpt(STUCK) if !opened.load(Ordering::SeqCst) => Act::Say("452 4.2.2 Mailbox full"),
        _ => Act::Go,
    });
    let (relay, expected) = held(directory.path(), &Settings::to(peer.port));
    let others: usize = (expected.iter())
        .filter(|(mailbox, _)| *mailbox != STUCK)
        .map(|(_, tags)| tags.len())
        .sum();
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    peer.await_arrivals("all other mailboxes", |arrivals| {
        arrivals.iter().flat_map(deliveries).count() == others
    });
    open.store(true, Ordering::SeqCst);
    relay.await_forward();
    assert_eq!(in_order(&peer.stored(), &expected), Repeats::new());
    assert_all_delivered(&relay, &expected);
}

#[test]
fn order_survives_a_bad_smtp_sink() {
    let directory = temp();
    let dumps = directory.path().join("sink");
    let mut sink = Peer::sink(&dumps, 0, &["-r", "RCPT"]);
    let port = sink.port("smtp");
    let (relay, expected) = held(directory.path(), &Settings::to(port));
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    // Each kind of sickness until its reason is shown, then the next.
    for (reason, next) in [
        ("450 4.3.0", &["-q", "DATA"][..]),
        ("lost connection", &["-Q", "MAIL"]),
        ("said: 421", &["-q", "."]),
    ] {
        poll(reason, || {
            let release = relay.domain(DOMAIN)["release"].to_string();
            release.contains(reason).then_some(())
        });
        drop(sink);
        sink = Peer::sink(&dumps, port, next);
    }
    poll("a doubt", || (relay.count("in_doubt") > 0).then_some(()));
    drop(sink);
    let sink = Peer::sink(&dumps, port, &["-D", "all"]);
    relay.await_forward();
    assert_all_delivered(&relay, &expected);
    drop(sink);
    assert_eq!(in_dump(&dumps.join("all")), expected);
}

fn assert_all_delivered(relay: &Relay, expected: &Expected) {
    let sent: usize = expected.values().map(Vec::len).sum();
    assert_eq!(relay.accepted(), sent as u64);
    assert_eq!(relay.count("delivered"), sent as u64);
    relay.assert_clean();
}

/// A relay that holds mail of many senders, who all sent at once.
fn held(directory: &Path, settings: &Settings) -> (Relay, Expected) {
    let relay = Relay::start(directory, settings);
    let port = relay.port();
    let accepted = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let accepted = &accepted;
            scope.spawn(move || send(port, sender, accepted));
        }
    });
    let mut expected = Expected::new();
    for (tag, mailboxes) in accepted.into_inner().unwrap().into_values() {
        for mailbox in mailboxes {
            expected
                .entry(mailbox)
                .or_default()
                .push(String::clone(&tag));
        }
    }
    assert_eq!(expected.len() as u64, MAILBOXES, "each mailbox has mail");
    (relay, expected)
}

/// Sends one sender's messages over one connection; one in ten has several recipients.
fn send(port: u16, sender: u64, accepted: &Mutex<BTreeMap<String, (String, Vec<String>)>>) {
    let mut random = Random::new(sender + 1);
    let mut client = Client::hello(port).unwrap();
    for number in 0..MESSAGES_EACH {
        let several = if random.below(10) == 0 {
            2 + random.below(4)
        } else {
            1
        };
        let mut mailboxes = BTreeSet::new();
        // So that no mailbox stays empty.
        mailboxes.insert(mailbox((sender * MESSAGES_EACH + number) % MAILBOXES));
        while (mailboxes.len() as u64) < several {
            mailboxes.insert(mailbox(random.below(MAILBOXES)));
        }
        let mailboxes: Vec<String> = mailboxes.into_iter().collect();
        let tag = format!("s{sender}n{number}");
        let message = format!("X-Tag: {tag}\r\nSubject: order\r\n\r\n.\r\ntext\r\n");
        let recipients: Vec<&str> = mailboxes.iter().map(String::as_str).collect();
        let id = client
            .send("sender@example.org", &recipients, message.as_bytes())
            .unwrap();
        let before = accepted.lock().unwrap().insert(id, (tag, mailboxes));
        assert_eq!(before, None, "a queue id twice");
    }
    client.quit().unwrap();
}

fn mailbox(number: u64) -> String {
    format!("user{number:03}@{DOMAIN}")
}

/// Each mailbox's tags in the order in which smtp-sink wrote them to its file.
fn in_dump(path: &Path) -> Expected {
    let mut found = Expected::new();
    let mut recipients = Vec::new();
    for line in text(&fs::read(path).unwrap()).lines() {
        if let Some(recipient) = line.strip_prefix("X-Rcpt-Args: <") {
            recipients.push(recipient.split('>').next().unwrap().to_owned());
        } else if let Some(tag) = line.strip_prefix("X-Tag: ") {
            for recipient in recipients.drain(..) {
                found.entry(recipient).or_default().push(tag.to_owned());
            }
        }
    }
    found
}

/// Which deliveries have been in doubt, by their events.
fn in_doubt_ever(relay: &Relay) -> Repeats {
    let mut found = Repeats::new();
    for line in text(&relay.ok(&["list", "--state", "delivered", "--format", "jsonl"])).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = line["queue_id"].as_str().unwrap();
        let events = relay.events(id);
        let doubted = events.iter().filter(|event| event["to"] == "in_doubt");
        let addresses: Vec<&str> = doubted
            .map(|event| event["address"].as_str().unwrap())
            .collect();
        if !addresses.is_empty() {
            let tag = tag(&relay.ok(&["show", id, "--raw"]));
            found.extend(
                addresses
                    .iter()
                    .map(|address| ((*address).to_owned(), tag.clone())),
            );
        }
    }
    found
}

/// Misbehaves by the numbers. At the dot each message is struck once at most, and so is
/// each mailbox's turn elsewhere on the whole: the end is reached.
#[derive(Default)]
struct Faults {
    asked: AtomicU64,
    struck: Mutex<BTreeSet<String>>,
    /// Messages under which a connection was closed after DATA.
    closed: Mutex<BTreeSet<String>>,
}

impl Faults {
    fn act(&self, ask: &Ask<'_>) -> Act {
        match ask {
            Ask::Connect => self.every(13, Act::SayAndClose("421 4.3.2 Too busy")),
            Ask::Hello => self.every(17, Act::Close),
            Ask::Mail(_) => self.every(41, Act::Say("451 4.3.0 Not now")),
            Ask::Rcpt(_) => self.every(29, Act::Say("450 4.2.1 Mailbox busy")),
            Ask::Data(_) => self.every(43, Act::Say("451 4.3.5 Not now")),
            Ask::Body(so_far) => match so_far.ends_with(b"\r\nSubject: order\r\n") {
                true => self.closing(&tag(so_far), self.every(37, Act::Close)),
                false => Act::Go,
            },
            Ask::Dot(_, message) => {
                let tag = tag(message);
                self.closing(&tag, self.dot(&tag))
            }
        }
    }

    fn every(&self, nth: u64, act: Act) -> Act {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        if asked % nth == nth - 1 { act } else { Act::Go }
    }

    fn closing(&self, tag: &str, act: Act) -> Act {
        if matches!(act, Act::Close | Act::StoreAndClose) {
            self.closed.lock().unwrap().insert(tag.to_owned());
        }
        act
    }

    fn dot(&self, tag: &str) -> Act {
        if !self.struck.lock().unwrap().insert(tag.to_owned()) {
            return Act::Go;
        }
        let number: u64 = tag.rsplit('n').next().unwrap().parse().unwrap();
        match number {
            7 => Act::Say("452 4.2.2 Mailbox full"),
            23 => Act::SayAndClose("421 4.3.2 Shutting down"),
            42 => Act::Close,
            61 => Act::StoreAndClose,
            83 => Act::Wait(Duration::from_millis(50)),
            _ => Act::Go,
        }
    }
}
