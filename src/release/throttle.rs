//! Bytes in a time, over all connections to a destination: each write takes from one
//! account, and waits while that is overdrawn. So the limit holds for the line, whatever
//! the sizes of the messages.

use crate::config::units::format_size;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Of a second's bytes one write takes at most this part, so that connections take turns.
const PIECE: u64 = 20;
const PIECE_BYTES_MIN: u64 = 1024;
const PIECE_BYTES_MAX: u64 = 64 * 1024;
/// A writer looks again after this long at the latest, since the limit may be another then.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// So long after a writer had to wait, the limit is what slows the destination down.
const FELT_FOR: Duration = Duration::from_secs(2);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Throttle {
    /// Bytes; 0 for no limit.
    per_second: AtomicU64,
    account: Mutex<Option<Account>>,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    /// Bytes that may be written; below zero when more were than there was time for.
    balance: i128,
    counted: Instant,
    waited: Option<Instant>,
}

impl Throttle {
    /// Sets the limit in bytes a second, 0 for none. It holds for what is under way too.
    pub fn limit(&self, per_second: u64) {
        if self.per_second.swap(per_second, Ordering::Relaxed) != per_second {
            // Nobody pays off, at the new rate, what the old one had left.
            *self.lock() = None;
        }
    }

    /// Whether there is a limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.per_second.load(Ordering::Relaxed) > 0
    }

    /// How many bytes may be written at once now.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn grant(&self, now: Instant) -> Result<usize, Duration> {
        let per_second = self.per_second.load(Ordering::Relaxed);
        if per_second == 0 {
            return Ok(usize::MAX);
        }
        let piece = (per_second / PIECE).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        let mut account = self.lock();
        let account = account.get_or_insert(Account {
            balance: 0,
            counted: now,
            waited: None,
        });
        let passed = now.saturating_duration_since(account.counted);
        let earned = passed.as_micros().saturating_mul(per_second.into()) / 1_000_000;
        if earned > 0 {
            // What is too short for a byte is not lost.
            let paid_us = earned.saturating_mul(1_000_000) / u128::from(per_second);
            let paid_us = u64::try_from(paid_us).unwrap_or(u64::MAX);
            account.counted += Duration::from_micros(paid_us).min(passed);
            let earned = i128::try_from(earned).unwrap_or(i128::MAX);
            // What was not used is not made up for.
            account.balance = account.balance.saturating_add(earned).min(piece.into());
        }
        if account.balance >= 0 {
            return Ok(usize::try_from(piece).unwrap_or(usize::MAX));
        }
        account.waited = Some(now);
        let missing = u64::try_from(-account.balance).unwrap_or(u64::MAX);
        let wait = Duration::from_micros(missing.saturating_mul(1_000_000) / per_second + 1);
        Err(wait.min(WAIT_MAX))
    }

    /// So many bytes were written.
    pub fn spend(&self, bytes: usize) {
        if self.is_limited()
            && let Some(account) = self.lock().as_mut()
        {
            account.balance -= i128::try_from(bytes).unwrap_or(0);
        }
    }

    /// The limit in words, where somebody had to wait for it a moment ago.
    #[must_use]
    pub fn felt(&self, now: Instant) -> Option<String> {
        let waited = self.lock().and_then(|account| account.waited)?;
        let ago = now.saturating_duration_since(waited);
        let per_second = self.per_second.load(Ordering::Relaxed);
        (per_second > 0 && ago < FELT_FOR)
            .then(|| format!("bytes_rate {}/s is reached", format_size(per_second)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Account>> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Bytes that `writers` write within `seconds`, each as much as it may.
    fn written(throttle: &Throttle, from: Instant, seconds: u32, writers: usize) -> u64 {
        let mut bytes = 0;
        for tick in 0..seconds * 1000 {
            let now = from + tick * MS;
            for _ in 0..writers {
                if let Ok(piece) = throttle.grant(now) {
                    throttle.spend(piece);
                    bytes += piece as u64;
                }
            }
        }
        bytes
    }

    #[test]
    fn the_line_carries_the_limit_whoever_writes() {
        for (per_second, writers) in [(10_000, 1), (1_000_000, 20), (100_000_000, 3)] {
            let throttle = Throttle::default();
            throttle.limit(per_second);
            let bytes = written(&throttle, Instant::now(), 10, writers);
            let exact = 10 * per_second;
            let most = exact + exact / 20 + 64 * 1024;
            assert!(
                (exact * 19 / 20..=most).contains(&bytes),
                "{per_second}: {bytes}"
            );
        }
    }

    #[test]
    fn a_rest_is_not_made_up_for() {
        let throttle = Throttle::default();
        throttle.limit(1_000_000);
        let begun = Instant::now();
        written(&throttle, begun, 1, 1);
        let bytes = written(&throttle, begun + Duration::from_secs(3600), 1, 1);
        assert!(bytes <= 1_150_000, "{bytes}");
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert_eq!(throttle.grant(now), Ok(usize::MAX));
        throttle.spend(usize::MAX);
        assert_eq!(throttle.grant(now), Ok(usize::MAX));
        assert_eq!(throttle.felt(now), None);
    }

    #[test]
    fn waiting_is_felt_and_a_new_limit_holds_at_once() {
        let throttle = Throttle::default();
        throttle.limit(10_000);
        let now = Instant::now();
        assert_eq!(throttle.grant(now), Ok(1024));
        throttle.spend(100_000);
        assert_eq!(
            throttle.grant(now),
            Err(WAIT_MAX),
            "ten seconds, looked at each second"
        );
        let felt = throttle.felt(now + MS);
        assert_eq!(felt.as_deref(), Some("bytes_rate 10 kB/s is reached"));
        assert_eq!(throttle.felt(now + Duration::from_secs(3)), None);
        throttle.limit(20_000);
        assert_eq!(throttle.grant(now), Ok(1024));
        throttle.limit(0);
        assert_eq!(throttle.grant(now), Ok(usize::MAX));
    }
}
