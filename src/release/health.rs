//! How a destination is doing, and so how much it is asked to take: the slow start, the
//! back-off of a whole destination, and the breaker that pauses a domain before harm is
//! done. Pure: time and randomness are passed in.
//!
//! How much it is asked to take while all is well, or nearly, is [`Flow`]'s to find out.

use super::{flow::Flow, outcome::Signal, retry};
use crate::config::Release;
use std::time::Duration;

/// Hiccups in a row after which the whole destination is backed off.
const HICCUPS: u32 = 3;
/// A destination that has taken something this long ago works.
const WORKS_MS: u64 = 60_000;
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// How much of what in a row pauses the domain; 0 stands for 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Breaker {
    /// Refusals for good.
    pub refusals: usize,
    /// Signs of a wrong destination.
    pub wrongs: usize,
    /// Messages without a reply to their end.
    pub doubts: usize,
}

impl From<&Release> for Breaker {
    fn from(rules: &Release) -> Self {
        Self {
            refusals: rules.stop_after_refusals.max(1),
            wrongs: rules.stop_after_wrong.max(1),
            doubts: rules.stop_after_doubts.max(1),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Health {
    breaker: Breaker,
    back_off_max: Duration,
    /// Jobs at once.
    flow: Flow,
    /// When it last took a message, milliseconds since 1970; 0 for never.
    worked_ms: u64,
    /// Times in a row that the destination was backed off.
    troubles: u32,
    hiccups: u32,
    wrongs: usize,
    doubts: usize,
    refusals: usize,
    /// Not before, milliseconds since 1970.
    until_ms: u64,
    reason: Option<String>,
}

impl Health {
    /// A destination about which nothing is known yet.
    #[must_use]
    pub fn new(connections_max: usize, breaker: Breaker, retry_max: Duration) -> Self {
        Self {
            breaker,
            back_off_max: retry_max.clamp(BACK_OFF_MIN, BACK_OFF_MAX),
            flow: Flow::new(connections_max),
            worked_ms: 0,
            troubles: 0,
            hiccups: 0,
            wrongs: 0,
            doubts: 0,
            refusals: 0,
            until_ms: 0,
            reason: None,
        }
    }

    /// How many jobs may be under way now.
    #[must_use]
    pub fn allowance(&self, now_ms: u64) -> usize {
        if self.until_ms > now_ms {
            return 0;
        }
        if self.troubles > 0 {
            // One probe at a time.
            return 1;
        }
        // After a refusal, no more than the breaker still allows. Before it, what has grown
        // with so many successes may be used: a limit here would leave connections idle.
        match self.refusals {
            0 => self.flow.allowed(),
            refusals => {
                let left = self.breaker.refusals.saturating_sub(refusals);
                left.max(1).min(self.flow.allowed())
            }
        }
    }

    /// Whether it takes all that it may be given, without a sign of trouble.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        let spotless = (self.troubles, self.hiccups) == (0, 0)
            && (self.wrongs, self.doubts, self.refusals) == (0, 0, 0);
        spotless && self.worked_ms > 0 && self.flow.allowed() == self.flow.max()
    }

    /// When the destination is tried again, if it is backed off.
    #[must_use]
    pub fn next_try_ms(&self, now_ms: u64) -> Option<u64> {
        (self.until_ms > now_ms).then_some(self.until_ms)
    }

    /// Why nothing, or only one message at a time, is sent.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Jobs at once, as far as they are found out by success and strain.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The same, to give it another bound.
    pub fn flow_mut(&mut self) -> &mut Flow {
        &mut self.flow
    }

    /// Why there are fewer jobs at once than there may be, where something may be sent.
    #[must_use]
    pub fn why_fewer(&self) -> Option<&str> {
        match self.refusals {
            0 => self.flow.why(),
            _ => Some("not more than may be refused before the release stops"),
        }
    }

    /// Takes a signal. Answers the reason for which the domain must be paused, if it must.
    pub fn signal(&mut self, signal: Signal, now_ms: u64, jitter: u64) -> Option<String> {
        match signal {
            Signal::Neutral => None,
            Signal::Alive => {
                self.recover();
                None
            }
            Signal::Fine => {
                self.recover();
                self.flow.success(now_ms);
                self.worked_ms = now_ms;
                self.wrongs = 0;
                self.doubts = 0;
                self.refusals = 0;
                None
            }
            Signal::Took(took) => {
                self.flow.took(took);
                None
            }
            Signal::Strained(text) => {
                self.recover();
                self.flow.strained(&text);
                None
            }
            Signal::Farewell(text) => {
                self.flow.farewell(&text);
                None
            }
            Signal::Crowded(text) => {
                if self.flow.allowed() > 1 && now_ms.saturating_sub(self.worked_ms) < WORKS_MS {
                    self.flow.crowded(&text, now_ms);
                } else {
                    self.back_off(text, now_ms, jitter);
                }
                None
            }
            Signal::Refused { text, .. } => {
                self.recover();
                self.refusals += 1;
                let count = self.refusals;
                (count >= self.breaker.refusals)
                    .then(|| format!("{count} refused for good in a row, the last one: {text}"))
            }
            Signal::Hiccup(text) => {
                self.hiccups += 1;
                self.flow.strained(&text);
                if self.hiccups >= HICCUPS {
                    self.back_off(text, now_ms, jitter);
                }
                None
            }
            Signal::Unreachable(text) => {
                self.back_off(text, now_ms, jitter);
                None
            }
            Signal::Wrong(text) => {
                self.wrongs += 1;
                self.back_off(text.clone(), now_ms, jitter);
                (self.wrongs >= self.breaker.wrongs).then_some(text)
            }
            Signal::Itself(text) => Some(text),
            Signal::Doubt(text) => {
                self.doubts += 1;
                self.hiccups += 1;
                self.flow.strained(&text);
                if self.hiccups >= HICCUPS {
                    self.back_off(text.clone(), now_ms, jitter);
                }
                let count = self.doubts;
                (count >= self.breaker.doubts)
                    .then(|| format!("{count} messages in a row without a final reply: {text}"))
            }
        }
    }

    /// It can be reached, and answers: that much is well.
    fn recover(&mut self) {
        self.troubles = 0;
        self.hiccups = 0;
        self.until_ms = 0;
        self.reason = None;
    }

    fn back_off(&mut self, reason: String, now_ms: u64, jitter: u64) {
        self.flow.stopped(&reason);
        self.reason = Some(reason);
        // What fails together is one trouble.
        if self.until_ms > now_ms {
            return;
        }
        self.troubles = self.troubles.saturating_add(1);
        let wait = retry::wait(self.troubles, BACK_OFF_MIN, self.back_off_max, jitter);
        self.until_ms = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::reply::Phase;

    fn health() -> Health {
        let breaker = Breaker::from(&Release::default());
        Health::new(20, breaker, Duration::from_secs(1800))
    }

    fn text() -> String {
        "why".into()
    }

    fn refused() -> Signal {
        let phase = Phase::Rcpt;
        Signal::Refused {
            phase,
            text: text(),
        }
    }

    #[test]
    fn starts_with_one_and_grows() {
        let mut health = health();
        assert_eq!(health.allowance(0), 1);
        for _ in 0..50 {
            health.signal(Signal::Fine, 0, 0);
        }
        assert_eq!(health.allowance(0), 20);
        // Nine more refusals would be borne, so no more than nine at once may find out.
        health.signal(refused(), 0, 0);
        assert_eq!(health.allowance(0), 9);
        health.signal(Signal::Fine, 0, 0);
        assert_eq!(health.allowance(0), 20);
    }

    #[test]
    fn an_unreachable_destination_gets_one_probe_at_a_time() {
        let mut health = health();
        health.signal(Signal::Fine, 0, 0);
        for (now_ms, next) in [(0, 1_000), (1_000, 3_000), (3_000, 7_000)] {
            assert!(health.allowance(now_ms) >= 1);
            assert_eq!(health.signal(Signal::Unreachable(text()), now_ms, 0), None);
            // A second one that was under way does not count.
            health.signal(Signal::Unreachable(text()), now_ms + 1, 0);
            assert_eq!(health.next_try_ms(now_ms + 1), Some(next));
            assert_eq!(health.allowance(next - 1), 0);
            assert_eq!(health.allowance(next), 1);
            assert_eq!(health.reason(), Some("why"));
        }
        health.signal(Signal::Fine, 7_000, 0);
        assert_eq!((health.reason(), health.next_try_ms(7_000)), (None, None));
    }

    #[test]
    fn time_outs_and_refusals_for_now_lower_what_successes_have_raised() {
        let mut health = health();
        (0..19).for_each(|_| drop(health.signal(Signal::Fine, 0, 0)));
        assert_eq!(health.allowance(0), 20);
        for signal in [
            Signal::Hiccup(text()),
            Signal::Strained(text()),
            Signal::Doubt(text()),
        ] {
            let before = health.allowance(0);
            assert_eq!(health.signal(signal.clone(), 0, 0), None);
            let fewer = health.allowance(0);
            assert!(fewer < before, "{signal:?}: {before} and then {fewer}");
            assert_eq!(health.why_fewer(), Some("why"));
            // Those that were under way.
            (0..before).for_each(|_| drop(health.signal(Signal::Fine, 0, 0)));
        }
        (0..200).for_each(|_| drop(health.signal(Signal::Fine, 0, 0)));
        assert_eq!((health.allowance(0), health.why_fewer()), (20, None));
    }

    #[test]
    fn a_full_server_goes_on_and_one_that_lets_nobody_in_is_backed_off() {
        let mut health = health();
        (0..5).for_each(|_| drop(health.signal(Signal::Fine, 1_000, 0)));
        health.signal(Signal::Crowded(text()), 2_000, 0);
        assert_eq!((health.allowance(2_000), health.reason()), (5, None));
        // Nothing was taken for long, or never: there are no others.
        health.signal(Signal::Crowded(text()), 100_000, 0);
        assert_eq!(health.allowance(100_000), 0);
        assert_eq!(health.reason(), Some("why"));
    }

    #[test]
    fn refusals_in_a_row_break() {
        let mut health = health();
        for _ in 0..9 {
            assert_eq!(health.signal(refused(), 0, 0), None);
        }
        assert_eq!(health.allowance(0), 1, "no more than may still be refused");
        health.signal(Signal::Fine, 0, 0);
        for _ in 0..9 {
            assert_eq!(health.signal(refused(), 0, 0), None);
        }
        assert!(
            health
                .signal(refused(), 0, 0)
                .unwrap()
                .contains("10 refused")
        );
    }

    #[test]
    fn a_wrong_destination_breaks_after_a_few() {
        let mut health = health();
        let mut tell = |signal: Signal| health.signal(signal, 0, 0);
        assert_eq!(tell(Signal::Wrong(text())), None);
        assert_eq!(tell(Signal::Wrong(text())), None);
        assert!(tell(Signal::Wrong(text())).is_some());
        assert!(tell(Signal::Itself(text())).is_some());
    }

    #[test]
    fn messages_that_vanish_break_after_a_few() {
        let mut health = health();
        for _ in 0..4 {
            assert_eq!(health.signal(Signal::Doubt(text()), 0, 0), None);
        }
        assert!(health.signal(Signal::Doubt(text()), 0, 0).is_some());
    }
}
