//! What comes into the window: pages of the scan and of single lanes.

use super::{
    Order, Rows,
    lane::{Entry, Feed, Page},
};
use crate::{
    mail::{DeliveryId, Lane, QueueId},
    spool::Unfinished,
};

impl Order {
    pub(super) fn next_scan(&mut self) -> Option<Rows> {
        std::mem::replace(&mut self.more, false).then_some(Rows::Scan { after: self.cursor })
    }

    pub(super) fn next_page(&mut self, now_ms: u64) -> Option<Rows> {
        // Before the first scan there is nothing that it will not meet itself.
        let until = self.cursor?;
        loop {
            let lane = self.wanting.pop_front().or_else(|| self.wake_one(now_ms))?;
            let Some(active) = self.lanes.get_mut(&lane) else {
                continue;
            };
            if let (Page::Wanted, Feed::Index { after }) = (active.page, active.feed) {
                return Some(Rows::Lane { lane, after, until });
            }
        }
    }

    /// Makes the lane active that has been due for longest.
    pub(super) fn wake_one(&mut self, now_ms: u64) -> Option<Lane> {
        let (due_ms, lane) = *self.due.first()?;
        if due_ms > now_ms {
            return None;
        }
        self.due.pop_first();
        self.blocked.remove(&lane);
        self.untried.remove(&lane);
        let active = self.lanes.entry(lane).or_default();
        active.feed = Feed::Index { after: None };
        active.page = Page::Wanted;
        Some(lane)
    }

    pub(super) fn scanned(&mut self, rows: &[Unfinished], full: bool, now_ms: u64) {
        for row in rows {
            self.cursor = self.cursor.max(Some(row.id));
            self.meet(row, now_ms);
        }
        self.more |= full;
        // A first scan that meets nothing has seen what there is, too: lanes need not wait for it.
        let nothing = DeliveryId {
            message: QueueId::first_of_spool(0),
            recipient: 0,
        };
        self.cursor = self.cursor.or(Some(nothing));
        let last = self.cursor.map(|cursor| cursor.message);
        let cut = std::mem::replace(&mut self.cut, if full { last } else { None });
        for message in [cut, last].into_iter().flatten() {
            self.recheck(message, now_ms);
        }
    }

    /// The scan has met a delivery.
    pub(super) fn meet(&mut self, row: &Unfinished, now_ms: u64) {
        let Some(entry) = Entry::of(row) else {
            return;
        };
        if self.blocked.contains_key(&row.lane) || self.gated.contains(&row.lane) {
            return;
        }
        let share = self.limits.lane;
        let active = self.lanes.entry(row.lane).or_default();
        if active.reload {
            return;
        }
        match active.feed {
            Feed::Index { .. } => return,
            Feed::Cursor if active.queue.len() >= share => {
                active.feed = Feed::Index {
                    after: active.queue.back().map(|entry| entry.id),
                };
                return;
            }
            Feed::Cursor => self.push(row.lane, entry),
        }
        self.step(row.lane, now_ms);
    }

    /// A page of a lane has been read.
    pub(super) fn paged(&mut self, lane: Lane, rows: &[Unfinished], complete: bool, now_ms: u64) {
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        active.page = Page::No;
        // What was read before the lane was changed by somebody else is worth nothing.
        if !active.reload {
            if complete {
                active.feed = Feed::Cursor;
            } else if let Some(row) = rows.last() {
                active.feed = Feed::Index {
                    after: Some(row.id),
                };
            }
            for entry in rows.iter().filter_map(Entry::of) {
                self.push(lane, entry);
            }
        }
        self.step(lane, now_ms);
    }

    pub(super) fn push(&mut self, lane: Lane, entry: Entry) {
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        self.messages.entry(entry.id.message).or_default().behind += 1;
        active.queue.push_back(entry);
        self.held += 1;
    }
}
