//! What the releases of all domains measure of themselves.

use super::outcome::{Advice, Verdict};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::time::Duration;

/// Greatest subject of RFC 3463 §3.
const SUBJECT_MAX: u16 = 7;
/// Greater than every registered detail; a peer must not make labels without end.
const DETAIL_MAX: u16 = 40;

/// Figures since the start. A clone is another handle on the same figures.
#[derive(Clone, Debug)]
pub struct Measures {
    results: Family<Labels, Counter>,
    seconds: Histogram,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Labels {
    status: &'static str,
    dsn: String,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            results: Family::default(),
            // From a server beside us to the longest wait of RFC 5321 §4.5.3.2.6.
            seconds: Histogram::new([
                0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0, 600.0,
            ]),
        }
    }
}

impl Measures {
    /// Counts the result of one delivery, and how long its transaction took.
    pub(super) fn count(&self, verdict: &Verdict, took: Duration) {
        let status = match verdict.advice {
            Advice::Done => "sent",
            Advice::Defer => "deferred",
            Advice::Park => "parked",
            Advice::Doubt => "in_doubt",
            // It has not come to anything.
            Advice::Again | Advice::Look => return,
        };
        let dsn = known(&verdict.remote.dsn);
        self.results.get_or_create(&Labels { status, dsn }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Puts the figures among those that are shown: `delivery_total`, `delivery_seconds`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("delivery", "Results of attempts", self.results.clone());
        registry.register_with_unit(
            "delivery",
            "From an attempt's start to its result",
            Unit::Seconds,
            self.seconds.clone(),
        );
    }
}

/// An enhanced status code (RFC 3463 §2) out of the few that there can be.
fn known(dsn: &str) -> String {
    let mut parts = dsn.splitn(3, '.').map(str::parse::<u16>);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(class @ (2 | 4 | 5))), Some(Ok(subject)), Some(Ok(detail)))
            if subject <= SUBJECT_MAX && detail <= DETAIL_MAX =>
        {
            format!("{class}.{subject}.{detail}")
        }
        _ => "other".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_make_labels_without_end() {
        assert_eq!(known("4.2.0"), "4.2.0");
        for odd in ["", "x", "3.0.0", "5.9.1", "5.1.4711", "5.1.1.1", "+5.1.-1"] {
            assert_eq!(known(odd), "other", "{odd}");
        }
    }
}
