//! One mailbox's part of the window.

use crate::{
    mail::DeliveryId,
    spool::{Standing, Unfinished},
};
use std::collections::VecDeque;

/// A lane that is in the window, or on its way there.
#[derive(Default)]
pub(super) struct Active {
    /// Oldest first. The front is the one in flight, if any is.
    pub queue: VecDeque<Entry>,
    /// Whether the front was handed out and is not settled yet.
    pub busy: bool,
    /// Whether the front counts as a head: ready, or in flight.
    pub head_seen: bool,
    /// Where the next deliveries come from.
    pub feed: Feed,
    /// Whether a page of the index is wanted or under way.
    pub page: Page,
    /// Whether the lane has to be read again from its oldest.
    pub reload: bool,
}

/// Where a lane's next deliveries come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Feed {
    /// From the scan, which the lane has caught up with.
    #[default]
    Cursor,
    /// From the spool's index of the lane, behind `after`; the scan passes over it.
    Index {
        /// The last one seen.
        after: Option<DeliveryId>,
    },
}

/// How far a lane's next page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Page {
    /// None is needed.
    #[default]
    No,
    /// The next load should be for this lane.
    Wanted,
    /// The load with this ticket is for this lane. An answer to another one is stale.
    Under(u64),
}

/// A delivery in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub id: DeliveryId,
    pub standing: Standing,
}

impl Entry {
    /// The entry for a row; none for what does not hold its lane.
    pub fn of(row: &Unfinished) -> Option<Self> {
        row.standing.holds_lane().then_some(Self {
            id: row.id,
            standing: row.standing,
        })
    }
}

impl Active {
    /// The front may go, whatever it waited for before.
    pub fn make_head_ready(&mut self) {
        if let Some(head) = self.queue.front_mut() {
            head.standing = Standing::Waiting;
        }
    }
}
