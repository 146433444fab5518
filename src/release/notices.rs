//! What a runner has to know of the spool, kept until it looks.

use super::order::Order;
use crate::mail::Lane;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};
use tokio::sync::Notify;

/// Lanes noted one by one; with more, everything is read anew.
const LANES_MAX: usize = 10_000;

/// See the [module](self). However much happens, it stays small.
#[derive(Default)]
pub(super) struct Notices {
    news: Mutex<News>,
    bell: Notify,
}

#[derive(Default)]
struct News {
    arrived: bool,
    requeued: BTreeSet<Lane>,
    gates_moved: bool,
    start_over: bool,
}

impl Notices {
    pub fn arrived(&self) {
        self.note(|news| news.arrived = true);
    }

    pub fn gates_moved(&self) {
        self.note(|news| news.gates_moved = true);
    }

    pub fn requeued(&self, lane: Lane) {
        self.note(|news| {
            news.requeued.insert(lane);
            if news.requeued.len() > LANES_MAX {
                news.requeued.clear();
                news.start_over = true;
            }
        });
    }

    pub fn start_over(&self) {
        self.note(|news| news.start_over = true);
    }

    fn note(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    /// Waits until something is noted.
    pub async fn wait(&self) {
        self.bell.notified().await;
    }

    /// Tells the engine.
    pub fn take(&self, order: &mut Order, now_ms: u64) {
        let news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        if news.start_over {
            order.start_over();
            return;
        }
        if news.gates_moved {
            order.gates_moved();
        }
        if news.arrived {
            order.arrived();
        }
        for lane in news.requeued {
            order.requeued(lane, now_ms);
        }
    }
}
