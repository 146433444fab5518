//! Bodies and records whose retention has passed, removed every minute; and bodies of
//! delivered messages before that, when the disk is about to be too full to take mail.

use crate::spool::Spool;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_secs(60);
/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Messages in one step, so that receiving goes on between two.
const AT_ONCE: usize = 1000;

/// Purges until dropped. A failure is logged, and tried again with the next round.
pub async fn run(spool: Arc<dyn Spool>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    let mut purged: Option<Instant> = None;
    loop {
        every.tick().await;
        if purged.is_none_or(|purged| purged.elapsed() >= EVERY) {
            purged = Some(Instant::now());
            purge(&*spool).await;
        }
        relieve(&*spool).await;
    }
}

async fn purge(spool: &dyn Spool) {
    loop {
        match spool.purge(now_ms(), AT_ONCE).await {
            Ok(AT_ONCE..) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!("expired messages could not be removed: {error}");
                return;
            }
        }
    }
}

async fn relieve(spool: &dyn Spool) {
    loop {
        match spool.relieve(AT_ONCE).await {
            Ok(0) => return,
            Ok(given_up) => tracing::warn!(
                "the disk is nearly full: the bytes of {given_up} delivered messages were given \
                 up before spool.retain_delivered; they cannot be sent again"
            ),
            Err(error) => {
                tracing::error!("no space could be made: {error}");
                return;
            }
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
