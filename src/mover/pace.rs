//! How much is sent in one batch: more while the server is quick with it, less when it takes
//! long or refuses, so that neither a time-out nor a search for the one bad message is dear.

use std::time::Duration;

/// The number of messages doubles with each level, and so do the bytes. The first batch is a
/// large one: on a long line each batch costs a round trip.
const LEVEL_MAX: u32 = 4;
const MESSAGES_LEAST: usize = 25;
const BYTES_LEAST: u64 = 192 << 10;
/// A server that takes a batch in less time gets a larger one.
const QUICK: Duration = Duration::from_secs(2);
/// A server that takes longer gets a smaller one.
const SLOW: Duration = Duration::from_secs(10);

/// The pace of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    level: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { level: LEVEL_MAX }
    }
}

/// How a batch went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Went {
    /// It was taken, in this time.
    Whole(Duration),
    /// It was refused as a whole.
    Refused,
}

impl Pace {
    /// Messages in a batch.
    #[must_use]
    pub fn messages_max(self) -> usize {
        MESSAGES_LEAST << self.level
    }

    /// Bytes in a batch, unless one message alone has more.
    #[must_use]
    pub fn bytes_max(self) -> u64 {
        BYTES_LEAST << self.level
    }

    /// Learns from a batch.
    pub fn learn(&mut self, went: Went) {
        self.level = match went {
            Went::Whole(took) if took < QUICK => (self.level + 1).min(LEVEL_MAX),
            Went::Whole(took) if took < SLOW => self.level,
            Went::Whole(_) | Went::Refused => self.level.saturating_sub(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_server_gets_more_and_a_slow_one_less() {
        let mut pace = Pace::default();
        assert_eq!((pace.messages_max(), pace.bytes_max()), (400, 3 << 20));
        pace.learn(Went::Whole(Duration::from_secs(5)));
        assert_eq!(pace.messages_max(), 400);
        pace.learn(Went::Whole(Duration::from_secs(11)));
        pace.learn(Went::Refused);
        assert_eq!(pace.messages_max(), 100);
        for _ in 0..9 {
            pace.learn(Went::Refused);
        }
        assert_eq!((pace.messages_max(), pace.bytes_max()), (25, 192 << 10));
        for _ in 0..9 {
            pace.learn(Went::Whole(Duration::from_millis(1)));
        }
        assert_eq!(pace, Pace::default());
    }
}
