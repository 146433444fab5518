//! How far a run is, for those who watch it: counters that the accounts' tasks raise.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Of one account, in its present pass.
#[derive(Debug, Default)]
pub struct Meter {
    messages_total: AtomicU64,
    messages_done: AtomicU64,
    copied: AtomicU64,
    bytes: AtomicU64,
    doing: Mutex<Doing>,
}

/// What an account is at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Doing {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// Connecting, and reading both sides' folders.
    Listing,
    /// In this folder.
    Copying(String),
    /// Nothing for a while, for this reason.
    Pausing(String),
    /// Its pass is over.
    Done,
    /// Its pass is over, without everything, for this reason.
    Failed(String),
}

/// The counters of a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Messages that the source has, as far as is known.
    pub messages_total: u64,
    /// Messages that were gone through: copied, or known before.
    pub messages_done: u64,
    /// Messages that were copied.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Meter {
    /// A pass begins.
    pub fn begin(&self) {
        for counter in [
            &self.messages_total,
            &self.messages_done,
            &self.copied,
            &self.bytes,
        ] {
            counter.store(0, Relaxed);
        }
        self.doing(Doing::Listing);
    }

    /// This many messages are to be gone through.
    pub fn expect(&self, messages: u64) {
        self.messages_total.store(messages, Relaxed);
    }

    /// Messages were gone through.
    pub fn pass(&self, messages: u64) {
        self.messages_done.fetch_add(messages, Relaxed);
    }

    /// Messages were copied, and so gone through.
    pub fn copy(&self, messages: u64, bytes: u64) {
        self.copied.fetch_add(messages, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.pass(messages);
    }

    /// So many were gone through now: a folder is begun again, or is over.
    pub fn set_done(&self, messages: u64) {
        self.messages_done.store(messages, Relaxed);
    }

    /// What the account is at.
    pub fn doing(&self, doing: Doing) {
        *self.lock() = doing;
    }

    /// What the account is at.
    #[must_use]
    pub fn what(&self) -> Doing {
        self.lock().clone()
    }

    /// The counters now.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            messages_total: self.messages_total.load(Relaxed),
            messages_done: self.messages_done.load(Relaxed),
            copied: self.copied.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
