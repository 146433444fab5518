//! How much one client may send in a time.
//!
//! Each client (IPv6: each /64) has a bucket that holds as much as may come in one period
//! and fills evenly, so that a burst of one period's worth passes at once. A client whose
//! bucket is full again is forgotten. So many clients at once that there is no place to
//! remember one more are more than any limit on each could stop: the new one passes.

use crate::config::client_network;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Clients that are remembered; some 64 bytes each.
const CLIENTS_MAX: usize = 65_536;
/// Looking through all of them for one to forget is done no more often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// So many in each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Zero: any number.
    pub count: usize,
    /// Not zero.
    pub period: Duration,
}

/// What each client has left.
#[derive(Debug)]
pub struct Rates {
    clients: Mutex<Clients>,
}

#[derive(Debug)]
struct Clients {
    rate: Rate,
    buckets: HashMap<IpAddr, Bucket>,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl Rates {
    /// Nobody has sent anything yet.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            clients: Mutex::new(Clients {
                rate,
                buckets: HashMap::new(),
                swept: None,
            }),
        }
    }

    /// Another rate from now on.
    pub fn set_rate(&self, rate: Rate) {
        let mut clients = self.lock();
        if clients.rate != rate {
            clients.rate = rate;
            clients.buckets = HashMap::new();
        }
    }

    /// Takes one from what the client has left; `false`: it has nothing left.
    #[must_use]
    pub fn take(&self, ip: IpAddr, now: Instant) -> bool {
        self.lock().take(client_network(ip), now)
    }

    /// A panic elsewhere leaves each bucket whole.
    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    fn take(&mut self, network: IpAddr, now: Instant) -> bool {
        let rate = self.rate;
        if rate.count == 0 {
            return true;
        }
        let known = self.buckets.get(&network).copied();
        if known.is_none() && self.buckets.len() >= CLIENTS_MAX {
            self.sweep(now);
            if self.buckets.len() >= CLIENTS_MAX {
                return true;
            }
        }
        let full = rate.full();
        let mut left = known.map_or(full, |bucket| bucket.at(now, rate));
        let has_one = left >= 1.0;
        if has_one {
            left -= 1.0;
        }
        let bucket = Bucket { left, since: now };
        self.buckets.insert(network, bucket);
        has_one
    }

    fn sweep(&mut self, now: Instant) {
        let lately = |swept: Instant| now.saturating_duration_since(swept) < SWEEP_EVERY;
        if self.swept.is_some_and(lately) {
            return;
        }
        self.swept = Some(now);
        let rate = self.rate;
        let full = rate.full();
        self.buckets.retain(|_, bucket| bucket.at(now, rate) < full);
    }
}

impl Rate {
    fn full(self) -> f64 {
        // Exact up to 2^53, far above what the configuration takes.
        #[allow(clippy::cast_precision_loss)]
        let full = self.count as f64;
        full
    }
}

impl Bucket {
    fn at(self, now: Instant, rate: Rate) -> f64 {
        let passed = now.saturating_duration_since(self.since);
        let filled = rate.full() * passed.as_secs_f64() / rate.period.as_secs_f64();
        (self.left + filled).min(rate.full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rates(count: usize) -> Rates {
        Rates::new(Rate {
            count,
            period: MINUTE,
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_as_many_as_come_in_time() {
        let (rates, start) = (rates(3), Instant::now());
        let one = ip("192.0.2.1");
        let taken = |at: Duration| rates.take(one, start + at);
        for _ in 0..3 {
            assert!(taken(Duration::ZERO));
        }
        assert!(!taken(Duration::ZERO));
        assert!(!taken(Duration::from_secs(19)));
        assert!(taken(Duration::from_secs(21)));
        assert!(!taken(Duration::from_secs(22)));
        assert!(rates.take(ip("192.0.2.2"), start), "others do not wait");
    }

    #[test]
    fn a_network_is_one_client() {
        let (rates, now) = (rates(2), Instant::now());
        assert!(rates.take(ip("2001:db8::1"), now));
        assert!(rates.take(ip("2001:db8::2"), now));
        assert!(!rates.take(ip("2001:db8::3"), now));
        assert!(rates.take(ip("2001:db8:0:1::1"), now));
    }

    #[test]
    fn no_rate_is_no_limit_and_no_memory() {
        let (rates, now) = (rates(0), Instant::now());
        for _ in 0..1000 {
            assert!(rates.take(ip("192.0.2.1"), now));
        }
        assert!(rates.lock().buckets.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_idle_are_forgotten() {
        let (rates, now) = (rates(1), Instant::now());
        let client = |number: usize| IpAddr::V4(u32::try_from(number).unwrap().into());
        for number in 0..CLIENTS_MAX {
            assert!(rates.take(client(number), now));
        }
        // Nobody can be forgotten: the next one passes and is not remembered.
        for _ in 0..3 {
            assert!(rates.take(client(CLIENTS_MAX), now));
        }
        assert_eq!(rates.lock().buckets.len(), CLIENTS_MAX);
        assert!(!rates.take(client(7), now), "the others still are");
        let later = now + MINUTE;
        assert!(rates.take(client(CLIENTS_MAX), later));
        assert!(!rates.take(client(CLIENTS_MAX), later));
        assert_eq!(rates.lock().buckets.len(), 1);
    }
}
