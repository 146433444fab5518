//! Bodies and records whose retention has passed, removed every minute.

use crate::spool::Spool;
use std::{sync::Arc, time::Duration};

const EVERY: Duration = Duration::from_secs(60);
/// Messages in one step, so that receiving goes on between two.
const AT_ONCE: usize = 1000;

/// Purges until dropped. A failure is logged, and tried again with the next round.
pub async fn run(spool: Arc<dyn Spool>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        loop {
            match spool.purge(now_ms(), AT_ONCE).await {
                Ok(AT_ONCE..) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::error!("expired messages could not be removed: {error}");
                    break;
                }
            }
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
