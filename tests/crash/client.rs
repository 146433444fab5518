//! The recording client, and the comparison of a spool with what it wrote down.

use crate::support::{
    Random,
    client::{Client, queue_id, wire},
    relay::{DOMAIN, Relay, text},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread::Scope,
    time::Instant,
};

const SENDERS: u64 = 8;
pub const MAILBOXES: u64 = 20;

/// A message from its end-of-data on.
#[derive(Clone, Debug)]
pub struct Sent {
    pub tag: String,
    pub mailbox: String,
    pub message: Vec<u8>,
    /// Just before the end-of-data left.
    dot_at: Instant,
    /// The 250's queue id, and when it was read; nothing when none came.
    pub acknowledged: Option<(String, Instant)>,
}

/// Every message, and every reply as it was received.
#[derive(Default)]
pub struct Log {
    state: Mutex<State>,
    numbers: AtomicU64,
}

#[derive(Default)]
struct State {
    sent: Vec<Sent>,
    /// Clients that wait for the reply to their end-of-data.
    waiting: usize,
    /// From here on a reply may come from a server whose disk is gone already.
    frozen: bool,
}

impl Log {
    /// Writes no more replies down, until the next load: to be called before the power is
    /// cut. Returns how many clients wait for the reply to their end-of-data, whose
    /// commits the cut may strike.
    pub fn freeze(&self) -> usize {
        let mut state = self.lock();
        state.frozen = true;
        state.waiting
    }

    /// How many clients wait, or have waited in vain, for the reply to their end-of-data.
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Clients that send until the server is gone. One message in `long_every` is long
    /// enough for a file of its own.
    pub fn load<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        port: u16,
        long_every: u64,
    ) {
        let mut state = self.lock();
        state.frozen = false;
        state.waiting = 0;
        drop(state);
        for _ in 0..SENDERS {
            scope.spawn(move || self.send(port, long_every));
        }
    }

    /// Everything that was sent.
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.clone()
    }

    /// How many messages got a 250.
    pub fn accepted(&self) -> usize {
        let state = self.lock();
        let sent = state.sent.iter();
        sent.filter(|sent| sent.acknowledged.is_some()).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn send(&self, port: u16, long_every: u64) {
        let Ok(mut client) = Client::hello(port) else {
            return;
        };
        loop {
            let number = self.numbers.fetch_add(1, Ordering::SeqCst);
            let mut random = Random::new(number + 1);
            let size = match random.below(long_every) {
                0 => 150_000 + random.below(700_000),
                _ => random.below(4000),
            };
            let tag = format!("n{number}");
            let mailbox = format!("user{}@{DOMAIN}", random.below(MAILBOXES));
            let message = message(&tag, usize::try_from(size).unwrap(), &mut random);
            if client.envelope("load@example.org", &[&mailbox]).is_err() {
                return;
            }
            let wire = wire(&message);
            let (body, dot) = wire.split_at(wire.len() - 3);
            if client.raw(body).is_err() {
                return;
            }
            let place = self.begin(Sent {
                tag,
                mailbox,
                message,
                dot_at: Instant::now(),
                acknowledged: None,
            });
            let reply = client.raw(dot).and_then(|()| client.reply());
            let Ok(reply) = reply else {
                return;
            };
            let mut state = self.lock();
            if state.frozen {
                return;
            }
            let id = queue_id(&reply).expect("a healthy server takes all");
            state.waiting -= 1;
            state.sent[place].acknowledged = Some((id, Instant::now()));
        }
    }

    fn begin(&self, sent: Sent) -> usize {
        let mut state = self.lock();
        state.waiting += 1;
        state.sent.push(sent);
        state.sent.len() - 1
    }
}

/// What makes the moments differ from run to run, shown so that they can be had again.
pub fn seed() -> u64 {
    let seed = std::env::var("RELAY_CRASH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("RELAY_CRASH_SEED={seed}");
    seed
}

/// A message that carries its tag.
pub fn message(tag: &str, size: usize, random: &mut Random) -> Vec<u8> {
    let mut message = format!("X-Tag: {tag}\r\nSubject: crash\r\n\r\n").into_bytes();
    let end = message.len() + size;
    while message.len() < end {
        message.extend(format!(".{:016x}\r\n", random.next()).into_bytes());
    }
    message
}

/// The tag of a message.
pub fn tag(message: &[u8]) -> String {
    let head = text(&message[..message.len().min(1000)]);
    let (_, rest) = head.split_once("X-Tag: ").unwrap();
    rest.split("\r\n").next().unwrap().to_owned()
}

/// How a spool differs from the log.
#[derive(Default, Debug)]
pub struct Difference {
    /// Messages that got a 250 and are not there.
    pub lost: Vec<String>,
    /// Whatever else is not as it must be.
    pub wrong: Vec<String>,
}

impl Difference {
    /// # Panics
    /// With all differences, when there are any.
    pub fn assert_none(&self) {
        assert!(self.lost.is_empty() && self.wrong.is_empty(), "{self:#?}");
    }

    pub fn expect(&mut self, right: bool, wrong: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(wrong());
        }
    }
}

/// Every acknowledged message is held once, whole, with its envelope and in order; every
/// other is absent or whole; and a full recount agrees.
pub fn compare(relay: &Relay, directory: &Path, log: &[Sent]) -> Difference {
    let mut difference = Difference::default();
    let listed = relay.list();
    let ids: Vec<&str> = listed
        .iter()
        .map(|line| line["queue_id"].as_str().unwrap())
        .collect();
    difference.expect(ids.is_sorted(), || "not listed in order".into());
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    difference.expect(unique.len() == ids.len(), || "listed twice".into());

    let bodies = export(relay, directory);
    difference.expect(bodies.len() == ids.len(), || {
        format!("{} listed and {} exported", ids.len(), bodies.len())
    });
    let by_tag: BTreeMap<&str, &Sent> = log.iter().map(|sent| (sent.tag.as_str(), sent)).collect();
    let mut found = BTreeMap::new();
    for line in &listed {
        let id = line["queue_id"].as_str().unwrap();
        let body = &bodies[id];
        let tag = tag(body);
        // What was in flight when the server died was written down too.
        let sent = by_tag[tag.as_str()];
        let recipient = &line["recipients"][0];
        difference.expect(sent.message == *body, || {
            format!("{id}: {tag} is not whole")
        });
        difference.expect(
            recipient["address"] == sent.mailbox
                && recipient["state"] == "held"
                && line["sender"] == "load@example.org",
            || format!("{id}: {line}"),
        );
        let before = found.insert(tag.clone(), id);
        difference.expect(before.is_none(), || format!("{tag} twice"));
    }
    for sent in log {
        let Some((id, _)) = &sent.acknowledged else {
            continue;
        };
        match found.get(&sent.tag) {
            None => difference
                .lost
                .push(format!("{} got a 250 as {id}", sent.tag)),
            Some(kept) => difference.expect(kept == id, || {
                format!("{} got a 250 as {id}, and is {kept}", sent.tag)
            }),
        }
    }
    difference.wrong.extend(disorder(log));
    let recount = relay.json(&["fsck"]);
    difference.expect(recount["clean"] == true, || recount.to_string());
    difference
}

/// If one message's 250 was read before another's end-of-data was sent, the first has the
/// lower id.
fn disorder(log: &[Sent]) -> Vec<String> {
    let mut begun: Vec<(Instant, &str)> = Vec::new();
    let mut ended: Vec<(Instant, &str)> = Vec::new();
    for sent in log {
        if let Some((id, at)) = &sent.acknowledged {
            begun.push((sent.dot_at, id));
            ended.push((*at, id));
        }
    }
    begun.sort_unstable();
    ended.sort_unstable();
    let mut ended = ended.into_iter().peekable();
    let mut highest = "";
    let mut wrong = Vec::new();
    for (at, id) in begun {
        while let Some((_, before)) = ended.next_if(|(ended_at, _)| *ended_at < at) {
            highest = highest.max(before);
        }
        if highest >= id {
            wrong.push(format!("{id} was sent after the 250 of {highest}"));
        }
    }
    wrong
}

/// All bodies, by queue id.
fn export(relay: &Relay, directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let to = directory.join("export");
    let _ = fs::remove_dir_all(&to);
    let output = relay.cli(&["export", "--format", "eml", "--to", to.to_str().unwrap()]);
    if !output.status.success() {
        // What is wrong with which body.
        let recount = text(&relay.cli(&["--json", "fsck"]).stdout);
        panic!("{}\n{recount}\n{}", text(&output.stderr), relay.log());
    }
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
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bodies.insert(id, bytes), None, "{path:?}");
    }
}
