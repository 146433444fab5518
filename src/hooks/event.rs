//! What is told: one JSON object, whose members are added over time and never renamed.

use crate::spool::{Cause, DomainEvent, DomainStatus};
use serde::Serialize;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Event {
    /// Which kind.
    pub event: Kind,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// This relay.
    pub hostname: String,
    /// The domain; absent where it is about all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// In words.
    pub what: String,
    /// Who or what made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Its place among the spool's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// How the domain stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// A domain's account, short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Account {
    /// `hold`, `release` or `forward`.
    pub phase: &'static str,
    /// Deliveries ever accepted.
    pub accepted: u64,
    /// Deliveries that a release still has to bring to an end.
    pub backlog: u64,
    /// Deliveries that the new server took.
    pub delivered: u64,
    /// Deliveries that wait for a person.
    pub parked: u64,
}

/// Kinds of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A domain entered another phase.
    Phase,
    /// A person paused a domain.
    Paused,
    /// A rule of the configuration did: too many refusals, a destination that cannot be right.
    Breaker,
    /// A domain goes on after a pause.
    Resumed,
    /// A gate opened.
    GateOpened,
    /// Something else was ordered: a destination, a gate, a canary.
    Changed,
    /// Little space is left for mail, or none.
    Disk,
    /// There is enough again.
    DiskOk,
    /// Everything is copied.
    Converged,
    /// Only as a question: may this domain be released?
    Release,
}

impl Event {
    /// Of a domain's history.
    #[must_use]
    pub fn of(hostname: &str, status: &DomainStatus, event: &DomainEvent) -> Self {
        Self {
            event: kind(&event.what, &event.cause),
            at_ms: event.at_ms,
            hostname: hostname.to_owned(),
            domain: Some(status.name.clone()),
            what: event.what.clone(),
            cause: Some(event.cause.to_string()),
            number: Some(event.number),
            account: Some(Account::of(status)),
        }
    }

    /// About all domains.
    #[must_use]
    pub fn general(hostname: &str, event: Kind, at_ms: u64, what: String) -> Self {
        Self {
            event,
            at_ms,
            hostname: hostname.to_owned(),
            domain: None,
            what,
            cause: None,
            number: None,
            account: None,
        }
    }

    /// As it is told.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // Texts and numbers: nothing that JSON cannot carry.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Account {
    /// Of a domain.
    #[must_use]
    pub fn of(status: &DomainStatus) -> Self {
        Self {
            phase: status.phase.name(),
            accepted: status.ledger.accepted.count,
            backlog: status.ledger.backlog(),
            delivered: status.ledger.delivered.count,
            parked: status.ledger.parked.count,
        }
    }
}

fn kind(what: &str, cause: &Cause) -> Kind {
    match (what, cause) {
        (what, _) if what.starts_with("phase ") => Kind::Phase,
        (what, Cause::Policy(_)) if what.starts_with("paused: ") => Kind::Breaker,
        (what, _) if what.starts_with("paused: ") => Kind::Paused,
        ("resumed", _) => Kind::Resumed,
        (what, _) if what.starts_with("gate ") && what.ends_with("-> open") => Kind::GateOpened,
        _ => Kind::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_from_the_history() {
        let policy = Cause::Policy("10 refusals in a row".into());
        let operator = Cause::Operator("pause".into());
        for (what, cause, expected) in [
            ("phase hold -> release", &operator, Kind::Phase),
            ("paused: lunch", &operator, Kind::Paused),
            ("paused: refused", &policy, Kind::Breaker),
            ("resumed", &operator, Kind::Resumed),
            ("gate domain -> open", &policy, Kind::GateOpened),
            ("gate domain", &operator, Kind::Changed),
            ("destination a:25", &operator, Kind::Changed),
        ] {
            assert_eq!(kind(what, cause), expected, "{what}");
        }
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let event = Event::general("h.example", Kind::DiskOk, 7, "enough".into());
        let json = String::from_utf8(event.json()).unwrap();
        assert_eq!(
            json,
            r#"{"event":"disk_ok","at_ms":7,"hostname":"h.example","what":"enough"}"#
        );
    }
}
