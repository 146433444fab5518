//! A chain of BLAKE3 hashes over the event log: each entry is hashed behind its predecessor's
//! hash, so that none can be changed, removed or added without the head becoming another one.
//!
//! The order: each message in arrival order, its acceptance first and then its events by
//! number; behind them the events of each domain, by name. Only events below a number that was
//! taken before are in it, so that what happens later does not change the head.
//!
//! A report has no room for millions of entries. Messages about which there is nothing to say
//! are skipped a thousand at a time: the hash behind them is given, and recomputed only with
//! the spool at hand.

use crate::control::view::{DomainEventView, EventView, LoggedView, MessageView};
use serde::{Deserialize, Serialize};

/// What the first entry is hashed behind.
const START: &str = "relay event log 1";
/// Messages that are skipped at once, at most: where they disagree later is known that well.
const SKIPPED_MAX: u64 = 1_000;
/// Entries that are given whole though there is nothing to say about them.
const PLAIN_MAX: u64 = 1_000;
/// Entries that are given whole.
const WHOLE_MAX: u64 = 20_000;

/// The chain as a report has it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Chain {
    /// How it is hashed.
    pub algorithm: String,
    /// Events with a lower number are in it.
    pub next_event: u64,
    /// The last message in it; none: there is none.
    pub last_message: Option<String>,
    /// Messages in it.
    pub messages: u64,
    /// Events in it, those of domains too.
    pub events: u64,
    /// The hash behind the last entry, in hexadecimal.
    pub head: String,
    /// The entries, or where some are skipped.
    pub links: Vec<Link>,
}

/// An entry with the hash behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// BLAKE3 of the predecessor's hash (32 bytes) and the entry, in hexadecimal.
    pub hash: String,
    /// The entry.
    pub entry: Entry,
}

/// What is hashed: its JSON without white space, members in the order of this type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A message was accepted.
    Accepted(Accepted),
    /// A step of a delivery.
    Step(EventView),
    /// An event of a domain.
    Domain {
        /// Which.
        domain: String,
        /// What happened.
        event: DomainEventView,
    },
    /// Nothing that is hashed: messages that the report has no room for.
    Skipped(Skipped),
}

/// A message as it was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Its queue id.
    pub queue_id: String,
    /// When.
    pub at_ms: u64,
    /// Who handed it in.
    pub client: String,
    /// MAIL FROM.
    pub sender: String,
    /// RCPT TO, in their order.
    pub recipients: Vec<String>,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: String,
}

/// Messages that a report has no room for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Skipped {
    /// The first of them.
    pub first: String,
    /// The last of them.
    pub last: String,
    /// How many messages.
    pub messages: u64,
    /// How many events of theirs.
    pub events: u64,
}

/// A hash of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Before the first entry.
    #[must_use]
    pub fn start() -> Self {
        Self(*blake3::hash(START.as_bytes()).as_bytes())
    }

    /// Behind an entry.
    #[must_use]
    pub fn then(self, entry: &Entry) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        // Views hold strings, numbers and lists of them: nothing that JSON cannot carry.
        hasher.update(&serde_json::to_vec(entry).unwrap_or_default());
        Self(*hasher.finalize().as_bytes())
    }

    /// In hexadecimal.
    #[must_use]
    pub fn hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// From hexadecimal.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        Some(Self(*blake3::Hash::from_hex(text).ok()?.as_bytes()))
    }
}

/// The entries of a message, below this event.
pub fn entries(logged: &LoggedView, next_event: u64) -> impl Iterator<Item = Entry> {
    let steps = logged
        .events
        .iter()
        .filter(move |event| event.number < next_event);
    let accepted = Entry::Accepted(accepted(&logged.message));
    std::iter::once(accepted).chain(steps.cloned().map(Entry::Step))
}

fn accepted(message: &MessageView) -> Accepted {
    let recipients = message.recipients.iter();
    Accepted {
        queue_id: message.queue_id.clone(),
        at_ms: message.arrival_time_ms,
        client: message.client.clone(),
        sender: message.sender.clone(),
        recipients: recipients.map(|one| one.address.clone()).collect(),
        size: message.message_size,
        digest: message.digest.clone(),
    }
}

/// Whether a message has to be in a report whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Telling {
    /// Something about it is out of the ordinary.
    Notable,
    /// Nothing.
    Plain,
}

/// Builds the chain, in little memory.
#[derive(Debug)]
pub struct Chainer {
    chain: Chain,
    hash: Hash,
    skipped: Skipped,
    whole: u64,
}

impl Chainer {
    /// Of the events below this one.
    #[must_use]
    pub fn new(next_event: u64) -> Self {
        Self {
            chain: Chain {
                algorithm: "BLAKE3".into(),
                next_event,
                ..Chain::default()
            },
            hash: Hash::start(),
            skipped: Skipped::default(),
            whole: 0,
        }
    }

    /// Takes the next message.
    pub fn message(&mut self, logged: &LoggedView, telling: Telling) {
        let id = &logged.message.queue_id;
        let room = match telling {
            Telling::Notable => WHOLE_MAX,
            Telling::Plain => PLAIN_MAX,
        };
        let is_whole = self.whole < room;
        if is_whole {
            self.end_skipped();
        }
        let mut events = 0;
        for (place, entry) in entries(logged, self.chain.next_event).enumerate() {
            events = place as u64;
            self.hash = self.hash.then(&entry);
            if is_whole {
                self.whole += 1;
                self.link(entry);
            }
        }
        self.chain.messages += 1;
        self.chain.events += events;
        self.chain.last_message = Some(id.clone());
        if is_whole {
            return;
        }
        if self.skipped.messages == 0 {
            self.skipped.first.clone_from(id);
        }
        self.skipped.last.clone_from(id);
        self.skipped.messages += 1;
        self.skipped.events += events;
        if self.skipped.messages >= SKIPPED_MAX {
            self.end_skipped();
        }
    }

    /// Takes the events of a domain, when all messages are taken; those that are too new are
    /// left out.
    pub fn domain(&mut self, name: &str, events: &[DomainEventView]) {
        self.end_skipped();
        let next = self.chain.next_event;
        for event in events.iter().filter(|event| event.number < next) {
            let entry = Entry::Domain {
                domain: name.to_owned(),
                event: event.clone(),
            };
            self.hash = self.hash.then(&entry);
            self.chain.events += 1;
            self.link(entry);
        }
    }

    /// The chain.
    #[must_use]
    pub fn finish(mut self) -> Chain {
        self.end_skipped();
        self.chain.head = self.hash.hex();
        self.chain
    }

    fn end_skipped(&mut self) {
        if self.skipped.messages > 0 {
            let skipped = std::mem::take(&mut self.skipped);
            self.link(Entry::Skipped(skipped));
        }
    }

    fn link(&mut self, entry: Entry) {
        let hash = self.hash.hex();
        self.chain.links.push(Link { hash, entry });
    }
}
