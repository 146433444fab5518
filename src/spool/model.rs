//! What the spool keeps: messages, deliveries, their states and events.

use super::domain::Phase;
use crate::mail::{DeliveryId, Digest, Envelope, Lane, QueueId};
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
