//! What a release is doing, for people.

use serde::Serialize;
use std::collections::VecDeque;

/// A domain's release as it runs: for `relay status`.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ReleaseStatus {
    /// `host:port`
    pub destination: String,
    /// Why nothing, or only one message at a time, is sent; nothing when all is well.
    pub blocked: Option<String>,
    /// What keeps it from going faster, in words: limits that are reached, and why there are
    /// fewer connections than there may be.
    pub slowed: Vec<String>,
    /// When the destination is tried again, milliseconds since 1970.
    pub next_try_ms: Option<u64>,
    /// Open connections.
    pub connections: usize,
    /// Connections that may be used at present.
    pub connections_allowed: usize,
    /// Connections that carry something now: a message, or a row of them.
    pub in_flight: usize,
    /// Deliveries in memory, ready or behind others of their mailbox.
    pub window: usize,
    /// Mailboxes that wait for their next try.
    pub mailboxes_waiting: usize,
    /// Mailboxes that wait for their gate.
    pub mailboxes_gated: usize,
    /// Since this release was started or taken up again:
    pub delivered: u64,
    /// Times that a delivery was deferred.
    pub deferred: u64,
    /// Deliveries refused for good, or not fit for the destination.
    pub parked: u64,
    /// Deliveries whose end nobody knows.
    pub in_doubt: u64,
    /// Deliveries a second, over the last ten seconds.
    pub rate: f64,
}

/// Counts over the last ten whole seconds.
#[derive(Debug, Default)]
pub struct Rate {
    /// Second, count.
    seconds: VecDeque<(u64, u64)>,
}

const SECONDS: u64 = 10;

impl Rate {
    /// Counts.
    pub fn add(&mut self, count: u64, now_ms: u64) {
        let second = now_ms / 1000;
        match self.seconds.back_mut() {
            Some((last, sum)) if *last >= second => *sum += count,
            _ => self.seconds.push_back((second, count)),
        }
        while self
            .seconds
            .front()
            .is_some_and(|(at, _)| at + SECONDS < second)
        {
            self.seconds.pop_front();
        }
    }

    /// A second's share.
    #[must_use]
    pub fn per_second(&self, now_ms: u64) -> f64 {
        let now = now_ms / 1000;
        let whole = self
            .seconds
            .iter()
            .filter(|(at, _)| *at < now && at + SECONDS >= now);
        let first = self.seconds.front().map_or(now, |(at, _)| *at);
        let span = now.saturating_sub(first).clamp(1, SECONDS);
        whole.map(|(_, count)| *count).sum::<u64>() as f64 / span as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_whole_seconds_only() {
        let mut rate = Rate::default();
        for tenth in 0..100 {
            rate.add(5, tenth * 100);
        }
        assert_eq!(rate.per_second(10_000), 50.0);
        assert_eq!(rate.per_second(15_000), 25.0);
        assert_eq!(rate.per_second(60_000), 0.0);
    }
}
