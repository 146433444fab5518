//! What goes on in the window: lanes step to their next head, messages become ready.

use super::{
    Order,
    lane::{Feed, Page},
};
use crate::{
    mail::{Lane, QueueId},
    spool::Standing,
};

impl Order {
    /// Brings a lane that is not in flight to its next head, its next page, its wait or
    /// its end.
    pub(super) fn step(&mut self, lane: Lane, now_ms: u64) {
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        if active.busy {
            return;
        }
        if active.reload {
            self.evict(lane, now_ms);
            let Some(active) = self.lanes.get_mut(&lane) else {
                return;
            };
            // A page under way is thrown away when it comes, and only then asked for anew.
            if !matches!(active.page, Page::Under(_)) {
                active.reload = false;
                active.feed = Feed::Index { after: None };
                self.want_page(lane);
            }
            return;
        }
        self.page_when_low(lane);
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        let Some(head) = active.queue.front().copied() else {
            if active.feed == Feed::Cursor {
                self.lanes.remove(&lane);
            }
            return;
        };
        if active.head_seen {
            return;
        }
        if !self.may_go(lane) {
            self.shut(lane, now_ms);
            return;
        }
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        match head.standing {
            Standing::Deferred { due_ms } | Standing::InDoubt { due_ms } if due_ms > now_ms => {
                self.block(lane, due_ms, now_ms);
                self.untried.insert(lane);
            }
            Standing::InDoubt { .. } => {
                active.head_seen = true;
                self.doubts.push_back((head.id, lane));
                self.count_out(head.id.message, now_ms);
            }
            _ => {
                active.head_seen = true;
                let pending = self.messages.entry(head.id.message).or_default();
                pending.behind -= 1;
                pending.ready.insert(head.id.recipient, lane);
                self.recheck(head.id.message, now_ms);
            }
        }
    }

    pub(super) fn page_when_low(&mut self, lane: Lane) {
        let low = self.limits.lane / 4;
        if let Some(active) = self.lanes.get(&lane)
            && active.feed != Feed::Cursor
            && active.queue.len() <= low
        {
            self.want_page(lane);
        }
    }

    pub(super) fn want_page(&mut self, lane: Lane) {
        if let Some(active) = self.lanes.get_mut(&lane)
            && active.page == Page::No
        {
            active.page = Page::Wanted;
            self.wanting.push_back(lane);
        }
    }

    pub(super) fn unpage(&mut self, lane: Lane) {
        if let Some(active) = self.lanes.get_mut(&lane) {
            active.page = Page::No;
        }
    }

    pub(super) fn is_under_way(&self, lane: Lane, ticket: u64) -> bool {
        let active = self.lanes.get(&lane);
        active.is_some_and(|active| active.page == Page::Under(ticket))
    }

    /// Throws a lane out of the window until it is due.
    pub(super) fn block(&mut self, lane: Lane, due_ms: u64, now_ms: u64) {
        self.evict(lane, now_ms);
        self.lanes.remove(&lane);
        self.blocked.insert(lane, due_ms);
        self.due.insert((due_ms, lane));
    }

    /// Empties a lane's part of the window.
    pub(super) fn evict(&mut self, lane: Lane, now_ms: u64) {
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        let seen = std::mem::take(&mut active.head_seen);
        let queue = std::mem::take(&mut active.queue);
        self.held -= queue.len();
        for (place, entry) in queue.into_iter().enumerate() {
            if place > 0 || !seen {
                self.count_out(entry.id.message, now_ms);
            } else if let Some(pending) = self.messages.get_mut(&entry.id.message) {
                // In flight it is not there any more; otherwise it was about to go.
                pending.ready.remove(&entry.id.recipient);
                self.recheck(entry.id.message, now_ms);
            }
        }
    }

    /// One delivery less of a message is behind others.
    pub(super) fn count_out(&mut self, message: QueueId, now_ms: u64) {
        if let Some(pending) = self.messages.get_mut(&message) {
            pending.behind = pending.behind.saturating_sub(1);
            self.recheck(message, now_ms);
        }
    }

    /// Decides whether a message is ready, waits for its other mailboxes, or neither.
    pub(super) fn recheck(&mut self, message: QueueId, now_ms: u64) {
        let Some(pending) = self.messages.get_mut(&message) else {
            return;
        };
        let split = self.ready.contains(&message);
        // A second address of the same mailbox can only go behind the first: waiting for it
        // would be waiting for oneself.
        let own = |lane: &Lane| {
            let queue = self.lanes.get(lane).into_iter().flat_map(|l| &l.queue);
            let behind = queue.skip(1);
            behind.take_while(|e| e.id.message == message).count()
        };
        let ready_for_all =
            pending.behind == 0 || pending.behind == pending.ready.values().map(own).sum::<usize>();
        if pending.ready.is_empty() {
            self.ready.remove(&message);
            if let Some(at) = pending.deadline_ms.take() {
                self.waiting.remove(&(at, message));
            }
            if pending.behind == 0 {
                self.messages.remove(&message);
            }
        } else if ready_for_all && self.cut != Some(message) {
            self.ready.insert(message);
            if let Some(at) = pending.deadline_ms.take() {
                self.waiting.remove(&(at, message));
            }
        } else if !split && pending.deadline_ms.is_none() {
            let at = now_ms.saturating_add(self.limits.group_wait_ms);
            pending.deadline_ms = Some(at);
            self.waiting.insert((at, message));
        }
    }

    /// Messages that have waited long enough for their slower mailboxes go without them.
    pub(super) fn split_late(&mut self, now_ms: u64) {
        while let Some(&(at, message)) = self.waiting.first()
            && at <= now_ms
        {
            self.waiting.pop_first();
            if let Some(pending) = self.messages.get_mut(&message) {
                pending.deadline_ms = None;
            }
            self.ready.insert(message);
        }
    }
}
