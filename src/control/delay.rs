//! Senders who asked for it (NOTIFY=DELAY) are told that their message is late: once a message,
//! and only where that is configured.

use super::{bounce::write, error::ApiError};
use crate::{
    mail::{QueueId, report::Kind},
    spool::{Report, Spool, SpoolError},
};
use std::{collections::BTreeSet, time::Duration};

/// Messages in one step.
const AT_ONCE: usize = 100;

/// Reports the delay of each message that was accepted `after` ago or earlier, is not at its
/// end, and whose sender asked for it and was not told. Returns how many were.
///
/// # Errors
/// Those of the spool. What was not told is told the next time.
pub async fn warn_late(
    spool: &dyn Spool,
    hostname: &str,
    after: Duration,
    now_ms: u64,
) -> Result<usize, ApiError> {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let before_ms = now_ms.saturating_sub(after_ms);
    let mut told = 0;
    loop {
        let late = spool.late(before_ms, AT_ONCE).await?;
        let last = late.len() < AT_ONCE;
        for id in late {
            let report = report(spool, hostname, id, now_ms).await?;
            let bytes = report.as_ref().map_or(0, |report| report.bytes.len());
            if report.is_some() {
                spool.admit(u64::try_from(bytes).unwrap_or(u64::MAX))?;
            }
            told += usize::from(spool.warn(id, report).await?.is_some());
        }
        if last {
            return Ok(told);
        }
    }
}

/// Nothing when all of it has come to its end meanwhile, or its sender is the null one.
async fn report(
    spool: &dyn Spool,
    hostname: &str,
    id: QueueId,
    now_ms: u64,
) -> Result<Option<Report>, ApiError> {
    let Some(message) = spool.message(id).await? else {
        return Ok(None);
    };
    let deliveries = spool.deliveries(id).await?;
    let late: BTreeSet<u32> = (deliveries.iter())
        .filter(|delivery| !delivery.standing.is_final())
        .map(|delivery| delivery.id.recipient)
        .collect();
    let about = (Kind::Delayed, hostname);
    match write(spool, about, &message, &deliveries, &late, now_ms).await {
        Err(ApiError { error, .. }) if error == super::ErrorKind::of(&SpoolError::NoBody(id)) => {
            Ok(None)
        }
        written => written,
    }
}
