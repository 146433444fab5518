//! How fast each domain moves: its counters, looked at every few seconds.

use super::view::Speed;
use crate::spool::DomainStatus;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the counters are looked at.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// With one more than 12 samples a minute is covered.
const SAMPLES_MAX: usize = 13;

/// The counters of the last minute, by domain.
#[derive(Default)]
pub struct Speeds(Mutex<HashMap<String, VecDeque<Sample>>>);

struct Sample {
    at: Instant,
    accepted: u64,
    finished: u64,
}

impl Speeds {
    /// Takes the counters of this moment. Domains that are gone are forgotten.
    pub fn sample(&self, domains: &[DomainStatus], at: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| domains.iter().any(|domain| &domain.name == name));
        for domain in domains {
            let samples = all.entry(domain.name.clone()).or_default();
            if samples.len() == SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back(Sample {
                at,
                accepted: domain.ledger.accepted.count,
                finished: finished(domain),
            });
        }
    }

    /// The speed of a domain up to this moment; `None` before the first sample.
    pub fn of(&self, domain: &DomainStatus, now: Instant) -> Option<Speed> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = all.get(&domain.name)?.front()?;
        let seconds = now.saturating_duration_since(oldest.at).as_secs_f64();
        // Below a second a single message would look like a flood.
        if seconds < 1.0 {
            return None;
        }
        let accepted = domain.ledger.accepted.count.saturating_sub(oldest.accepted);
        let finished = finished(domain).saturating_sub(oldest.finished);
        Some(Speed {
            arrivals_per_min: per(accepted, seconds) * 60.0,
            finished_per_s: per(finished, seconds),
        })
    }
}

fn finished(domain: &DomainStatus) -> u64 {
    let ledger = &domain.ledger;
    ledger.delivered.count + ledger.parked.count + ledger.bounced.count + ledger.dropped.count
}

/// Hundredths are enough for a person, and keep the JSON short.
fn per(count: u64, seconds: f64) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (f64::from(count) / seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, spool::Phase};

    #[test]
    fn counts_over_the_last_minute_only() {
        let speeds = Speeds::default();
        let start = Instant::now();
        let mut domain = fixture::domain("corp.example", Phase::Hold);
        assert_eq!(speeds.of(&domain, start), None);
        for step in 0..=24 {
            domain.ledger.accepted.count = u64::from(step) * 10;
            speeds.sample(std::slice::from_ref(&domain), start + SAMPLE_EVERY * step);
        }
        let speed = speeds.of(&domain, start + SAMPLE_EVERY * 24).unwrap();
        assert!((speed.arrivals_per_min - 120.0).abs() < 0.1);
        assert!(speed.finished_per_s.abs() < 0.1);
    }
}
