//! Whether a report's chain is whole, and whether the spool still has what it says.

use super::chain::{Chain, Entry, Hash, Link, Skipped, entries};
use crate::control::view::{DomainEventView, LoggedView};

/// Findings that are told.
const FINDINGS_MAX: usize = 100;

/// The chain in itself: each hash is that of its entry behind the hash before, and the last one
/// is the head.
#[must_use]
pub fn within(chain: &Chain) -> Vec<String> {
    let mut findings = Vec::new();
    let (mut hash, mut messages, mut events) = (Hash::start(), 0, 0);
    for link in &chain.links {
        let Some(told) = Hash::from_hex(&link.hash) else {
            findings.push(format!("{} is no hash", link.hash));
            break;
        };
        match &link.entry {
            Entry::Skipped(skipped) => {
                messages += skipped.messages;
                events += skipped.events;
            }
            entry => {
                if hash.then(entry) != told {
                    findings.push(format!("the chain breaks at {}", named(entry)));
                }
                match entry {
                    Entry::Accepted(_) => messages += 1,
                    _ => events += 1,
                }
            }
        }
        hash = told;
    }
    if hash.hex() != chain.head {
        findings.push("the last hash is not the head: entries are missing at the end".into());
    }
    if (messages, events) != (chain.messages, chain.events) {
        findings.push(format!(
            "it says {} messages and {} events, and has {messages} and {events}",
            chain.messages, chain.events
        ));
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

fn named(entry: &Entry) -> String {
    match entry {
        Entry::Accepted(message) => format!("the acceptance of {}", message.queue_id),
        Entry::Step(step) => format!("event {} of {}", step.number, step.queue_id),
        Entry::Domain { domain, event } => format!("event {} of {domain}", event.number),
        Entry::Skipped(skipped) => format!("{} to {}", skipped.first, skipped.last),
    }
}

/// A part of a chain, as it is compared with the spool: from the hash before it, so that one
/// disagreement is told once.
enum Part<'a> {
    /// A message that is given whole.
    Whole { id: &'a str, links: &'a [Link] },
    /// Messages of which only the hash behind them is given.
    Skipped {
        told: &'a Skipped,
        before: Hash,
        behind: &'a str,
    },
}

impl Part<'_> {
    fn last(&self) -> &str {
        match self {
            Self::Whole { id, .. } => id,
            Self::Skipped { told, .. } => &told.last,
        }
    }

    fn first(&self) -> &str {
        match self {
            Self::Whole { id, .. } => id,
            Self::Skipped { told, .. } => &told.first,
        }
    }
}

/// Compares a chain with what the spool has, as it is walked over.
pub struct Comparison<'a> {
    chain: &'a Chain,
    parts: std::iter::Peekable<std::vec::IntoIter<Part<'a>>>,
    /// Of the skipped messages under way: the hash so far, messages, events.
    run: Option<(Hash, u64, u64)>,
    findings: Vec<String>,
    more: u64,
}

impl<'a> Comparison<'a> {
    /// Begins before the first message.
    #[must_use]
    pub fn new(chain: &'a Chain) -> Self {
        Self {
            chain,
            parts: parts(chain).into_iter().peekable(),
            run: None,
            findings: Vec::new(),
            more: 0,
        }
    }

    /// Takes the next message of the spool.
    pub fn message(&mut self, logged: &LoggedView) {
        let id = &*logged.message.queue_id;
        // Queue ids sort by arrival.
        if self
            .chain
            .last_message
            .as_deref()
            .is_none_or(|last| id > last)
        {
            return;
        }
        while self.parts.peek().is_some_and(|part| part.last() < id) {
            self.end_part();
        }
        let next = self.chain.next_event;
        match self.parts.peek() {
            Some(part) if part.first() > id => {
                self.find(format!("{id} is in the spool and not in the report"));
            }
            Some(Part::Whole { links, .. }) => {
                let links = *links;
                self.parts.next();
                self.whole(id, links, entries(logged, next).collect());
            }
            Some(Part::Skipped { before, .. }) => {
                let (hash, messages, events) = self.run.take().unwrap_or((*before, 0, 0));
                let (mut hash, mut steps) = (hash, 0);
                for (place, entry) in entries(logged, next).enumerate() {
                    hash = hash.then(&entry);
                    steps = place as u64;
                }
                self.run = Some((hash, messages + 1, events + steps));
            }
            None => {}
        }
    }

    /// Takes the events of all domains, when all messages are taken, and tells what disagrees.
    #[must_use]
    pub fn finish(mut self, domains: &[(String, Vec<DomainEventView>)]) -> Vec<String> {
        while self.parts.peek().is_some() {
            self.end_part();
        }
        let next = self.chain.next_event;
        let now = |domain: &str, number: u64| {
            let (_, events) = domains.iter().find(|(name, _)| name == domain)?;
            events.iter().find(|event| event.number == number)
        };
        let mut known = std::collections::HashSet::new();
        for link in &self.chain.links {
            if let Entry::Domain { domain, event } = &link.entry {
                known.insert(event.number);
                match now(domain, event.number) {
                    Some(same) if same == event => {}
                    Some(_) => self.find(format!(
                        "{} is another one in the spool",
                        named(&link.entry)
                    )),
                    None => self.find(format!(
                        "{} is not in the spool any more",
                        named(&link.entry)
                    )),
                }
            }
        }
        for (name, events) in domains {
            for event in events.iter().filter(|event| event.number < next) {
                if !known.contains(&event.number) {
                    let number = event.number;
                    self.find(format!(
                        "event {number} of {name} is in the spool and not in the report"
                    ));
                }
            }
        }
        if self.more > 0 {
            let more = self.more;
            self.findings.push(format!("and {more} more"));
        }
        self.findings
    }

    fn whole(&mut self, id: &str, links: &[Link], now: Vec<Entry>) {
        let told: Vec<&Entry> = links.iter().map(|link| &link.entry).collect();
        for entry in &told {
            if !now.contains(entry) {
                let what = named(entry);
                self.find(format!(
                    "{what} is not in the spool any more, or is another one there"
                ));
            }
        }
        for entry in &now {
            if !told.contains(&entry) {
                let what = named(entry);
                self.find(format!("{what} is in the spool and not in the report"));
            }
        }
        if told.len() == now.len() && !told.iter().copied().eq(now.iter()) {
            self.find(format!(
                "the events of {id} have another order in the spool"
            ));
        }
    }

    /// What is over without having been found whole.
    fn end_part(&mut self) {
        let run = self.run.take();
        match self.parts.next() {
            Some(Part::Whole { id, .. }) => self.find(format!("{id} is not in the spool any more")),
            Some(Part::Skipped {
                told,
                before,
                behind,
            }) => {
                let (hash, messages, events) = run.unwrap_or((before, 0, 0));
                if hash.hex() != behind {
                    self.find(format!(
                        "{} to {}: the report has {} messages with {} events, the spool {messages} \
                         with {events}, and they are not the same",
                        told.first, told.last, told.messages, told.events
                    ));
                }
            }
            None => {}
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// The parts of a chain that are about messages.
fn parts(chain: &Chain) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut before = Hash::start();
    let mut at = 0;
    while let Some(link) = chain.links.get(at) {
        let mut next = at + 1;
        match &link.entry {
            Entry::Accepted(message) => {
                let is_step = |link: &Link| matches!(&link.entry, Entry::Step(step) if step.queue_id == message.queue_id);
                while chain.links.get(next).is_some_and(is_step) {
                    next += 1;
                }
                parts.push(Part::Whole {
                    id: &message.queue_id,
                    links: chain.links.get(at..next).unwrap_or_default(),
                });
            }
            Entry::Skipped(told) => parts.push(Part::Skipped {
                told,
                before,
                behind: &link.hash,
            }),
            Entry::Step(_) | Entry::Domain { .. } => {}
        }
        let last = chain.links.get(next - 1);
        before = last
            .and_then(|link| Hash::from_hex(&link.hash))
            .unwrap_or(before);
        at = next;
    }
    parts
}

#[cfg(test)]
mod tests;
