//! Where readers find the open database, and where it is taken from them when it must be
//! opened again: RocksDB opens no directory twice.

use super::store::Store;
use std::{
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The open database; nothing while it is opened again.
#[derive(Default)]
pub struct Shelf(RwLock<Option<Arc<Store>>>);

impl Shelf {
    /// The database, for one reading.
    pub fn get(&self) -> Option<Arc<Store>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts one there.
    pub fn put(&self, store: Arc<Store>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    /// Takes the database away and closes it, as soon as the readings under way have ended:
    /// however long a recount takes, or a read that a disk does not answer.
    pub fn clear(&self) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let taken = held.take();
        drop(held);
        let mut next = taken;
        while let Some(store) = next {
            next = match Arc::try_unwrap(store) {
                Ok(store) => {
                    drop(store);
                    None
                }
                Err(store) => {
                    thread::sleep(LOOK_AGAIN);
                    Some(store)
                }
            };
        }
    }
}
