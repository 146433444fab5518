//! The ledger of a domain, and what a recount compares it with.

use super::{
    domain::Phase,
    model::{Standing, State, Step},
};
use serde::{Deserialize, Serialize};

/// Deliveries and bytes in one state. Bytes count a message once for each recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Deliveries.
    pub count: u64,
    /// Sum of the message sizes.
    pub bytes: u64,
}

impl Tally {
    /// One more delivery.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The ledger of a domain: how many deliveries stand where. Records that were removed
/// after their retention stay counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Everything ever accepted.
    pub accepted: Tally,
    /// [`Standing::Waiting`].
    pub waiting: Tally,
    /// [`Standing::Deferred`].
    pub deferred: Tally,
    /// [`Standing::InDoubt`].
    pub in_doubt: Tally,
    /// [`Standing::Delivered`].
    pub delivered: Tally,
    /// [`Standing::Parked`].
    pub parked: Tally,
    /// [`Standing::Bounced`].
    pub bounced: Tally,
    /// [`Standing::Dropped`].
    pub dropped: Tally,
    /// How many times a delivery was in doubt.
    pub doubted: u64,
    /// How many of those were then found at the destination.
    pub found: u64,
    /// How many deliveries were sent again after doubt, so that they may be there twice.
    pub resent: u64,
}

impl Ledger {
    /// Deliveries that a release still has to bring to an end.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.waiting.count + self.deferred.count + self.in_doubt.count
    }

    /// What the public state counts, given the phase.
    #[must_use]
    pub fn tally(&self, state: State, phase: Phase) -> Tally {
        let sum = |a: Tally, b: Tally| Tally {
            count: a.count + b.count,
            bytes: a.bytes + b.bytes,
        };
        match (state, phase) {
            (State::Held, Phase::Hold) => sum(self.waiting, self.deferred),
            (State::Held, _) | (State::Queued | State::Deferred, Phase::Hold) => Tally::default(),
            (State::Queued, _) => self.waiting,
            (State::Deferred, _) => self.deferred,
            (State::InDoubt, _) => self.in_doubt,
            (State::Delivered, _) => self.delivered,
            (State::Parked, _) => self.parked,
            (State::Bounced, _) => self.bounced,
            (State::Dropped, _) => self.dropped,
        }
    }

    /// One more delivery of `bytes`, which stands there.
    pub fn accept(&mut self, standing: Standing, bytes: u64) {
        self.accepted.add(bytes);
        self.column(standing).add(bytes);
    }

    /// A delivery of `bytes` goes from one standing to another, by this step.
    pub fn advance(&mut self, step: Step, from: Standing, to: Standing, bytes: u64) {
        self.column(from).take(bytes);
        self.column(to).add(bytes);
        match (step, from) {
            (Step::Retry, Standing::InDoubt { .. }) => self.resent += 1,
            (Step::Found, _) => self.found += 1,
            (Step::Doubt { .. } | Step::Rewind, _) => self.doubted += 1,
            _ => {}
        }
    }

    fn column(&mut self, standing: Standing) -> &mut Tally {
        match standing {
            Standing::Waiting => &mut self.waiting,
            Standing::Deferred { .. } => &mut self.deferred,
            Standing::InDoubt { .. } => &mut self.in_doubt,
            Standing::Delivered => &mut self.delivered,
            Standing::Parked => &mut self.parked,
            Standing::Bounced => &mut self.bounced,
            Standing::Dropped => &mut self.dropped,
        }
    }

    /// Whether accepted is the sum of all states.
    #[must_use]
    pub fn balances(&self) -> bool {
        let states = [
            self.waiting,
            self.deferred,
            self.in_doubt,
            self.delivered,
            self.parked,
            self.bounced,
            self.dropped,
        ];
        let count: u64 = states.iter().map(|tally| tally.count).sum();
        let bytes: u64 = states.iter().map(|tally| tally.bytes).sum();
        self.accepted == Tally { count, bytes }
    }
}

/// What a full recount of the spool found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recount {
    /// Each domain's counters beside what the records say.
    pub domains: Vec<RecountedDomain>,
    /// Message records read.
    pub messages: u64,
    /// Deliveries read.
    pub deliveries: u64,
    /// Bodies whose digest was computed.
    pub bodies_checked: u64,
    /// Files of messages that were cut off while they came in, and never accepted: every
    /// crash may leave some, and the next start removes them.
    pub leftovers: u64,
    /// Everything that is not as it must be, in words. Empty: all is well.
    pub findings: Vec<String>,
}

/// A domain's counters beside what its records say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecountedDomain {
    /// Its name.
    pub name: String,
    /// As kept with every write.
    pub counters: Ledger,
    /// As counted now.
    pub recounted: Ledger,
}
