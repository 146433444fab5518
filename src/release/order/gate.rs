//! Lanes whose gate is closed: thrown out of the window like those that wait for a time,
//! and read again from their oldest when it opens.

use super::{
    Order,
    lane::{Feed, Page},
};
use crate::mail::Lane;

/// Whether a lane may go.
pub type LaneGate = Box<dyn Fn(Lane) -> bool + Send>;

impl Order {
    /// The same, asking for each lane whose turn has come whether it may go.
    #[must_use]
    pub fn gated_by(mut self, gate: LaneGate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Some gates may have opened.
    pub fn gates_moved(&mut self) {
        let Some(gate) = &self.gate else {
            return;
        };
        let opened: Vec<Lane> = (self.gated.iter().copied())
            .filter(|lane| gate(*lane))
            .collect();
        for lane in opened {
            self.gated.remove(&lane);
            let active = self.lanes.entry(lane).or_default();
            active.feed = Feed::Index { after: None };
            active.page = Page::No;
            self.want_page(lane);
        }
    }

    /// Mailboxes that wait for their gate.
    #[must_use]
    pub fn gated(&self) -> usize {
        self.gated.len()
    }

    pub(super) fn may_go(&self, lane: Lane) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate(lane))
    }

    /// Throws a lane out of the window until its gate opens.
    pub(super) fn shut(&mut self, lane: Lane, now_ms: u64) {
        self.evict(lane, now_ms);
        self.lanes.remove(&lane);
        self.gated.insert(lane);
    }
}
