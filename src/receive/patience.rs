//! How long a client may take to send something large.
//!
//! Waiting anew for each block (RFC 5321 §4.5.3.2.5) would let a client that sends a byte a
//! minute keep its connection for weeks. So what comes in buys time, at a rate that every
//! client reaches that means well, and never more than a whole wait.

use crate::net::{Expect, Wire, WireError};
use std::time::{Duration, Instant};

/// As Postfix's `smtpd_min_data_rate`.
const BYTES_PER_SECOND_MIN: f64 = 500.0;

/// What is left of it.
pub(super) struct Patience {
    whole: Duration,
    left: Duration,
}

impl Patience {
    pub(super) fn new(whole: Duration) -> Self {
        Self { whole, left: whole }
    }

    /// Waits for more of it.
    pub(super) async fn fill(&mut self, wire: &mut Wire) -> Result<(), WireError> {
        let (begun, before) = (Instant::now(), wire.input().len());
        wire.set_deadline(self.left);
        let grace = super::DATA_GRACE;
        wire.fill(Expect::Bulk { grace }).await?;
        let bytes = wire.input().len().saturating_sub(before);
        self.spend(begun.elapsed(), bytes);
        Ok(())
    }

    fn spend(&mut self, waited: Duration, bytes: usize) {
        // A buffer's worth at most.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bought = Duration::from_secs_f64(f64::from(bytes) / BYTES_PER_SECOND_MIN);
        self.left = (self.left.saturating_sub(waited) + bought).min(self.whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_a_minute_buys_next_to_nothing() {
        let mut patience = Patience::new(Duration::from_secs(300));
        let mut minutes = 0;
        while patience.left > Duration::from_secs(1) {
            patience.spend(Duration::from_secs(60), 1);
            minutes += 1;
            assert!(minutes < 10);
        }
    }

    #[test]
    fn a_slow_line_is_waited_for() {
        let whole = Duration::from_secs(300);
        let mut patience = Patience::new(whole);
        for _ in 0..10_000 {
            patience.spend(Duration::from_secs(2), 1500);
        }
        assert_eq!(patience.left, whole);
    }
}
