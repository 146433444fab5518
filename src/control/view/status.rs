//! `GET /v1/status`: every domain with its phase, its account and its next step.

use super::{MoverView, RailView};
use crate::{
    control::next,
    ledger::{Checked, Cutover},
    spool::{Canary, DomainStatus, Gate, Phase, State, Tally},
};
use serde::{Deserialize, Serialize};

/// Everything that runs here.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// The daemon's version.
    pub version: String,
    /// The daemon's clock.
    pub now_ms: u64,
    /// Why no mail is taken now, for want of space or after a failed write; absent when
    /// all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusing: Option<String>,
    /// Delivered messages whose bytes were given up before `spool.retain_delivered`, for want
    /// of space, since the start of the daemon.
    #[serde(default)]
    pub given_up: u64,
    /// The guided cutover, its steps with their times; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutover: Option<Cutover>,
    /// What the last checks found, those that went well left out; absent when none was
    /// made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
    /// The configured domains, by name.
    pub domains: Vec<DomainView>,
}

/// One domain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DomainView {
    /// Its name, in lower case.
    pub name: String,
    /// `hold`, `release` or `forward`.
    pub phase: Phase,
    /// Since when.
    pub phase_since_ms: u64,
    /// Why it is paused; absent when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Where it goes when a release has emptied the backlog.
    pub then: Phase,
    /// The destination given by `relay release --to`; absent: the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What its release waits for: `domain` (nothing goes yet), `mailbox` (each mailbox
    /// for its own); absent: for nothing.
    #[serde(default, skip_serializing_if = "Gate::is_open")]
    pub gate: Gate,
    /// The messages that go before all others; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryView>,
    /// What the gate waits for, in words; absent when it waits for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_waits: Option<String>,
    /// Deliveries ever accepted, with the sum of their messages' sizes.
    pub accepted: Tally,
    /// Deliveries in each state.
    pub states: StatesView,
    /// Whether `accepted` is the sum of all states, as it must always be.
    pub balanced: bool,
    /// Deliveries that a release still has to bring to an end.
    pub backlog: u64,
    /// How many times a delivery was in doubt.
    #[serde(default)]
    pub doubted: u64,
    /// How many of those were then found at the new server.
    #[serde(default)]
    pub found: u64,
    /// Deliveries that were sent again after doubt, and so may be there twice.
    pub resent: u64,
    /// When mail for it last arrived; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_arrival_ms: Option<u64>,
    /// When the oldest message that is not finished arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<u64>,
    /// Deliveries accepted a minute, over the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_per_min: Option<f64>,
    /// Deliveries that came to an end a second, over the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_per_s: Option<f64>,
    /// What the release is doing now; absent while nothing is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseView>,
    /// How the copying of its mailboxes stands; absent where no mover has run for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mover: Option<MoverView>,
    /// How far its move is, step by step.
    #[serde(default)]
    pub rail: Vec<RailView>,
    /// What an operator should do next, in words.
    pub next: String,
}

/// The first messages of a release, behind which it stops.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CanaryView {
    /// How many messages.
    pub messages: u32,
    /// The queue id of the first.
    pub first: String,
    /// The queue id of the last.
    pub last: String,
    /// When it was ordered.
    pub since_ms: u64,
    /// Whether all of them were sent or tried, and the release stands.
    pub sent: bool,
}

impl From<Canary> for CanaryView {
    fn from(canary: Canary) -> Self {
        Self {
            messages: canary.messages,
            first: canary.first.to_string(),
            last: canary.last.to_string(),
            since_ms: canary.since_ms,
            sent: canary.sent,
        }
    }
}

/// Deliveries and bytes in each public state. Bytes count a message once a recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatesView {
    /// Waiting for the release.
    pub held: Tally,
    /// Released, waiting its turn.
    pub queued: Tally,
    /// Failed for now, will be retried.
    pub deferred: Tally,
    /// Lost after end-of-data, before the reply.
    pub in_doubt: Tally,
    /// Taken by the new server.
    pub delivered: Tally,
    /// Refused for good; kept for a person.
    pub parked: Tally,
    /// Reported back by a person.
    pub bounced: Tally,
    /// Given up by a person.
    pub dropped: Tally,
}

/// A release at work, as its workers see it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ReleaseView {
    /// `HOST:PORT` that it goes to.
    pub destination: String,
    /// Why nothing, or only one message at a time, is sent; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// What keeps it from going faster: limits that are reached, and why there are fewer
    /// connections than there may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowed: Vec<String>,
    /// When the destination is tried again, while it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_ms: Option<u64>,
    /// Messages that are being sent at this moment.
    pub in_flight: u64,
    /// Open connections to the destination.
    pub connections: u64,
    /// Connections that may be used at present: fewer than configured while the
    /// destination is slow or refuses some.
    pub connections_allowed: u64,
    /// Mailboxes that wait for their next try.
    pub mailboxes_waiting: u64,
    /// Mailboxes that wait for their gate.
    #[serde(default)]
    pub mailboxes_gated: u64,
    /// Deliveries a second, over the last ten seconds.
    pub rate_per_s: f64,
}

/// What is known about a domain beside its status in the spool.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Live {
    /// When its oldest unfinished message arrived.
    pub oldest_ms: Option<u64>,
    /// What its release is doing.
    pub release: Option<ReleaseView>,
    /// How fast it moves.
    pub speed: Option<Speed>,
    /// How the copying of its mailboxes stands.
    pub mover: Option<MoverView>,
    /// How far its move is.
    pub rail: Vec<RailView>,
    /// What its gate waits for.
    pub gate_waits: Option<String>,
}

/// How fast a domain moves, measured over the last minute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Speed {
    /// Deliveries accepted a minute.
    pub arrivals_per_min: f64,
    /// Deliveries that came to an end a second.
    pub finished_per_s: f64,
}

impl StatesView {
    /// The counts of `status`, under the names of the public states.
    #[must_use]
    pub fn of(status: &DomainStatus) -> Self {
        let tally = |state| status.ledger.tally(state, status.phase);
        Self {
            held: tally(State::Held),
            queued: tally(State::Queued),
            deferred: tally(State::Deferred),
            in_doubt: tally(State::InDoubt),
            delivered: tally(State::Delivered),
            parked: tally(State::Parked),
            bounced: tally(State::Bounced),
            dropped: tally(State::Dropped),
        }
    }

    /// The count of one state.
    #[must_use]
    pub fn get(&self, state: State) -> Tally {
        match state {
            State::Held => self.held,
            State::Queued => self.queued,
            State::Deferred => self.deferred,
            State::InDoubt => self.in_doubt,
            State::Delivered => self.delivered,
            State::Parked => self.parked,
            State::Bounced => self.bounced,
            State::Dropped => self.dropped,
        }
    }

    /// Deliveries that came to an end, or wait for a person: what a release has done with.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.delivered.count + self.parked.count + self.bounced.count + self.dropped.count
    }
}

impl DomainView {
    /// The public form of `status` at the time `now_ms`.
    #[must_use]
    pub fn of(status: &DomainStatus, live: Live, now_ms: u64) -> Self {
        let Live {
            oldest_ms,
            release,
            speed,
            mover,
            rail,
            gate_waits,
        } = live;
        let next = match gate_waits.as_ref().filter(|_| status.paused.is_none()) {
            Some(waits) => next::gated(status, waits),
            None => next::step(status, release.as_ref(), mover.as_ref(), now_ms),
        };
        Self {
            name: status.name.clone(),
            phase: status.phase,
            phase_since_ms: status.phase_since_ms,
            paused: status.paused.clone(),
            then: status.then,
            to: status.to.clone(),
            gate: status.gate,
            canary: status.canary.map(CanaryView::from),
            accepted: status.ledger.accepted,
            states: StatesView::of(status),
            balanced: status.ledger.balances(),
            backlog: status.ledger.backlog(),
            doubted: status.ledger.doubted,
            found: status.ledger.found,
            resent: status.ledger.resent,
            last_arrival_ms: (status.last_arrival_ms > 0).then_some(status.last_arrival_ms),
            oldest_ms,
            arrivals_per_min: speed.map(|speed| speed.arrivals_per_min),
            finished_per_s: speed.map(|speed| speed.finished_per_s),
            next,
            gate_waits,
            release,
            mover,
            rail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn a_hold_counts_what_was_deferred_as_held_and_balances() {
        let mut status = fixture::domain("corp.example", Phase::Hold);
        status.ledger.accepted = fixture::tally(7);
        status.ledger.waiting = fixture::tally(3);
        status.ledger.deferred = fixture::tally(2);
        status.ledger.delivered = fixture::tally(1);
        status.ledger.parked = fixture::tally(1);
        let held = DomainView::of(&status, Live::default(), 1);
        assert_eq!((held.states.held.count, held.states.deferred.count), (5, 0));
        assert_eq!((held.backlog, held.balanced), (5, true));
        assert_eq!(held.states.settled(), 2);
        status.phase = Phase::Release;
        let released = DomainView::of(&status, Live::default(), 1);
        assert_eq!(
            (released.states.queued.count, released.states.deferred.count),
            (3, 2)
        );
        let sum: u64 = State::ALL
            .map(|s| released.states.get(s).count)
            .iter()
            .sum();
        assert_eq!(sum, released.accepted.count);
    }

    #[test]
    fn what_does_not_apply_is_left_out_and_reads_back() {
        let view = DomainView::of(
            &fixture::domain("a.example", Phase::Hold),
            Live::default(),
            1,
        );
        let json = serde_json::to_value(&view).unwrap();
        for absent in [
            "paused",
            "to",
            "gate",
            "canary",
            "last_arrival_ms",
            "oldest_ms",
            "release",
            "mover",
        ] {
            assert!(json.get(absent).is_none(), "{absent}");
        }
        assert_eq!(json["phase"], "hold");
        assert_eq!(json["states"]["in_doubt"]["count"], 0);
        assert_eq!(serde_json::from_value::<DomainView>(json).unwrap(), view);
    }
}
