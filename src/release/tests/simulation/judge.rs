//! What must be so once a storm is over.

use super::case::{Case, EPOCH_MS, IN_DOUBT_AFTER};
use crate::{
    config::ReleaseOrder,
    mail::{DeliveryId, Lane},
    spool::{Cause, Event, Standing},
};
use std::collections::{BTreeMap, BTreeSet};

/// What has happened to how many deliveries.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    pub accepted: u64,
    pub delivered: u64,
    pub deferred: u64,
    pub parked: u64,
    pub rewound: u64,
    pub doubted: u64,
    pub found: u64,
    pub resent: u64,
    /// Copies too many.
    pub twice: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.parked += other.parked;
        self.rewound += other.rewound;
        self.doubted += other.doubted;
        self.found += other.found;
        self.resent += other.resent;
        self.twice += other.twice;
    }
}

impl Case {
    /// Nothing lost, nothing twice without a doubt that is told, everything in order.
    pub fn judge(&self) -> Summary {
        let ledger = self.disk.status().ledger;
        let mut summary = Summary {
            accepted: ledger.accepted.count,
            delivered: ledger.delivered.count,
            doubted: ledger.doubted,
            found: ledger.found,
            resent: ledger.resent,
            ..Summary::default()
        };
        let taken = self.server.taken();
        let mut times = BTreeMap::new();
        for id in &taken {
            *times.entry(*id).or_insert(0_usize) += 1;
        }
        let mut meddled = BTreeSet::new();
        for (id, standing) in self.disk.standings() {
            let history = self.disk.history(id);
            let count = times.get(&id).copied().unwrap_or(0);
            self.judge_copies(id, standing, count, &history);
            judge_patience(&history);
            let times = |so: fn(&Standing) -> bool| {
                history.iter().filter(|event| so(&event.to)).count() as u64
            };
            summary.deferred += times(|to| matches!(to, Standing::Deferred { .. }));
            let parkings = times(|to| *to == Standing::Parked);
            summary.parked += parkings;
            let rewinds = (history.iter()).filter(|event| event.from == Standing::Delivered);
            let rewinds = rewinds.count() as u64;
            summary.rewound += rewinds;
            if parkings + rewinds > 0 {
                meddled.insert(id);
            } else {
                summary.twice += count.saturating_sub(1) as u64;
            }
        }
        assert!(
            summary.twice <= ledger.resent,
            "not all is told: {summary:?}"
        );
        self.judge_order(taken.iter().filter(|id| !meddled.contains(id)));
        summary
    }

    fn judge_copies(&self, id: DeliveryId, standing: Standing, count: usize, history: &[Event]) {
        if standing == Standing::Delivered {
            assert!(count > 0, "{id:?} was lost:{}", told(history));
        }
        let doubts = history.iter();
        let doubts = doubts.filter(|event| matches!(event.to, Standing::InDoubt { .. }));
        // A person may send again what the destination could have been asked about.
        let by_person = history.iter().any(|event| {
            matches!(event.from, Standing::InDoubt { .. } | Standing::Parked)
                && matches!(event.cause, Cause::Operator(_))
        });
        let most = match self.can_ask && !by_person {
            true => 1,
            false => 1 + doubts.count(),
        };
        assert!(
            count <= most,
            "{id:?} is there {count} times:{}",
            told(history)
        );
    }

    /// What was parked or rewound is left out: it comes later, when a person says so.
    fn judge_order<'a>(&self, taken: impl Iterator<Item = &'a DeliveryId>) {
        let mut last = BTreeMap::new();
        for id in taken {
            let lane = match self.config.release.order {
                ReleaseOrder::Mailbox => self.disk.address(*id).lane(),
                ReleaseOrder::Strict => Lane(0),
            };
            let before = last.insert(lane, *id);
            assert!(before <= Some(*id), "{id:?} came behind {before:?}");
        }
    }
}

/// What is in doubt, and nobody can be asked, rests before it is sent again.
fn judge_patience(history: &[Event]) {
    for pair in history.windows(2) {
        let [doubt, next] = pair else { continue };
        // Whoever rewinds has decided.
        let is_doubt = matches!(doubt.to, Standing::InDoubt { .. })
            && !matches!(doubt.cause, Cause::Operator(_));
        let found = next.to == Standing::Delivered;
        if is_doubt && !found && matches!(next.cause, Cause::Policy(_)) {
            let rested = next.at_ms - doubt.at_ms;
            assert!(
                u128::from(rested) >= IN_DOUBT_AFTER.as_millis(),
                "decided after {rested} ms:{}",
                told(history)
            );
        }
    }
}

/// A history, a line for each event.
fn told(history: &[Event]) -> String {
    let line = |event: &Event| {
        let (at, remote) = (event.at_ms - EPOCH_MS, event.remote.as_ref());
        let reply = remote.map_or("", |remote| &remote.reply);
        let Event {
            from, to, cause, ..
        } = event;
        format!("\n{at} ms: {from:?} -> {to:?}, {cause}: {reply}")
    };
    history.iter().map(line).collect()
}
