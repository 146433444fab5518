//! Senders who asked for it are told of a delay, where `bounce.delay_warning` says when.

use crate::{config::Config, control::warn_late, spool::Spool};
use std::{future::pending, sync::Arc, time::Duration};

const EVERY: Duration = Duration::from_secs(60);

/// Tells until dropped; never where it is not wanted. A failure is logged, and tried again.
pub async fn run(config: Arc<Config>, spool: Arc<dyn Spool>) {
    let after = (config.bounce.as_ref()).map_or(Duration::ZERO, |bounce| bounce.delay_warning);
    if after.is_zero() {
        return pending().await;
    }
    // A short wait is looked at more often.
    let mut every = tokio::time::interval(EVERY.min(after));
    loop {
        every.tick().await;
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        match warn_late(&*spool, &config.hostname, after, now_ms).await {
            Ok(0) => {}
            Ok(told) => tracing::info!("told {told} senders of a delay"),
            Err(error) => tracing::error!("senders cannot be told of a delay: {error}"),
        }
    }
}
