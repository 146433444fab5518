//! What the spool keeps: messages, deliveries, their states and events, domains.

use super::plan::{Canary, Gate};
use crate::{
    config::{LoadChange, LoadSet},
    mail::{DeliveryId, Digest, Envelope, Lane, QueueId},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A message as the spool keeps it, without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    /// Its queue id: its place in the order of commits.
    pub id: QueueId,
    /// Who, to whom, when.
    pub envelope: Envelope,
    /// Length in bytes, as received.
    pub size: u64,
    /// BLAKE3 of those bytes.
    pub digest: Digest,
    /// Whether the bytes are still there (they go after `spool.retain_delivered`).
    pub has_body: bool,
}

/// The state of a delivery, as promised in public: it is in exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for the domain's release.
    Held,
    /// Released, waiting its turn.
    Queued,
    /// Failed for now, to be tried again.
    Deferred,
    /// The connection was lost after end-of-data and before its reply.
    InDoubt,
    /// The new server took it.
    Delivered,
    /// Refused for good by the new server; kept for a person to decide.
    Parked,
    /// Reported back to its sender by a person's command.
    Bounced,
    /// Dropped by a person's command.
    Dropped,
}

impl State {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Queued,
        Self::Deferred,
        Self::InDoubt,
        Self::Delivered,
        Self::Parked,
        Self::Bounced,
        Self::Dropped,
    ];

    /// Its name in all outputs: `held`, `in_doubt` ...
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::InDoubt => "in_doubt",
            Self::Delivered => "delivered",
            Self::Parked => "parked",
            Self::Bounced => "bounced",
            Self::Dropped => "dropped",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A delivery's place in its life, as it is recorded. `Waiting` is what is shown as
/// `held` or `queued`: which of them is the domain's phase to say, so that a change of
/// phase is one write however many deliveries wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// Not tried, or put back.
    Waiting,
    /// To be tried again, not before this time (milliseconds since 1970).
    Deferred {
        /// Not before.
        due_ms: u64,
    },
    /// Nobody knows whether it arrived.
    InDoubt {
        /// When the policy for such deliveries takes hold.
        due_ms: u64,
    },
    /// See [`State::Delivered`].
    Delivered,
    /// See [`State::Parked`].
    Parked,
    /// See [`State::Bounced`].
    Bounced,
    /// See [`State::Dropped`].
    Dropped,
}

impl Standing {
    /// The public state, given the phase of the delivery's domain. In `hold` what was
    /// deferred is held again.
    #[must_use]
    pub fn state(self, phase: Phase) -> State {
        match (self, phase) {
            (Self::Waiting | Self::Deferred { .. }, Phase::Hold) => State::Held,
            (Self::Waiting, _) => State::Queued,
            (Self::Deferred { .. }, _) => State::Deferred,
            (Self::InDoubt { .. }, _) => State::InDoubt,
            (Self::Delivered, _) => State::Delivered,
            (Self::Parked, _) => State::Parked,
            (Self::Bounced, _) => State::Bounced,
            (Self::Dropped, _) => State::Dropped,
        }
    }

    /// Whether it still needs the lane: what comes later for this mailbox must wait.
    #[must_use]
    pub fn holds_lane(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Deferred { .. } | Self::InDoubt { .. }
        )
    }

    /// Whether nothing more will happen to it, unless a person says so.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Bounced | Self::Dropped)
    }
}

/// One delivery with its present state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Which.
    pub id: DeliveryId,
    /// Its recorded place.
    pub standing: Standing,
    /// Its public state.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// When it came into this standing.
    pub changed_ms: u64,
    /// Whether an attempt is on disk that has no result yet.
    pub attempting: bool,
    /// What the other side said last.
    pub last: Option<Remote>,
}

/// What a destination said, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Remote {
    /// `mail.new.example[192.0.2.1]:25`, or `none`.
    pub relay: String,
    /// Enhanced status code, `2.0.0`; one of RFC 3463 is chosen where the reply has none.
    pub dsn: String,
    /// The reply, verbatim, or the local reason when there was none.
    pub reply: String,
}

/// A delivery that is not at its end, as the release walks over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfinished {
    /// Which.
    pub id: DeliveryId,
    /// The mailbox it belongs to.
    pub lane: Lane,
    /// Where it stands.
    pub standing: Standing,
}

/// One step in a delivery's life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    /// Whose.
    pub delivery: DeliveryId,
    /// Which step.
    pub step: Step,
    /// Who or what made it.
    pub cause: Cause,
    /// What the other side said, where it said something.
    pub remote: Option<Remote>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A report to a sender about deliveries that were bounced; a message of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// From the null sender, to the sender of what was bounced.
    pub envelope: Envelope,
    /// Its bytes; in memory, so they should be few.
    pub bytes: Vec<u8>,
}

/// The steps, and from where they may be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// An attempt begins whose end may never be known: recorded before end-of-data
    /// leaves, from `Waiting` and `Deferred`. The standing stays; if the process dies
    /// before a result is recorded, the delivery is `InDoubt` when the spool opens again.
    Attempt,
    /// Taken by the destination; under an attempt.
    Deliver,
    /// Try again not before; from `Waiting`, `Deferred` and under an attempt.
    Defer {
        /// Not before, milliseconds since 1970.
        due_ms: u64,
    },
    /// Lost after end-of-data; under an attempt.
    Doubt {
        /// When the policy takes hold, milliseconds since 1970.
        due_ms: u64,
    },
    /// Known not to have been sent after all: ends an attempt, back to its standing.
    Recall,
    /// Keep for a person; from anything unfinished.
    Park,
    /// Send (again); from `Deferred`, `InDoubt` and `Parked`.
    Retry,
    /// Found at the destination by asking it; from `InDoubt`.
    Found,
    /// Known not to be at the destination, by asking it, so that it is sent again and is
    /// not there twice; from `InDoubt`.
    Absent,
    /// Delivered once, and perhaps lost by the destination since: in doubt; from
    /// `Delivered`, while the message's bytes are kept.
    Rewind,
    /// A person reports it back; from anything unfinished, but not under an attempt.
    Bounce,
    /// A person gives it up; from anything unfinished, but not under an attempt.
    Drop,
}

impl Step {
    /// What is done to the delivery, for messages: "cannot be *retried*".
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            Self::Attempt => "attempted",
            Self::Deliver => "delivered",
            Self::Defer { .. } => "deferred",
            Self::Doubt { .. } => "doubted",
            Self::Recall => "recalled",
            Self::Park => "parked",
            Self::Retry => "retried",
            Self::Found => "found",
            Self::Absent => "missed",
            Self::Rewind => "rewound",
            Self::Bounce => "bounced",
            Self::Drop => "dropped",
        }
    }
}

/// Who or what made a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// The destination's reply.
    Reply,
    /// The network, or this host: no reply was had.
    Connection(String),
    /// The process died under an attempt.
    Restart,
    /// A rule of the configuration, named.
    Policy(String),
    /// A person, by a command.
    Operator(String),
    /// The client sent the message again without having seen its 250; it was kept once.
    Repeated,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply => f.write_str("reply"),
            Self::Connection(detail) => write!(f, "connection: {detail}"),
            Self::Restart => f.write_str("restart during an attempt"),
            Self::Policy(rule) => write!(f, "policy: {rule}"),
            Self::Operator(command) => write!(f, "operator: {command}"),
            Self::Repeated => f.write_str("sent again by a client that lost the 250, kept once"),
        }
    }
}

/// A step that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its place among all events of the spool, those of domains too.
    pub number: u64,
    /// Whose.
    pub delivery: DeliveryId,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Before.
    pub from: Standing,
    /// After.
    pub to: Standing,
    /// Why.
    pub cause: Cause,
    /// What the other side said.
    pub remote: Option<Remote>,
}

/// Where a domain stands in its cutover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accept and keep.
    Hold,
    /// Deliver the backlog in order; new arrivals queue behind it.
    Release,
    /// The backlog is gone; new arrivals are delivered at once.
    Forward,
}

impl Phase {
    /// Its name in all outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Forward => "forward",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An operator's order on a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DomainCommand {
    /// Back to `hold`.
    Hold,
    /// Deliver the backlog.
    Release {
        /// A destination `HOST:PORT` in the place of the configured one.
        to: Option<String>,
        /// Where the domain goes when the backlog is empty: `Forward` or `Hold`.
        then: Phase,
        /// So many messages first; then it stands until it is told to go on.
        canary: Option<u32>,
        /// Who says that mail may go.
        gate: Gate,
    },
    /// Opens the gate of a release for all.
    Open,
    /// The messages that were to go first have gone: stop, to be looked at.
    EndCanary,
    /// Stop in the present phase.
    Pause {
        /// Why.
        reason: String,
    },
    /// Go on.
    Resume,
    /// Asks less or more of the destination than the configuration does.
    Limit(LoadChange),
}

impl DomainCommand {
    /// A release to where the configuration says, into `forward`, that waits for nothing.
    #[must_use]
    pub fn release() -> Self {
        Self::Release {
            to: None,
            then: Phase::Forward,
            canary: None,
            gate: Gate::Open,
        }
    }
}

/// Deliveries and bytes in one state. Bytes count a message once for each recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Deliveries.
    pub count: u64,
    /// Sum of the message sizes.
    pub bytes: u64,
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

/// A domain, its phase and its ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainStatus {
    /// Its name, in lower case.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// Since when, milliseconds since 1970.
    pub phase_since_ms: u64,
    /// Why it is paused, if it is.
    pub paused: Option<String>,
    /// Where it goes after a release: `Forward` or `Hold`.
    pub then: Phase,
    /// A destination that was given by `relay release --to`.
    pub to: Option<String>,
    /// The messages that go before all others, until the release goes on behind them.
    pub canary: Option<Canary>,
    /// Who says that mail may go.
    pub gate: Gate,
    /// What an operator has set in the place of the destination's configured limits.
    pub load: LoadSet,
    /// When mail for it last arrived, milliseconds since 1970; 0 for never.
    pub last_arrival_ms: u64,
    /// How many deliveries stand where.
    pub ledger: Ledger,
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

/// Something that happened to a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainEvent {
    /// Its place among all events of the spool, those of deliveries too.
    pub number: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What, in words: `phase hold -> release, to mail.new.example:25`.
    pub what: String,
    /// Why.
    pub cause: Cause,
}

/// News for a release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Mail arrived for a domain that is not in `hold`.
    Arrived {
        /// The domain.
        domain: String,
    },
    /// A delivery was put back into its lane, at its old place, or taken out of it by a
    /// person.
    Requeued {
        /// The domain.
        domain: String,
        /// The lane.
        lane: Lane,
    },
    /// Phase, pause or destination of a domain changed.
    Domain {
        /// The domain.
        domain: String,
    },
    /// The spool was opened again after a failure: what is there may be more than was told.
    Reopened,
}
