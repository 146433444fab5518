//! Messages in a time: not more than the limit, and evenly, for servers count in windows of
//! their own. Pure: the time is passed in.

use crate::config::load::{MessageRate, Rate};

/// What was not used within this long is not made up for.
const BURST_MS: u64 = 100;

/// See the [module](self).
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    /// What may go, in messages times the period in milliseconds: a millisecond adds
    /// [`Rate::amount`], and a message costs a period.
    credit: u64,
    /// When it was counted, milliseconds since 1970.
    at_ms: u64,
}

impl Pace {
    /// The first message may go at once.
    #[must_use]
    pub fn new(rate: MessageRate, now_ms: u64) -> Self {
        let rate = rate.0;
        Self {
            rate,
            credit: rate.per.ms(),
            at_ms: now_ms,
        }
    }

    /// Another limit; what was saved or spent under the old one still counts.
    pub fn change(&mut self, rate: MessageRate, now_ms: u64) {
        if rate.0 == self.rate {
            return;
        }
        self.count(now_ms);
        let (old_ms, new_ms) = (self.rate.per.ms(), rate.0.per.ms());
        self.credit = self.credit.saturating_mul(new_ms) / old_ms;
        self.rate = rate.0;
    }

    /// When the next message may go, if it may not go now.
    #[must_use]
    pub fn next_ms(&mut self, now_ms: u64) -> Option<u64> {
        if !self.rate.is_limit() {
            return None;
        }
        self.count(now_ms);
        let missing = self.rate.per.ms().saturating_sub(self.credit);
        let wait_ms = missing.div_ceil(self.rate.amount);
        (wait_ms > 0).then(|| now_ms.saturating_add(wait_ms))
    }

    /// A message goes.
    pub fn take(&mut self, now_ms: u64) {
        if self.rate.is_limit() {
            self.count(now_ms);
            self.credit = self.credit.saturating_sub(self.rate.per.ms());
        }
    }

    fn count(&mut self, now_ms: u64) {
        let amount = self.rate.amount;
        let most = self.rate.per.ms().max(amount.saturating_mul(BURST_MS));
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let credit = (self.credit).saturating_add(passed_ms.saturating_mul(amount));
        self.credit = credit.min(most);
        // A clock that was set back is the clock from now on.
        self.at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go in each of `spans` of `span_ms`, if as many want to as may.
    fn counts(pace: &mut Pace, from_ms: u64, span_ms: u64, spans: u64) -> Vec<u64> {
        let spans = (0..spans).map(|span| from_ms + span * span_ms..from_ms + (span + 1) * span_ms);
        let within = |now_ms: u64, pace: &mut Pace| {
            let mut count = 0;
            while pace.next_ms(now_ms).is_none() {
                pace.take(now_ms);
                count += 1;
            }
            count
        };
        let count = |span: std::ops::Range<u64>| span.map(|now_ms| within(now_ms, pace)).sum();
        spans.map(count).collect()
    }

    fn pace(rate: &str, now_ms: u64) -> Pace {
        Pace::new(rate.parse().unwrap(), now_ms)
    }

    #[test]
    fn as_many_go_as_may_and_evenly() {
        assert_eq!(counts(&mut pace("60/m", 0), 0, 1_000, 4), [1, 1, 1, 1]);
        assert_eq!(counts(&mut pace("1/h", 0), 0, 1_800_000, 3), [1, 0, 1]);
        let fast = counts(&mut pace("5000/s", 0), 0, 1_000, 3);
        assert!(
            fast.iter().all(|count| (4_990..=5_010).contains(count)),
            "{fast:?}"
        );
    }

    #[test]
    fn it_says_when() {
        let mut pace = pace("30/m", 7);
        assert_eq!(pace.next_ms(7), None);
        pace.take(7);
        assert_eq!(pace.next_ms(7), Some(2_007));
        assert_eq!(pace.next_ms(2_006), Some(2_007));
        assert_eq!(pace.next_ms(2_007), None);
    }

    #[test]
    fn a_rest_is_not_made_up_for() {
        let mut pace = pace("100/s", 0);
        assert_eq!(counts(&mut pace, 3_600_000, 1, 2), [10, 0]);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let mut pace = pace("10/s", 1_000_000);
        pace.take(1_000_000);
        assert_eq!(pace.next_ms(5), Some(105));
        pace.change("20/s".parse().unwrap(), 5);
        assert_eq!(pace.next_ms(5), Some(55));
        assert_eq!(pace.next_ms(55), None);
    }

    #[test]
    fn a_change_holds_at_once() {
        let mut pace = pace("1/h", 0);
        pace.take(0);
        assert!(pace.next_ms(0) > Some(3_000_000));
        pace.change("10/s".parse().unwrap(), 0);
        assert_eq!(pace.next_ms(0), Some(100));
        pace.change(MessageRate::default(), 0);
        assert_eq!(pace.next_ms(0), None);
        pace.change("10/s".parse().unwrap(), 0);
        assert_eq!(counts(&mut pace, 0, 1_001, 1), [10], "none had been saved");
    }
}
