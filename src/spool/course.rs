//! The course of a domain: its phase, what a release of it waits for, and what operators'
//! orders make of them. Pure: it is given the time, and what the backlog begins with.

use super::{Canary, DomainCommand, DomainStatus, Gate, Ledger, Phase};
use crate::config::LoadSet;
use serde::{Deserialize, Serialize};

/// Where a domain stands. Kept on disk as it is here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Course {
    /// Its phase.
    pub phase: Phase,
    /// Since when, milliseconds since 1970.
    pub phase_since_ms: u64,
    /// Why it is paused.
    pub paused: Option<String>,
    /// Where it goes when a release has nothing left.
    pub then: Phase,
    /// A destination in the place of the configured one.
    pub to: Option<String>,
    /// The messages that go before all others.
    pub canary: Option<Canary>,
    /// Who says that mail may go.
    pub gate: Gate,
}

impl Course {
    /// That of a domain that has become known now.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            phase: Phase::Hold,
            phase_since_ms: now_ms,
            paused: None,
            then: Phase::Forward,
            to: None,
            canary: None,
            gate: Gate::Open,
        }
    }

    /// As it is shown, with what else is known of its domain.
    #[must_use]
    pub fn status(
        &self,
        name: &str,
        load: LoadSet,
        last_arrival_ms: u64,
        ledger: Ledger,
    ) -> DomainStatus {
        let course = self.clone();
        DomainStatus {
            name: name.to_owned(),
            phase: course.phase,
            phase_since_ms: course.phase_since_ms,
            paused: course.paused,
            then: course.then,
            to: course.to,
            canary: course.canary,
            gate: course.gate,
            load,
            last_arrival_ms,
            ledger,
        }
    }

    /// Takes an order; `canary` are the first messages of the backlog, as many of them as it
    /// asks for. Answers what has changed, in words. Limits are not kept here.
    pub fn take(
        &mut self,
        command: DomainCommand,
        canary: Option<Canary>,
        now_ms: u64,
    ) -> Vec<String> {
        match command {
            DomainCommand::Hold => {
                self.canary = None;
                self.gate = Gate::Open;
                self.enter(Phase::Hold, now_ms).into_iter().collect()
            }
            DomainCommand::Release { to, then, gate, .. } => {
                self.then = then;
                self.paused = None;
                self.canary = canary;
                let waits = self.gate != gate && gate != Gate::Open;
                self.gate = gate;
                let mut said = Vec::new();
                if let Some(to) = to
                    && self.to.as_ref() != Some(&to)
                {
                    said.push(format!("destination {to}"));
                    self.to = Some(to);
                }
                said.extend(canary.map(|canary| format!("canary {}", canary.messages)));
                said.extend(waits.then(|| format!("gate {gate}")));
                said.extend(self.enter(Phase::Release, now_ms));
                said
            }
            DomainCommand::Open => {
                let gate = std::mem::take(&mut self.gate);
                let opens = gate != Gate::Open;
                opens
                    .then(|| format!("gate {gate} -> open"))
                    .into_iter()
                    .collect()
            }
            DomainCommand::EndCanary => {
                let Some(canary) = self.canary.as_mut().filter(|canary| !canary.sent) else {
                    return Vec::new();
                };
                canary.sent = true;
                let reason = format!("the canary of {} was sent", canary.messages);
                vec![self.pause(reason)]
            }
            DomainCommand::Pause { reason } => vec![self.pause(reason)],
            DomainCommand::Resume => {
                // Whoever goes on has looked at it.
                self.canary = self.canary.filter(|canary| !canary.sent);
                let resumed = self.paused.take().map(|_| "resumed".to_owned());
                resumed.into_iter().collect()
            }
            DomainCommand::Limit(_) => Vec::new(),
        }
    }

    /// Goes on from a release that has nothing left, as it was ordered to. Answers what has
    /// changed, in words.
    pub fn drained(&mut self, now_ms: u64) -> Option<String> {
        // What arrives from then on would go at once.
        let is_over =
            self.phase == Phase::Release && self.canary.is_none() && self.gate == Gate::Open;
        if is_over {
            self.enter(self.then, now_ms)
        } else {
            None
        }
    }

    fn pause(&mut self, reason: String) -> String {
        let what = format!("paused: {reason}");
        self.paused = Some(reason);
        what
    }

    fn enter(&mut self, phase: Phase, now_ms: u64) -> Option<String> {
        if self.phase == phase {
            return None;
        }
        let what = format!("phase {} -> {phase}", self.phase);
        self.phase = phase;
        self.phase_since_ms = now_ms;
        Some(what)
    }
}
