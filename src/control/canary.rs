//! What became of the messages that a release sent first.

use super::{
    error::{ApiError, ErrorKind},
    view::MessageView,
};
use crate::{
    mail::QueueId,
    spool::{Canary, Delivery, Spool, SpoolError},
};

/// Records read at once.
const PAGE: usize = 256;

/// The messages of a domain's canary, each with those of its deliveries that belong to it.
///
/// # Errors
/// [`ErrorKind::Conflict`] where there is no canary; those of the spool.
pub(super) async fn messages(
    spool: &dyn Spool,
    domain: &str,
) -> Result<Vec<MessageView>, ApiError> {
    let status = spool.domain(domain);
    let status = status.ok_or_else(|| SpoolError::UnknownDomain(domain.to_owned()))?;
    let Some(canary) = status.canary else {
        return Err(ApiError {
            error: ErrorKind::Conflict,
            detail: format!("the release of {domain} has no canary"),
        });
    };
    let mut found = Vec::new();
    let mut after = QueueId::new(canary.first.number().saturating_sub(1));
    loop {
        let page = spool.messages(after, PAGE).await?;
        let Some(last) = page.last().map(|message| message.id) else {
            return Ok(found);
        };
        for message in page {
            if message.id > canary.last {
                return Ok(found);
            }
            let recipients = &message.envelope.recipients;
            let mut deliveries = spool.deliveries(message.id).await?;
            deliveries.retain(|delivery| {
                let recipient = recipients.get(delivery.id.recipient as usize);
                recipient.is_some_and(|recipient| recipient.address.domain() == domain)
                    && belongs(&canary, delivery)
            });
            if !deliveries.is_empty() {
                found.push(MessageView::of(&message, &deliveries));
            }
        }
        after = Some(last);
    }
}

/// What was settled before it was ordered does not belong to it.
fn belongs(canary: &Canary, delivery: &Delivery) -> bool {
    delivery.standing.holds_lane() || delivery.changed_ms >= canary.since_ms
}
