//! What a release shows of itself while it runs.

use super::{
    brake::Bound,
    status::{Rate, ReleaseStatus},
    throttle::Throttle,
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// What a runner shows.
pub(super) struct Board {
    shown: Mutex<Shown>,
    throttle: Arc<Throttle>,
}

/// What is on it.
#[derive(Default)]
pub(super) struct Shown {
    pub status: ReleaseStatus,
    pub rate: Rate,
    pub bound: Bound,
    /// Why there are fewer connections than there may be.
    pub why_fewer: Option<String>,
}

impl Board {
    pub fn new(throttle: Arc<Throttle>) -> Self {
        Self {
            shown: Mutex::default(),
            throttle,
        }
    }

    /// As it stands.
    pub fn read(&self, now_ms: u64) -> ReleaseStatus {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slowed: Vec<String> = Vec::new();
        slowed.extend(shown.bound.words(shown.why_fewer.as_deref()));
        slowed.extend(self.throttle.felt(Instant::now().into_std()));
        ReleaseStatus {
            rate: shown.rate.per_second(now_ms),
            slowed,
            ..shown.status.clone()
        }
    }

    /// Changes it.
    pub fn write(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
