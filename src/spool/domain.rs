//! A domain: its phase, its status, the orders that an operator gives about it.

use super::{
    ledger::Ledger,
    model::Cause,
    plan::{Canary, Gate},
};
use crate::config::{LoadChange, LoadSet};
use serde::{Deserialize, Serialize};
use std::fmt;

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
