//! The limits of a destination as they are now, and what of them slows a release down.

use super::{flow::Flow, pace::Pace, throttle::Throttle};
use crate::config::{Load, load::MessageRate};
use std::sync::Arc;
use tokio::sync::watch;

/// Narrower than this for each, a line is not divided among more connections: the other
/// side would take some of them for dead.
const BYTES_PER_CONNECTION: u64 = 16 * 1024;

/// See the [module](self).
pub(super) struct Brake {
    orders: watch::Receiver<Load>,
    load: Load,
    pace: Pace,
    throttle: Arc<Throttle>,
}

/// What keeps more messages from being under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Bound {
    /// Nothing, or there are no more.
    #[default]
    Nothing,
    /// The messages in a time.
    Rate(MessageRate),
    /// All connections are in use.
    Connections(usize),
    /// All those that are used at present are.
    Fewer { allowed: usize, of: usize },
}

impl Brake {
    /// With the limits that `orders` tells now and later.
    pub fn new(orders: watch::Receiver<Load>, throttle: Arc<Throttle>, now_ms: u64) -> Self {
        let load = *orders.borrow();
        throttle.limit(load.bytes_rate.per_second());
        Self {
            orders,
            load,
            pace: Pace::new(load.rate, now_ms),
            throttle,
        }
    }

    /// Waits for other limits.
    pub async fn changed(&mut self) {
        if self.orders.changed().await.is_err() {
            // Nobody is left to set any.
            std::future::pending::<()>().await;
        }
    }

    /// Takes the limits over that hold now.
    pub fn adjust(&mut self, flow: &mut Flow, now_ms: u64) {
        let load = *self.orders.borrow_and_update();
        if load != self.load {
            self.load = load;
            self.pace.change(load.rate, now_ms);
            self.throttle.limit(load.bytes_rate.per_second());
        }
        if flow.max() != self.connections() {
            flow.at_most(self.connections());
        }
    }

    /// Connections at once.
    pub fn connections(&self) -> usize {
        let connections = self.load.connections.max(1);
        match self.load.bytes_rate.per_second() {
            0 => connections,
            bytes => {
                let shares = usize::try_from(bytes / BYTES_PER_CONNECTION).unwrap_or(usize::MAX);
                connections.min(shares.max(1))
            }
        }
    }

    /// When the next message may go, if it may not go now.
    pub fn next_ms(&mut self, now_ms: u64) -> Option<u64> {
        self.pace.next_ms(now_ms)
    }

    /// A message goes.
    pub fn went(&mut self, now_ms: u64) {
        self.pace.take(now_ms);
    }

    /// Whether how long a message takes says something about the destination.
    pub fn lets_run(&self) -> bool {
        !self.throttle.is_limited()
    }

    /// What bounds a release that has more to send, with so many messages under way of those
    /// that are allowed.
    pub fn bound(&mut self, flow: &Flow, under_way: usize, allowed: usize, now_ms: u64) -> Bound {
        if self.next_ms(now_ms).is_some() {
            return Bound::Rate(self.load.rate);
        }
        match (flow.max(), under_way) {
            (_, under_way) if under_way < allowed => Bound::Nothing,
            (of, _) if allowed >= of => Bound::Connections(of),
            (of, _) => Bound::Fewer { allowed, of },
        }
    }
}

impl Bound {
    /// For a person; `why` are there fewer connections than there may be.
    pub fn words(self, why: Option<&str>) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Rate(rate) => Some(format!("rate {rate} is reached")),
            Self::Connections(1) => Some("its only connection is in use".into()),
            Self::Connections(count) => Some(format!("all {count} connections are in use")),
            Self::Fewer { allowed, of } => Some(match why {
                Some(why) => format!("{allowed} of {of} connections: {why}"),
                None => format!("{allowed} of {of} connections so far, one more with each success"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Load {
        Load {
            connections: 20,
            rate: "60/m".parse().unwrap(),
            bytes_rate: text.parse().unwrap(),
        }
    }

    #[test]
    fn a_narrow_line_is_not_divided_among_many() {
        for (text, connections) in [
            ("none", 20),
            ("8 KiB/s", 1),
            ("100 KiB/s", 6),
            ("5 MiB/s", 20),
        ] {
            let (_orders, seen) = watch::channel(load(text));
            let brake = Brake::new(seen, Arc::default(), 0);
            assert_eq!(brake.connections(), connections, "{text}");
        }
    }

    #[test]
    fn new_limits_hold_at_once_and_the_nearest_is_named() {
        let (orders, seen) = watch::channel(load("none"));
        let (mut brake, mut flow) = (Brake::new(seen, Arc::default(), 0), Flow::new(20));
        let words = |brake: &mut Brake, flow: &Flow, under_way| {
            let bound = brake.bound(flow, under_way, flow.allowed(), 0);
            bound.words(flow.why())
        };
        assert_eq!(words(&mut brake, &flow, 0), None);
        let so_far = words(&mut brake, &flow, 1).unwrap();
        assert!(so_far.starts_with("1 of 20 connections so far"), "{so_far}");
        flow.strained("421 busy");
        let strained = words(&mut brake, &flow, 1).unwrap();
        assert_eq!(strained, "1 of 20 connections: 421 busy");
        brake.went(0);
        assert_eq!(brake.next_ms(0), Some(1_000));
        assert_eq!(
            words(&mut brake, &flow, 0).as_deref(),
            Some("rate 60/m is reached")
        );
        orders.send_replace(Load {
            connections: 1,
            ..Load::default()
        });
        brake.adjust(&mut flow, 0);
        assert_eq!(
            words(&mut brake, &flow, 1).as_deref(),
            Some("its only connection is in use")
        );
    }
}
