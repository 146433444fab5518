//! The counters of the last hour, for the plots.

use crate::spool::{DomainStatus, State};
use serde::Serialize;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Seconds between two samples.
pub const SAMPLE_EVERY_S: u64 = 5;
/// One hour.
const SAMPLES_MAX: usize = 720;
/// With more domains those that come last by name have no plot.
const DOMAINS_MAX: usize = 100;

/// A domain's counters at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Deliveries ever accepted.
    pub accepted: u64,
    /// Deliveries that the new server took.
    pub delivered: u64,
}

/// The samples of each domain, oldest first.
#[derive(Default)]
pub struct History(Mutex<HashMap<String, VecDeque<Sample>>>);

impl History {
    /// Takes the counters of this moment. Domains that are gone are forgotten.
    pub fn sample(&self, domains: &[DomainStatus], at_ms: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| domains.iter().any(|domain| &domain.name == name));
        for domain in domains.iter().take(DOMAINS_MAX) {
            let samples = all.entry(domain.name.clone()).or_default();
            if samples.len() == SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back(Sample {
                at_ms,
                accepted: domain.ledger.accepted.count,
                delivered: domain.ledger.tally(State::Delivered, domain.phase).count,
            });
        }
    }

    /// All of it.
    pub fn all(&self) -> HashMap<String, VecDeque<Sample>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
