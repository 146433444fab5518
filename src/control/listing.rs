//! The queue in arrival order, a message at a time and in bounded memory.
//!
//! Deliveries that are not at their end are found through each domain's own index, and
//! the domains are merged; anything finished only by walking all records. A message is
//! listed as it is when its turn comes: a listing is no snapshot.

use super::{
    filter::{Filter, FilterError},
    stream::Walk as Stream,
    view::MessageView,
};
use crate::{
    mail::{DeliveryId, QueueId},
    spool::{Phase, Spool, SpoolError, StoredMessage, Unfinished},
};
use std::{collections::VecDeque, sync::Arc};

/// Records read at once, from each domain.
const PAGE: usize = 128;

/// A walk over the messages that a [`Filter`] asks for.
pub struct Listing {
    spool: Arc<dyn Spool>,
    filter: Filter,
    walk: Walk,
    left: u64,
}

enum Walk {
    /// Over what is not at its end, by domain.
    Unfinished(Vec<Cursor>),
    /// Over all records.
    Records(Records),
}

/// A place in a domain's index.
struct Cursor {
    domain: String,
    page: VecDeque<Unfinished>,
    after: Option<DeliveryId>,
    at_end: bool,
}

/// A place in the records of all messages.
pub(super) struct Records {
    page: VecDeque<StoredMessage>,
    after: Option<QueueId>,
    at_end: bool,
}

impl Listing {
    /// Begins a listing.
    ///
    /// # Errors
    /// [`FilterError`] when the filter does not make sense.
    pub fn new(spool: Arc<dyn Spool>, filter: Filter) -> Result<Self, FilterError> {
        let after = filter.after_id()?;
        let walk = if filter.wants_finished() {
            Walk::Records(Records::new(after))
        } else {
            Walk::Unfinished(cursors(&*spool, &filter, after))
        };
        Ok(Self {
            left: filter.limit.unwrap_or(u64::MAX),
            spool,
            filter,
            walk,
        })
    }

    /// The next message, with those of its deliveries that are asked for.
    ///
    /// # Errors
    /// Those of the spool; the listing can be begun again behind the last message.
    pub async fn next(&mut self) -> Result<Option<MessageView>, SpoolError> {
        while self.left > 0 {
            let message = match &mut self.walk {
                Walk::Unfinished(cursors) => {
                    match next_unfinished(&*self.spool, &self.filter, cursors).await? {
                        Some(id) => self.spool.message(id).await?,
                        None => return Ok(None),
                    }
                }
                Walk::Records(records) => match records.next(&*self.spool).await? {
                    Some(message) => Some(message),
                    None => return Ok(None),
                },
            };
            // Between the index and here it may have been removed.
            let Some(message) = message else { continue };
            if let Some(view) = self.view(&message).await? {
                self.left -= 1;
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// The message with the deliveries asked for, if there are any.
    async fn view(&self, message: &StoredMessage) -> Result<Option<MessageView>, SpoolError> {
        if !self.filter.takes_sender(&message.envelope.reverse_path) {
            return Ok(None);
        }
        let mut deliveries = self.spool.deliveries(message.id).await?;
        let recipients = &message.envelope.recipients;
        deliveries.retain(|delivery| {
            let recipient = usize::try_from(delivery.id.recipient)
                .ok()
                .and_then(|place| recipients.get(place));
            self.filter.takes_state(delivery.state)
                && recipient.is_some_and(|r| self.filter.takes_recipient(&r.address))
        });
        Ok((!deliveries.is_empty()).then(|| MessageView::of(message, &deliveries)))
    }
}

impl Stream for Listing {
    type Item = MessageView;

    async fn next(&mut self) -> Result<Option<MessageView>, SpoolError> {
        Listing::next(self).await
    }
}

fn cursors(spool: &dyn Spool, filter: &Filter, after: Option<QueueId>) -> Vec<Cursor> {
    let wanted = filter.domain.as_ref().map(|domain| domain.to_lowercase());
    let domains = spool.domains().into_iter().map(|domain| domain.name);
    domains
        .filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == name))
        .map(|domain| Cursor {
            domain,
            page: VecDeque::new(),
            after: after.map(|message| DeliveryId {
                message,
                recipient: u32::MAX,
            }),
            at_end: false,
        })
        .collect()
}

/// The next message, in arrival order over all domains, of which a delivery is in a state
/// that is asked for.
async fn next_unfinished(
    spool: &dyn Spool,
    filter: &Filter,
    cursors: &mut [Cursor],
) -> Result<Option<QueueId>, SpoolError> {
    loop {
        let mut first: Option<QueueId> = None;
        for cursor in cursors.iter_mut() {
            if let Some(next) = cursor.peek(spool).await? {
                let id = next.id.message;
                first = Some(first.map_or(id, |first| first.min(id)));
            }
        }
        let Some(id) = first else { return Ok(None) };
        let mut wanted = false;
        for cursor in cursors.iter_mut() {
            wanted |= cursor.take(spool, filter, id).await?;
        }
        if wanted {
            return Ok(Some(id));
        }
    }
}

impl Cursor {
    /// The next delivery, after reading on where needed.
    async fn peek(&mut self, spool: &dyn Spool) -> Result<Option<Unfinished>, SpoolError> {
        if self.page.is_empty() && !self.at_end {
            let page = spool
                .unfinished(self.domain.clone(), self.after, PAGE)
                .await?;
            self.at_end = page.len() < PAGE;
            self.after = page.last().map(|last| last.id).or(self.after);
            self.page = page.into();
        }
        Ok(self.page.front().copied())
    }

    /// Moves behind the message; whether one of its deliveries is in a state asked for.
    async fn take(
        &mut self,
        spool: &dyn Spool,
        filter: &Filter,
        message: QueueId,
    ) -> Result<bool, SpoolError> {
        let mut wanted = false;
        while let Some(next) = self.peek(spool).await? {
            if next.id.message != message {
                break;
            }
            let phase = spool
                .domain(&self.domain)
                .map_or(Phase::Hold, |domain| domain.phase);
            wanted |= filter.takes_state(next.standing.state(phase));
            self.page.pop_front();
        }
        Ok(wanted)
    }
}

impl Records {
    /// From behind this message.
    pub(super) fn new(after: Option<QueueId>) -> Self {
        Self {
            page: VecDeque::new(),
            after,
            at_end: false,
        }
    }

    pub(super) async fn next(
        &mut self,
        spool: &dyn Spool,
    ) -> Result<Option<StoredMessage>, SpoolError> {
        if self.page.is_empty() && !self.at_end {
            let page = spool.messages(self.after, PAGE).await?;
            self.at_end = page.len() < PAGE;
            self.after = page.last().map(|last| last.id).or(self.after);
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }
}
