//! What is known about writing: that it works, that it failed and when it is tried again,
//! or that the disk has not answered for too long.

use crate::spool::SpoolError;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A sync that takes longer makes the receiver refuse mail before it is sent.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Default)]
pub struct Outage(Mutex<State>);

#[derive(Default)]
struct State {
    failed: Option<Failed>,
    /// Since when a batch is being written.
    writing_since: Option<Instant>,
}

struct Failed {
    reason: String,
    next_try: Instant,
}

impl Outage {
    /// Why nothing is written now, for those who would ask for a write.
    pub fn failure(&self) -> Option<SpoolError> {
        let state = self.lock();
        let failed = state.failed.as_ref()?;
        let wait = failed.next_try.saturating_duration_since(Instant::now());
        Some(SpoolError::Failed {
            reason: failed.reason.clone(),
            // Rounded up, so that 0 means now.
            retry_in_s: wait.as_millis().div_ceil(1000).try_into().unwrap_or(0),
        })
    }

    /// The same, and also when the disk takes so long that nothing more should be begun.
    pub fn trouble(&self) -> Option<SpoolError> {
        self.failure().or_else(|| {
            let waited = self.lock().writing_since?.elapsed();
            (waited >= STALLED_AFTER).then(|| stalled(waited))
        })
    }

    /// Something failed; it is tried again at `next_try`.
    pub fn begin(&self, reason: String, next_try: Instant) {
        self.lock().failed = Some(Failed { reason, next_try });
    }

    /// When it is tried again.
    pub fn next_try(&self) -> Option<Instant> {
        self.lock().failed.as_ref().map(|failed| failed.next_try)
    }

    /// Writing works again.
    pub fn end(&self) {
        *self.lock() = State::default();
    }

    /// A batch is being written, or is no longer.
    pub fn writing(&self, since: Option<Instant>) {
        self.lock().writing_since = since;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A disk that does not answer. Nothing has failed: what waits for it is written when it
/// answers, or never.
pub fn stalled(waited: Duration) -> SpoolError {
    SpoolError::Stalled {
        waited_s: waited.as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_trouble_and_no_failure() {
        let outage = Outage::default();
        assert_eq!(outage.trouble(), None);
        let Some(before) = Instant::now().checked_sub(STALLED_AFTER) else {
            return; // This machine was started within the last seconds.
        };
        outage.writing(Some(before));
        assert_eq!(outage.failure(), None);
        assert!(matches!(
            outage.trouble(),
            Some(SpoolError::Stalled { waited_s: 10.. })
        ));
        outage.writing(None);
        assert_eq!(outage.trouble(), None);
    }

    #[test]
    fn a_failure_says_when_it_is_tried_again() {
        let outage = Outage::default();
        outage.begin("x".into(), Instant::now() + Duration::from_millis(1500));
        let expected = SpoolError::Failed {
            reason: "x".into(),
            retry_in_s: 2,
        };
        assert_eq!(outage.failure(), Some(expected));
        outage.end();
        assert_eq!(outage.failure(), None);
    }
}
