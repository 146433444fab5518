//! How far a run is, for those who watch it: counters that the accounts' tasks raise.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Of one account, in its present pass.
#[derive(Debug, Default)]
pub struct Meter {
    total: Counters,
    done: Counters,
    copied: AtomicU64,
    copied_bytes: AtomicU64,
    doing: Mutex<Doing>,
}

#[derive(Debug, Default)]
struct Counters {
    folders: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// How much there is of something. Bytes only where the source tells (STATUS=SIZE, RFC 8438).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Folders.
    pub folders: u64,
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Extent {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            folders: self.folders + other.folders,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }

    /// This, and no more than the other of anything.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self {
            folders: self.folders.min(other.folders),
            messages: self.messages.min(other.messages),
            bytes: self.bytes.min(other.bytes),
        }
    }
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
    /// What the source has, as far as is known.
    pub total: Extent,
    /// What was gone through: copied, or known before.
    pub done: Extent,
    /// Messages that were copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
}

impl Meter {
    /// A pass begins.
    pub fn begin(&self) {
        self.total.store(Extent::default());
        self.done.store(Extent::default());
        self.copied.store(0, Relaxed);
        self.copied_bytes.store(0, Relaxed);
        self.doing(Doing::Listing);
    }

    /// This much is to be gone through, of which so much is behind already.
    pub fn expect(&self, total: Extent, done: Extent) {
        self.total.store(total);
        self.done.store(done);
    }

    /// Messages were copied, or read, and so gone through, whatever becomes of their folder.
    pub fn copy(&self, messages: u64, bytes: u64) {
        self.copied.fetch_add(messages, Relaxed);
        self.copied_bytes.fetch_add(bytes, Relaxed);
        self.done.add(Extent {
            folders: 0,
            messages,
            bytes,
        });
    }

    /// A folder of so many messages is begun.
    #[must_use]
    pub fn folder(&self, whole: Extent) -> Gauge<'_> {
        Gauge {
            meter: self,
            whole,
            done: Counters::default(),
        }
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
            total: self.total.load(),
            done: self.done.load(),
            copied: self.copied.load(Relaxed),
            copied_bytes: self.copied_bytes.load(Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn store(&self, extent: Extent) {
        self.folders.store(extent.folders, Relaxed);
        self.messages.store(extent.messages, Relaxed);
        self.bytes.store(extent.bytes, Relaxed);
    }

    fn load(&self) -> Extent {
        Extent {
            folders: self.folders.load(Relaxed),
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    fn add(&self, extent: Extent) {
        self.folders.fetch_add(extent.folders, Relaxed);
        self.messages.fetch_add(extent.messages, Relaxed);
        self.bytes.fetch_add(extent.bytes, Relaxed);
    }

    fn take(&self, extent: Extent) {
        self.folders.fetch_sub(extent.folders, Relaxed);
        self.messages.fetch_sub(extent.messages, Relaxed);
        self.bytes.fetch_sub(extent.bytes, Relaxed);
    }
}

/// A folder on its way. What was not brought to its end counts as not begun.
#[derive(Debug)]
pub struct Gauge<'m> {
    meter: &'m Meter,
    whole: Extent,
    done: Counters,
}

impl Gauge<'_> {
    /// Messages were gone through.
    pub fn pass(&self, messages: u64, bytes: u64) {
        let extent = Extent {
            folders: 0,
            messages,
            bytes,
        };
        self.done.add(extent);
        self.meter.done.add(extent);
    }

    /// Messages were copied, and so gone through.
    pub fn copy(&self, messages: u64, bytes: u64) {
        self.meter.copied.fetch_add(messages, Relaxed);
        self.meter.copied_bytes.fetch_add(bytes, Relaxed);
        self.pass(messages, bytes);
    }

    /// The folder is behind, with what was known before.
    pub fn finish(self) {
        self.meter.done.add(self.whole);
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.meter.done.take(self.done.load());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_whole_once_and_nothing_when_broken_off() {
        let meter = Meter::default();
        let whole = |folders| Extent {
            folders,
            messages: 10,
            bytes: 100,
        };
        let gauge = meter.folder(whole(1));
        gauge.copy(3, 30);
        gauge.pass(1, 10);
        let read = meter.read();
        assert_eq!((read.copied, read.copied_bytes), (3, 30));
        assert_eq!((read.done.messages, read.done.bytes), (4, 40));
        drop(gauge);
        assert_eq!(meter.read().done, Extent::default());
        let gauge = meter.folder(whole(1));
        gauge.copy(3, 30);
        gauge.finish();
        assert_eq!(meter.read().done, whole(1));
        assert_eq!(meter.read().copied, 6);
    }
}
