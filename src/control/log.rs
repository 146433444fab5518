//! Every message with all of its history, in arrival order and in bounded memory: what a report
//! is made of.

use super::{
    listing::Records,
    stream::Walk,
    view::{EventView, LogLine, LoggedView, MessageView},
};
use crate::spool::{Spool, SpoolError};
use std::sync::Arc;

/// A walk over all messages. It is no snapshot: what happens meanwhile has an event of a number
/// that its first line tells, or a higher one.
pub struct Log {
    spool: Arc<dyn Spool>,
    records: Option<Records>,
}

impl Log {
    /// Begins at the first message.
    #[must_use]
    pub fn new(spool: Arc<dyn Spool>) -> Self {
        Self {
            spool,
            records: None,
        }
    }

    /// The next line.
    ///
    /// # Errors
    /// Those of the spool.
    pub async fn next(&mut self) -> Result<Option<LogLine>, SpoolError> {
        let Some(records) = &mut self.records else {
            let next_event = self.spool.next_event().await?;
            self.records = Some(Records::new(None));
            return Ok(Some(LogLine::Begin { next_event }));
        };
        let Some(message) = records.next(&*self.spool).await? else {
            return Ok(None);
        };
        let deliveries = self.spool.deliveries(message.id).await?;
        let events = self.spool.events(message.id).await?;
        let events = events.iter().map(|event| EventView::of(&message, event));
        Ok(Some(LogLine::Message(Box::new(LoggedView {
            events: events.collect(),
            message: MessageView::of(&message, &deliveries),
        }))))
    }
}

impl Walk for Log {
    type Item = LogLine;

    async fn next(&mut self) -> Result<Option<LogLine>, SpoolError> {
        Log::next(self).await
    }
}
