//! The report as data. Its JSON is what `relay report --format json` writes: members are added
//! over time and never renamed or removed. Times are milliseconds since 1970.

use super::{chain::Chain, speed::Speeds};
use crate::{
    control::view::{DomainEventView, StatesView},
    ledger::{Moved, Verified},
    spool::{Phase, State, Tally},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The account of a cutover.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Of this form; 1.
    pub format: u32,
    /// When it was made.
    pub made_ms: u64,
    /// The relay that made it.
    pub version: String,
    /// Its name.
    pub hostname: String,
    /// All domains together.
    pub totals: Totals,
    /// Each domain, by name.
    pub domains: Vec<DomainReport>,
    /// Each mailbox that mail came for, by name: the first ones.
    pub mailboxes: Vec<MailboxReport>,
    /// How many more there are.
    pub mailboxes_more: u64,
    /// Deliveries about which there is something to say, in arrival order: the first ones.
    pub exceptions: Vec<DeliveryReport>,
    /// How many more there are.
    pub exceptions_more: u64,
    /// How fast it went.
    pub speeds: Speeds,
    /// What the mover said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mover: Option<Moved>,
    /// What the last `relay verify` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// The configuration, secrets masked.
    pub configuration: String,
    /// The chain over all events.
    pub chain: Chain,
}

/// The ledger of everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Deliveries ever accepted.
    pub accepted: Tally,
    /// Deliveries in each state.
    pub states: StatesView,
    /// Whether accepted is the sum of all states, in each domain.
    pub balanced: bool,
    /// Deliveries that were sent again after doubt.
    pub resent: u64,
}

/// A domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainReport {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub phase_since_ms: u64,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Deliveries ever accepted.
    pub accepted: Tally,
    /// Deliveries in each state.
    pub states: StatesView,
    /// Whether accepted is the sum of all states.
    pub balanced: bool,
    /// Deliveries that were sent again after doubt.
    pub resent: u64,
    /// When mail last arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_arrival_ms: Option<u64>,
    /// What to do next.
    pub next: String,
    /// What happened to it, oldest first.
    pub events: Vec<DomainEventView>,
}

/// A mailbox that mail came for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MailboxReport {
    /// The recipient.
    pub mailbox: String,
    /// Deliveries accepted for it whose records are still there.
    pub accepted: u64,
    /// How many are in which state; those without any are left out.
    pub states: BTreeMap<State, u64>,
}

/// A delivery about which there is something to say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// Its message.
    pub queue_id: String,
    /// RCPT TO.
    pub recipient: String,
    /// MAIL FROM.
    pub sender: String,
    /// When it arrived.
    pub arrived_ms: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its state.
    pub state: State,
    /// Why: what the other side said last, or what was decided.
    pub reason: String,
    /// What was done about it, oldest first.
    pub done: Vec<StepReport>,
}

/// A step that is out of the ordinary.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepReport {
    /// When.
    pub at_ms: u64,
    /// `parked -> waiting`.
    pub step: String,
    /// Who or what, and what the other side said.
    pub why: String,
}

impl Report {
    /// Whether every delivery is at its end, the ledger balances, and nothing was found wrong.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let states = &self.totals.states;
        let open = self.totals.accepted.count - states.settled().min(self.totals.accepted.count);
        let mut all = vec![
            Verdict::of(
                self.totals.balanced,
                Grade::Bad,
                "Ledger",
                "accepted is the sum of all states, in every domain",
                "accepted is NOT the sum of all states: run `relay fsck`",
            ),
            Verdict::of(
                open == 0,
                Grade::Look,
                "Deliveries",
                "every delivery has come to an end",
                &format!("{open} not sent yet: held, queued, deferred or in doubt"),
            ),
            Verdict::of(
                states.parked.count == 0,
                Grade::Look,
                "Parked",
                "nothing waits for a decision",
                &format!(
                    "{} refused by the new server wait for a decision",
                    states.parked.count
                ),
            ),
        ];
        all.push(match &self.mover {
            None => Verdict::look("Mailboxes", "`relay move` has not run"),
            Some(moved) => Verdict::of(
                moved.converged_ms.is_some(),
                Grade::Look,
                "Mailboxes",
                "all copied: nothing new was left at the old server",
                moved.not_yet.as_deref().unwrap_or("not all are copied yet"),
            ),
        });
        all.push(match &self.verified {
            None => Verdict::look("Verification", "`relay verify` has not run"),
            Some(verified) => Verdict::of(
                verified.totals.all_there(),
                Grade::Bad,
                "Verification",
                "every message is in the new server, once, unaltered",
                &format!(
                    "{} missing, {} altered, {} doubled, {} unreadable",
                    verified.totals.missing,
                    verified.totals.differs,
                    verified.totals.doubled,
                    verified.totals.unreadable
                ),
            ),
        });
        all
    }
}

/// How a part of the cutover is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How.
    pub grade: Grade,
    /// Which part.
    pub part: &'static str,
    /// In words.
    pub words: String,
}

/// As it should be, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grade {
    /// As it should be.
    Good,
    /// To be looked at.
    Look,
    /// Wrong.
    Bad,
}

impl Verdict {
    fn of(is_good: bool, otherwise: Grade, part: &'static str, good: &str, bad: &str) -> Self {
        let (grade, words) = if is_good {
            (Grade::Good, good)
        } else {
            (otherwise, bad)
        };
        Self {
            grade,
            part,
            words: words.to_owned(),
        }
    }

    fn look(part: &'static str, words: &str) -> Self {
        Self {
            grade: Grade::Look,
            part,
            words: words.to_owned(),
        }
    }
}
