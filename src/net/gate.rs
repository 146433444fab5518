//! How many connections there may be at once, in all and from one network.

use crate::config::client_network;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts connections and lets in no more than its limits allow.
#[derive(Debug)]
pub struct Gate {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    total_max: usize,
    per_network_max: usize,
    total: usize,
    /// At most `total_max` entries: a network leaves with its last connection.
    networks: HashMap<IpAddr, usize>,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// There are as many connections as there may be.
    #[error("too many connections")]
    Total,
    /// There are as many from the client's address (IPv6: its /64) as there may be.
    #[error("too many connections from this address")]
    Network,
}

/// A connection's place; dropping it makes room.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    network: IpAddr,
}

impl Gate {
    /// A gate that nobody has passed yet.
    #[must_use]
    pub fn new(total_max: usize, per_network_max: usize) -> Arc<Self> {
        Arc::new(Self {
            inside: Mutex::new(Inside {
                total_max,
                per_network_max,
                total: 0,
                networks: HashMap::new(),
            }),
        })
    }

    /// Other limits from now on. Whoever is inside stays.
    pub fn set_limits(&self, total_max: usize, per_network_max: usize) {
        let mut inside = self.lock();
        inside.total_max = total_max;
        inside.per_network_max = per_network_max;
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// [`Crowded`] says which limit was reached.
    pub fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<Pass, Crowded> {
        let network = client_network(ip);
        let mut inside = self.lock();
        if inside.total >= inside.total_max {
            return Err(Crowded::Total);
        }
        let here = inside.networks.get(&network).copied().unwrap_or(0);
        if here >= inside.per_network_max {
            return Err(Crowded::Network);
        }
        inside.networks.insert(network, here + 1);
        inside.total += 1;
        Ok(Pass {
            gate: Arc::clone(self),
            network,
        })
    }

    /// Connections inside now.
    #[must_use]
    pub fn total(&self) -> usize {
        self.lock().total
    }

    /// A panic elsewhere leaves the counts whole: each change is a few assignments.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.total = inside.total.saturating_sub(1);
        match inside.networks.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn counts_by_network_and_in_total() {
        let gate = Gate::new(3, 2);
        let first = gate.enter(ip("2001:db8::1")).unwrap();
        let _second = gate.enter(ip("2001:db8::2")).unwrap();
        let refused = gate.enter(ip("2001:db8::3")).map(|_| ());
        assert_eq!(refused, Err(Crowded::Network));
        let _third = gate.enter(ip("192.0.2.1")).unwrap();
        let refused = gate.enter(ip("192.0.2.2")).map(|_| ());
        assert_eq!(refused, Err(Crowded::Total));
        drop(first);
        assert!(gate.enter(ip("2001:db8::3")).is_ok());
        assert_eq!(gate.total(), 2);
    }

    #[test]
    fn mapped_addresses_are_the_same_client() {
        let gate = Gate::new(3, 1);
        let _first = gate.enter(ip("192.0.2.1")).unwrap();
        assert!(gate.enter(ip("::ffff:192.0.2.1")).is_err());
    }

    #[test]
    fn nothing_stays_behind() {
        let gate = Gate::new(3, 2);
        drop(gate.enter(ip("192.0.2.1")).unwrap());
        assert!(gate.lock().networks.is_empty());
    }
}
