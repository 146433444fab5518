//! Where the arrival order of each domain begins. Entries go from its front, so what was
//! found first once is preceded again by a rewind only; beginning there spares a walk over
//! the traces of everything that was delivered.

use super::{layout::DomainNumber, read};
use crate::{
    mail::{DeliveryId, QueueId},
    spool::SpoolError,
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// See the [module](self).
#[derive(Default)]
pub struct Floors(Mutex<Known>);

#[derive(Default)]
struct Known {
    first: HashMap<DomainNumber, DeliveryId>,
    /// Rewinds so far: what was read before one is no floor behind it.
    rewinds: u64,
}

impl Floors {
    /// Where the order of a domain begins by now, and for how many rewinds that holds.
    pub fn floor(&self, domain: DomainNumber) -> Result<(DeliveryId, u64), SpoolError> {
        let known = self.known();
        let first = match known.first.get(&domain) {
            Some(first) => *first,
            None => start(None)?,
        };
        Ok((first, known.rewinds))
    }

    /// It begins there, if there was no rewind since.
    pub fn raise(&self, domain: DomainNumber, first: DeliveryId, rewinds: u64) {
        let mut known = self.known();
        if known.rewinds == rewinds {
            let floor = known.first.entry(domain).or_insert(first);
            *floor = first.max(*floor);
        }
    }

    /// What was delivered is back at its place in the order.
    pub fn clear(&self) {
        let mut known = self.known();
        known.first.clear();
        known.rewinds += 1;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a walk begins that goes on behind `after`.
pub fn start(after: Option<DeliveryId>) -> Result<DeliveryId, SpoolError> {
    match (after, QueueId::new(0)) {
        (Some(after), _) => Ok(read::next(after)),
        (None, Some(message)) => Ok(DeliveryId {
            message,
            recipient: 0,
        }),
        (None, None) => Err(SpoolError::Closed),
    }
}
