//! Order under fire: thousands of mailboxes, a server that does everything wrong that a server
//! may, and restarts of both. Each mailbox gets its mail exactly in order, each delivery ends
//! as its last reply implies, the ledger balances, and what arrived twice was reported.
//!
//! Short by default; `RELAY_FIRE_MESSAGES=100000` makes it long, and `RELAY_FIRE_SEED` repeats
//! a run. The seed is printed.

mod support;

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    Random,
    arrivals::{Expected, Repeats, in_order, tag},
    client::Client,
    far::far,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

const SENDERS: u64 = 16;
const MAILBOXES: u64 = 5_000;
/// Restarts, by turns of the relay by `kill -9`, of the server, and of the relay by SIGTERM.
const RESTARTS: u64 = 6;

/// A message as it was accepted.
struct Sent {
    tag: String,
    mailboxes: Vec<String>,
}

#[test]
fn each_mailbox_in_order_whatever_happens() {
    play(number("RELAY_FIRE_MESSAGES", 1_000), Duration::ZERO);
}

/// There messages go in rows.
#[test]
fn each_mailbox_in_order_far_away() {
    let messages = number("RELAY_FIRE_MESSAGES", 1_000);
    play(messages.min(20_000), Duration::from_millis(20));
}

fn play(messages: u64, round_trip: Duration) {
    let seed = number("RELAY_FIRE_SEED", u64::from(std::process::id()));
    eprintln!("RELAY_FIRE_SEED={seed} RELAY_FIRE_MESSAGES={messages}");
    let directory = temp();
    let fire = Arc::new(Fire::new(seed));
    let script = fire.clone();
    let server = Scripted::new(move |ask| script.act(ask));
    let settings = Settings {
        // Nobody stops this release.
        release: "retry_min = \"50ms\"\nretry_max = \"500ms\"\nin_doubt_after = \"100ms\"\n\
                  stop_after_refusals = 1000000\nstop_after_doubts = 1000000\n\
                  stop_after_wrong = 1000000",
        ..Settings::to(match round_trip {
            Duration::ZERO => server.port,
            _ => far(server.port, round_trip),
        })
    };
    let mut relay = Relay::start(directory.path(), &settings);
    let begun = Instant::now();
    let sent = send(relay.port(), messages, seed);
    let accepted = begun.elapsed();
    let begun = Instant::now();
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    for restart in 0..RESTARTS {
        let enough = usize::try_from(messages * (restart + 1) / (RESTARTS + 2)).unwrap();
        server.await_arrivals("a part of it", |arrivals| arrivals.len() >= enough);
        match restart % 3 {
            0 => {
                relay.kill();
                relay.run();
            }
            1 => fire.down.store(10, Ordering::SeqCst),
            _ => {
                relay.stop();
                relay.run();
            }
        }
    }
    await_end(&relay);
    let released = begun.elapsed();

    // What was refused for good is parked, and nothing else is.
    let mut expected = Expected::new();
    let mut refused = Repeats::new();
    for message in sent.values() {
        for mailbox in &message.mailboxes {
            if fire.refuses(&message.tag, mailbox) {
                refused.insert((mailbox.clone(), message.tag.clone()));
            } else {
                let tags = expected.entry(mailbox.clone()).or_default();
                tags.push(message.tag.clone());
            }
        }
    }
    assert_eq!(parked(&relay, &sent), refused);
    let total: usize = sent.values().map(|message| message.mailboxes.len()).sum();
    assert_eq!(relay.accepted(), total as u64);
    assert_eq!(relay.count("delivered"), (total - refused.len()) as u64);
    assert_eq!(relay.count("parked"), refused.len() as u64);
    relay.assert_clean();

    let repeats = in_order(&server.stored(), &expected);
    let domain = relay.domain(DOMAIN);
    let resent = domain["resent"].as_u64().unwrap();
    eprintln!(
        "{messages} messages, {total} deliveries, {} parked, {} arrived twice, in doubt {} times, \
         {resent} sent again; {} connections; accepted in {accepted:.1?}, released in \
         {released:.1?}",
        refused.len(),
        repeats.len(),
        domain["doubted"],
        server.connections()
    );
    assert!(repeats.len() as u64 <= resent, "{domain}");
    for (mailbox, tag) in &repeats {
        let reported = was_in_doubt(&relay, &sent, mailbox, tag);
        assert!(
            reported,
            "{tag} arrived twice for {mailbox}, and no event says so"
        );
    }
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => default,
    }
}

/// Waits as long as something comes to its end now and then.
fn await_end(relay: &Relay) {
    let mut progress = (u64::MAX, Instant::now());
    loop {
        let domain = relay.domain(DOMAIN);
        assert!(domain["paused"].is_null(), "{domain}");
        if domain["phase"] == "forward" {
            return;
        }
        let backlog = domain["backlog"].as_u64().unwrap();
        if backlog != progress.0 {
            progress = (backlog, Instant::now());
        }
        assert!(progress.1.elapsed() < support::PATIENCE, "{domain}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Sends over some connections at once; what was accepted, by queue id and so in order.
fn send(port: u16, messages: u64, seed: u64) -> BTreeMap<String, Sent> {
    let accepted = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let accepted = &accepted;
            scope.spawn(move || {
                let mut random = Random::new(seed ^ (sender << 32));
                let mut client = Client::hello(port).unwrap();
                for number in (sender..messages).step_by(SENDERS as usize) {
                    let mailboxes = mailboxes(&mut random);
                    let kind = if mailboxes.len() == 1 {
                        "alone"
                    } else {
                        "shared"
                    };
                    let message = Sent {
                        tag: format!("{kind}{number}"),
                        mailboxes,
                    };
                    let bytes = format!("X-Tag: {}\r\n\r\n.\r\ntext\r\n", message.tag);
                    let to: Vec<&str> = message.mailboxes.iter().map(String::as_str).collect();
                    let sent = client.send("sender@example.org", &to, bytes.as_bytes());
                    accepted.lock().unwrap().insert(sent.unwrap(), message);
                }
                client.quit().unwrap();
            });
        }
    });
    let accepted = accepted.into_inner().unwrap();
    assert_eq!(accepted.len() as u64, messages, "a queue id twice");
    accepted
}

/// One in ten messages goes to 2 to 50 mailboxes. Half of the mail is for a fiftieth of them,
/// so that some have a long way to go.
fn mailboxes(random: &mut Random) -> Vec<String> {
    let several = match random.below(10) {
        0 => 2 + random.below(49),
        _ => 1,
    };
    let mut chosen = BTreeSet::new();
    while (chosen.len() as u64) < several {
        let number = match random.below(2) {
            0 => random.below(MAILBOXES / 50),
            _ => random.below(MAILBOXES),
        };
        chosen.insert(format!("user{number:04}@{DOMAIN}"));
    }
    chosen.into_iter().collect()
}

fn parked(relay: &Relay, sent: &BTreeMap<String, Sent>) -> Repeats {
    let listed = relay.ok(&["list", "--state", "parked", "--format", "jsonl"]);
    let mut found = Repeats::new();
    for line in text(&listed).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let tag = &sent[line["queue_id"].as_str().unwrap()].tag;
        for recipient in line["recipients"].as_array().unwrap() {
            assert_eq!(recipient["reply"], REFUSAL, "{line}");
            let address = recipient["address"].as_str().unwrap();
            found.insert((address.to_owned(), tag.clone()));
        }
    }
    found
}

fn was_in_doubt(relay: &Relay, sent: &BTreeMap<String, Sent>, mailbox: &str, tag: &str) -> bool {
    let (id, _) = sent.iter().find(|(_, sent)| sent.tag == tag).unwrap();
    let events = relay.events(id);
    events
        .iter()
        .any(|event| event["address"] == *mailbox && event["to"] == "in_doubt")
}

const REFUSAL: &str = "550 5.7.1 Not this one";

/// A server that misbehaves by the dice, whose faces are the seed's: for each message and each
/// place in a session a few times at most, so that an end is reached.
struct Fire {
    seed: u64,
    asked: AtomicU64,
    /// How often each message was struck at its end.
    struck: Mutex<HashMap<String, u32>>,
    /// So many more things are asked of a server that is down.
    down: AtomicU64,
}

impl Fire {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            asked: AtomicU64::new(0),
            struck: Mutex::default(),
            down: AtomicU64::new(0),
        }
    }

    /// Whether this delivery is refused for good, whenever it comes. A message of several may
    /// come in parts, so that only those of one mailbox are.
    fn refuses(&self, tag: &str, mailbox: &str) -> bool {
        tag.starts_with("alone") && self.roll(&[tag, mailbox], 60) == 0
    }

    fn roll(&self, what: &[&str], sides: u64) -> u64 {
        let mut sum = self.seed;
        for byte in what.iter().flat_map(|text| text.bytes()) {
            sum = Random::new(sum ^ u64::from(byte)).next();
        }
        sum % sides
    }

    fn act(&self, ask: &Ask<'_>) -> Act {
        let left = |left: u64| left.checked_sub(1);
        if (self
            .down
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left))
        .is_ok()
        {
            return Act::Close;
        }
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).to_string();
        match ask {
            Ask::Connect => match self.roll(&["connect", &turn], 200) {
                0 => Act::SayAndClose("421 4.3.2 Too busy"),
                1 => Act::Close,
                _ => Act::Go,
            },
            Ask::Hello => Act::Go,
            Ask::Mail(_) => match self.roll(&["mail", &turn], 400) {
                0 => Act::Say("451 4.3.0 Not now"),
                1 => Act::SayAndClose("421 4.3.2 Shutting down"),
                2 => Act::Close,
                _ => Act::Go,
            },
            Ask::Rcpt(_) => match self.roll(&["rcpt", &turn], 200) {
                0 => Act::Say("450 4.2.1 Mailbox busy"),
                _ => Act::Go,
            },
            Ask::Data(_) => match self.roll(&["data", &turn], 400) {
                0 => Act::Say("451 4.3.5 Not now"),
                1 => Act::Wait(Duration::from_millis(30)),
                _ => Act::Go,
            },
            // Before the final dot.
            Ask::Body(so_far) if so_far.ends_with(b"\r\n\r\n") => {
                match self.roll(&["body", &turn], 300) {
                    0 => Act::Close,
                    _ => Act::Go,
                }
            }
            Ask::Body(_) => Act::Go,
            Ask::Dot(to, message) => self.dot(to, &tag(message), &turn),
        }
    }

    fn dot(&self, to: &[String], tag: &str, turn: &str) -> Act {
        if let [only] = to
            && self.refuses(tag, only)
        {
            return Act::Say(REFUSAL);
        }
        let roll = self.roll(&["dot", turn], 60);
        if roll > 5 {
            return Act::Go;
        }
        let mut struck = self.struck.lock().unwrap();
        let times = struck.entry(tag.to_owned()).or_default();
        *times += 1;
        match roll {
            _ if *times > 3 => Act::Go,
            0 => Act::Say("452 4.3.1 Out of space"),
            1 => Act::SayAndClose("421 4.3.2 Shutting down"),
            2 => Act::Close,
            3 => Act::StoreAndClose,
            _ => Act::Wait(Duration::from_millis(30)),
        }
    }
}
