//! The order engine: which delivery may go now. Every mailbox (lane) strictly in arrival
//! order, all mailboxes in parallel, a message to several mailboxes in one job where
//! they are ready together.
//!
//! Pure: no I/O, no clock. The runner carries out the [`Load`]s that it asks for, hands
//! its [`Job`]s to connections and tells it how they [`Settled`].
//!
//! Memory is bounded whatever the backlog: only a window of deliveries is held, at most
//! [`Limits::window`], and of one lane at most [`Limits::lane`]. A scan feeds it in
//! arrival order. A lane that must wait (its oldest delivery is deferred or in doubt) is
//! thrown out of the window: only its id and the time when it is due are kept, and what
//! the scan meets for it is skipped. Once due, and likewise when it had more than its
//! share of the window, it is read from the spool's own index of the lane, oldest first,
//! until it has caught up with the scan.

mod gate;
mod lane;
mod loading;
#[cfg(test)]
mod simulation;
mod stepping;

use crate::{
    mail::{DeliveryId, Lane, QueueId},
    spool::{Standing, Unfinished},
};
pub use gate::LaneGate;
use lane::{Active, Page};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// The bounds of an [`Order`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deliveries in the window.
    pub window: usize,
    /// Deliveries of one lane in the window, and in one page of a lane.
    pub lane: usize,
    /// Deliveries in one page of the scan.
    pub page: usize,
    /// Recipients in one job; 100 are always taken (RFC 5321 §4.5.3.1.8).
    pub recipients: usize,
    /// How long a message waits for its slower mailboxes before it is split.
    pub group_wait_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 20_000,
            lane: 100,
            page: 1_000,
            recipients: 100,
            group_wait_ms: 1_000,
        }
    }
}

/// One message to those of its mailboxes whose turn it is. Their lanes stand still until
/// each of them is [settled](Order::settle).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The message.
    pub message: QueueId,
    /// The recipients' places in the envelope, each with its lane. Never empty.
    pub recipients: Vec<(u32, Lane)>,
}

/// What has to be read from the spool next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// Which rows.
    pub rows: Rows,
    /// At most that many.
    pub limit: usize,
    ticket: u64,
}

/// The rows of a [`Load`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rows {
    /// The domain's deliveries behind this one, in arrival order.
    Scan {
        /// The last one seen.
        after: Option<DeliveryId>,
    },
    /// One lane's deliveries.
    Lane {
        /// Which lane.
        lane: Lane,
        /// The last one seen.
        after: Option<DeliveryId>,
        /// The last one wanted.
        until: DeliveryId,
    },
}

/// How a delivery that was handed out stands now, on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// Out of its lane: delivered, parked, dropped ...
    Gone,
    /// Still the first of its lane, and may go at once.
    Again,
    /// Deferred or in doubt, or not known: the lane waits, and is then read again from
    /// disk.
    Until {
        /// Milliseconds since 1970.
        due_ms: u64,
    },
}

/// A message of which at least one delivery in the window is not in flight.
#[derive(Default)]
struct Pending {
    /// At the head of their lanes.
    ready: BTreeMap<u32, Lane>,
    /// In the window, behind others of their lanes.
    behind: usize,
    /// When it is split, if it waits.
    deadline_ms: Option<u64>,
}

/// The order engine of one domain.
pub struct Order {
    limits: Limits,
    /// Everything up to here was seen by the scan.
    cursor: Option<DeliveryId>,
    /// Whether there may be something behind the cursor.
    more: bool,
    /// The message at which a full page of the scan ended, perhaps in the midst of its
    /// recipients.
    cut: Option<QueueId>,
    /// Lanes with something in the window or on its way there.
    lanes: HashMap<Lane, Active>,
    /// Lanes that wait, and until when.
    blocked: HashMap<Lane, u64>,
    /// Those of them that this engine has found waiting, and not handed out yet.
    untried: HashSet<Lane>,
    /// The same, by time.
    due: BTreeSet<(u64, Lane)>,
    /// Who says whether a lane may go; nobody has to.
    gate: Option<LaneGate>,
    /// Lanes that may not go yet.
    gated: BTreeSet<Lane>,
    /// Active lanes that need a page from the index.
    wanting: VecDeque<Lane>,
    messages: HashMap<QueueId, Pending>,
    ready: BTreeSet<QueueId>,
    waiting: BTreeSet<(u64, QueueId)>,
    doubts: VecDeque<(DeliveryId, Lane)>,
    /// Deliveries in the window.
    held: usize,
    ticket: u64,
    loading: Option<u64>,
    scan_next: bool,
}

impl Order {
    /// An engine that has seen nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            cursor: None,
            more: true,
            cut: None,
            lanes: HashMap::new(),
            blocked: HashMap::new(),
            untried: HashSet::new(),
            due: BTreeSet::new(),
            gate: None,
            gated: BTreeSet::new(),
            wanting: VecDeque::new(),
            messages: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            doubts: VecDeque::new(),
            held: 0,
            ticket: 0,
            loading: None,
            scan_next: false,
        }
    }

    /// New mail is in the spool.
    pub fn arrived(&mut self) {
        self.more = true;
    }

    /// A delivery of this lane was put back or taken out by somebody else: the lane is
    /// read again from its oldest.
    pub fn requeued(&mut self, lane: Lane, now_ms: u64) {
        if let Some(due_ms) = self.blocked.remove(&lane) {
            self.due.remove(&(due_ms, lane));
            self.untried.remove(&lane);
        }
        self.gated.remove(&lane);
        // It may be behind all that the scan has met, where that had nothing to meet.
        self.more = true;
        self.lanes.entry(lane).or_default().reload = true;
        self.step(lane, now_ms);
    }

    /// Forgets everything but what is in flight, and begins from disk again.
    pub fn start_over(&mut self) {
        self.lanes.retain(|_, active| active.busy);
        for active in self.lanes.values_mut() {
            active.queue.truncate(1);
            active.page = Page::No;
            active.reload = true;
        }
        self.held = self.lanes.len();
        self.blocked.clear();
        self.due.clear();
        self.untried.clear();
        self.gated.clear();
        self.wanting.clear();
        self.messages.clear();
        self.ready.clear();
        self.waiting.clear();
        self.doubts.clear();
        self.cursor = None;
        self.cut = None;
        self.more = true;
        self.loading = None;
    }

    /// What to read next. There is at most one load at a time; it ends with
    /// [`loaded`](Self::loaded) or [`load_failed`](Self::load_failed).
    pub fn load(&mut self, now_ms: u64) -> Option<Load> {
        let room = self.limits.window.saturating_sub(self.held);
        if self.loading.is_some() || room == 0 {
            return None;
        }
        // By turns, so that neither new mail nor a crowd of lanes that are tried again
        // and again keeps the other waiting.
        let scan_first = std::mem::replace(&mut self.scan_next, false);
        let rows = if scan_first {
            self.next_scan().or_else(|| self.next_page(now_ms))
        } else {
            self.next_page(now_ms).or_else(|| self.next_scan())
        }?;
        let share = match rows {
            Rows::Scan { .. } => self.limits.page,
            Rows::Lane { .. } => {
                self.scan_next = true;
                self.limits.lane
            }
        };
        self.ticket += 1;
        self.loading = Some(self.ticket);
        if let Rows::Lane { lane, .. } = rows
            && let Some(active) = self.lanes.get_mut(&lane)
        {
            active.page = Page::Under(self.ticket);
        }
        Some(Load {
            rows,
            limit: share.min(room),
            ticket: self.ticket,
        })
    }

    /// Takes what a load has read.
    pub fn loaded(&mut self, load: &Load, rows: &[Unfinished], now_ms: u64) {
        if self.loading != Some(load.ticket) {
            return;
        }
        self.loading = None;
        match load.rows {
            Rows::Scan { .. } => self.scanned(rows, rows.len() >= load.limit, now_ms),
            Rows::Lane { lane, until, .. } => {
                let complete = rows.len() < load.limit && self.cursor <= Some(until);
                if self.is_under_way(lane, load.ticket) {
                    self.paged(lane, rows, complete, now_ms);
                }
            }
        }
    }

    /// A load could not be carried out: it will be asked for again.
    pub fn load_failed(&mut self, load: &Load) {
        if self.loading != Some(load.ticket) {
            return;
        }
        self.loading = None;
        match load.rows {
            Rows::Scan { .. } => self.more = true,
            Rows::Lane { lane, .. } => {
                if self.is_under_way(lane, load.ticket) {
                    self.unpage(lane);
                    self.want_page(lane);
                }
            }
        }
    }

    /// The next job: of the messages that are ready the one that arrived first.
    pub fn next(&mut self, now_ms: u64) -> Option<Job> {
        self.split_late(now_ms);
        let message = *self.ready.first()?;
        let pending = self.messages.get_mut(&message)?;
        let mut recipients = Vec::new();
        while recipients.len() < self.limits.recipients
            && let Some((recipient, lane)) = pending.ready.pop_first()
        {
            recipients.push((recipient, lane));
        }
        for (_, lane) in &recipients {
            if let Some(active) = self.lanes.get_mut(lane) {
                active.busy = true;
            }
        }
        self.recheck(message, now_ms);
        Some(Job {
            message,
            recipients,
        })
    }

    /// Whether [`next`](Self::next) would give a job.
    #[must_use]
    pub fn has_ready(&self, now_ms: u64) -> bool {
        !self.ready.is_empty() || self.waiting.first().is_some_and(|(at, _)| *at <= now_ms)
    }

    /// How many jobs [`next`](Self::next) would give at once, about.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// A delivery in doubt whose time has come. Its lane stands still until it is
    /// [settled](Self::settle).
    pub fn next_doubt(&mut self) -> Option<(DeliveryId, Lane)> {
        while let Some((id, lane)) = self.doubts.pop_front() {
            // Since it was noted it may have been put back, and be on its way.
            if let Some(active) = self.lanes.get_mut(&lane)
                && let Some(head) = active.queue.front()
                && head.id == id
                && matches!(head.standing, Standing::InDoubt { .. })
                && active.head_seen
                && !active.busy
            {
                active.busy = true;
                return Some((id, lane));
            }
        }
        None
    }

    /// Tells how a delivery that was handed out stands now.
    pub fn settle(&mut self, id: DeliveryId, lane: Lane, settled: Settled, now_ms: u64) {
        let Some(active) = self.lanes.get_mut(&lane) else {
            return;
        };
        if !active.busy || active.queue.front().map(|entry| entry.id) != Some(id) {
            return;
        }
        active.busy = false;
        match settled {
            Settled::Gone => {
                active.queue.pop_front();
                self.held -= 1;
            }
            Settled::Again => active.make_head_ready(),
            Settled::Until { due_ms } => {
                let reload = active.reload;
                self.block(lane, due_ms, now_ms);
                if reload {
                    self.requeued(lane, now_ms);
                }
                return;
            }
        }
        if let Some(active) = self.lanes.get_mut(&lane) {
            active.head_seen = false;
            if !active.queue.is_empty() && settled != Settled::Gone {
                // The head was counted out of its message when it was handed out.
                self.messages.entry(id.message).or_default().behind += 1;
            }
        }
        self.step(lane, now_ms);
    }

    /// When something changes by the mere passing of time, behind `now_ms`.
    #[must_use]
    pub fn deadline_ms(&self, now_ms: u64) -> Option<u64> {
        // What is late already waits for something else: for room, or for a connection.
        let behind = (now_ms.saturating_add(1), QueueId::first_of_spool(0));
        let split = self.waiting.range(behind..).next().map(|(at, _)| *at);
        let behind = (now_ms.saturating_add(1), Lane(0));
        let due = self.due.range(behind..).next().map(|(at, _)| *at);
        match (split, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    /// Deliveries in the window.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether all that there is was read, and all of it has gone, or was tried and must wait,
    /// or is behind what must wait, or behind a gate.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let all_read = !self.more && self.loading.is_none();
        all_read && self.lanes.is_empty() && self.untried.is_empty()
    }

    /// Mailboxes that wait for a time to come.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.blocked.len()
    }
}
