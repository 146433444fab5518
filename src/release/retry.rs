//! When to try again.

use std::time::Duration;

/// The wait after this many attempts: `min` doubled each time, at most `max`, and up to a
/// quarter less by `jitter` (any number), so that what failed together does not come
/// back together.
#[must_use]
pub fn wait(attempts: u32, min: Duration, max: Duration, jitter: u64) -> Duration {
    let doubled = min.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(31)));
    let whole = doubled.clamp(min, max.max(min));
    let quarter = u64::try_from(whole.as_millis() / 4).unwrap_or(u64::MAX);
    whole - Duration::from_millis(jitter.checked_rem(quarter).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound() {
        let (min, max) = (Duration::from_secs(30), Duration::from_secs(1800));
        let waits: Vec<u64> = [0, 1, 2, 3, 7, 8, u32::MAX]
            .map(|attempts| wait(attempts, min, max, 0).as_secs())
            .into();
        assert_eq!(waits, [30, 30, 60, 120, 1800, 1800, 1800]);
    }

    #[test]
    fn jitter_takes_at_most_a_quarter() {
        let (min, max) = (Duration::from_secs(40), Duration::from_secs(40));
        for jitter in [0, 1, 9_999, 10_000, u64::MAX] {
            let wait = wait(1, min, max, jitter);
            assert!((Duration::from_secs(30)..=max).contains(&wait), "{wait:?}");
        }
    }
}
