//! The counters of the last hour, for the plots.

use crate::{
    control::view::MovedView,
    spool::{DomainStatus, State},
};
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

/// The mover's counter at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct MoverSample {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Messages copied or known to be there.
    pub copied: u64,
}

/// What `GET /history` answers: samples of the last hour, oldest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Samples {
    /// Of each domain.
    pub domains: HashMap<String, VecDeque<Sample>>,
    /// Of the mover, while one has run.
    pub mover: VecDeque<MoverSample>,
}

/// Takes the samples and keeps them.
#[derive(Default)]
pub struct History(Mutex<Samples>);

impl History {
    /// Takes the counters of this moment. Domains that are gone are forgotten.
    pub fn sample(&self, domains: &[DomainStatus], moved: Option<&MovedView>, at_ms: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.domains
            .retain(|name, _| domains.iter().any(|domain| &domain.name == name));
        for domain in domains.iter().take(DOMAINS_MAX) {
            let samples = all.domains.entry(domain.name.clone()).or_default();
            let sample = Sample {
                at_ms,
                accepted: domain.ledger.accepted.count,
                delivered: domain.ledger.tally(State::Delivered, domain.phase).count,
            };
            push(samples, sample);
        }
        if let Some(view) = moved {
            let copied = view.moved.messages.done;
            push(&mut all.mover, MoverSample { at_ms, copied });
        }
    }

    /// All of it.
    pub fn all(&self) -> Samples {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn push<T>(samples: &mut VecDeque<T>, sample: T) {
    if samples.len() == SAMPLES_MAX {
        samples.pop_front();
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, spool::Phase};

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::default();
        let domains = [fixture::domain("corp.example", Phase::Hold)];
        for at_ms in 0..=SAMPLES_MAX as u64 {
            history.sample(&domains, Some(&MovedView::default()), at_ms);
        }
        let all = history.all();
        assert_eq!(all.domains["corp.example"].len(), SAMPLES_MAX);
        assert_eq!((all.mover.len(), all.mover[0].at_ms), (SAMPLES_MAX, 1));
        history.sample(&[], None, 0);
        assert!(history.all().domains.is_empty());
    }
}
