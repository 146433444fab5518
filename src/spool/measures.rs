//! What an engine measures of itself.

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

/// Figures since the start. A clone is another handle on the same figures.
#[derive(Clone, Debug)]
pub struct Measures {
    /// Seconds from the first request of a commit to its answers, sync included.
    pub commit_seconds: Histogram,
    /// Messages that shared one commit and its sync.
    pub commit_messages: Histogram,
    /// Messages whose bytes were given up before their time, for want of space.
    pub given_up: Counter,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            // From a fast flash disk to one that is about to fail.
            commit_seconds: Histogram::new([
                0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
            ]),
            commit_messages: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0]),
            given_up: Counter::default(),
        }
    }
}
