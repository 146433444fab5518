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
    /// None as long as the client is not known.
    network: Option<IpAddr>,
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
        let mut pass = self.enter_unnamed()?;
        pass.name(ip)?;
        Ok(pass)
    }

    /// Lets in a client whose address comes later, in its balancer's header.
    ///
    /// # Errors
    /// [`Crowded::Total`].
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Pass, Crowded> {
        let mut inside = self.lock();
        if inside.total >= inside.total_max {
            return Err(Crowded::Total);
        }
        inside.total += 1;
        Ok(Pass {
            gate: Arc::clone(self),
            network: None,
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

impl Pass {
    /// The client turns out to be this one.
    ///
    /// # Errors
    /// [`Crowded::Network`]: there are as many of it inside as there may be.
    pub fn name(&mut self, ip: IpAddr) -> Result<(), Crowded> {
        let network = client_network(ip);
        let mut inside = self.gate.lock();
        let here = inside.networks.get(&network).copied().unwrap_or(0);
        if here >= inside.per_network_max {
            return Err(Crowded::Network);
        }
        inside.networks.insert(network, here + 1);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.total = inside.total.saturating_sub(1);
        let Some(network) = self.network else {
            return;
        };
        match inside.networks.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.networks.remove(&network);
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
    fn one_whose_name_comes_later_counts_at_once_in_total() {
        let gate = Gate::new(2, 1);
        let mut first = gate.enter_unnamed().unwrap();
        let mut second = gate.enter_unnamed().unwrap();
        let refused = gate.enter_unnamed().map(|_| ());
        assert_eq!(refused, Err(Crowded::Total));
        first.name(ip("192.0.2.1")).unwrap();
        assert_eq!(second.name(ip("192.0.2.1")), Err(Crowded::Network));
        drop((first, second));
        assert_eq!(gate.total(), 0);
        assert!(gate.lock().networks.is_empty());
    }

    #[test]
    fn nothing_stays_behind() {
        let gate = Gate::new(3, 2);
        drop(gate.enter(ip("192.0.2.1")).unwrap());
        assert!(gate.lock().networks.is_empty());
    }
}
