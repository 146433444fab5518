//! How many messages a destination is given at once, found out as TCP finds out what a line
//! carries (RFC 5681): one more with each success at first, later one more with each round
//! of them, and fewer at every sign of strain. Pure: the time is passed in.

use super::latency::{Latency, Risen};
use std::time::Duration;

/// After a sign of strain this share is left.
const LEFT: (usize, usize) = (4, 5);
/// A destination that took no further connection is asked for one again after this long,
/// then after twice as long, and so on.
const FULL_MIN_MS: u64 = 30_000;
const FULL_MAX_MS: u64 = 600_000;

/// See the [module](self).
#[derive(Debug)]
pub struct Flow {
    max: usize,
    allowed: usize,
    /// Below it each success adds one, from it on each round of successes.
    threshold: usize,
    /// Successes since one was added.
    successes: usize,
    /// Results to come of what was under way at the last step down, which answers for them
    /// too.
    answered: usize,
    full: Option<Full>,
    latency: Latency,
    why: Option<String>,
}

/// A destination that took so many connections, and no more.
#[derive(Clone, Copy, Debug)]
struct Full {
    took: usize,
    /// Not before, milliseconds since 1970.
    until_ms: u64,
    wait_ms: u64,
}

impl Flow {
    /// Begins with one, so that a wrong destination meets a few messages and not as many as
    /// there may be connections.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            allowed: 1,
            threshold: usize::MAX,
            successes: 0,
            answered: 0,
            full: None,
            latency: Latency::default(),
            why: None,
        }
    }

    /// Another bound.
    pub fn at_most(&mut self, max: usize) {
        self.max = max.max(1);
        self.allowed = self.allowed.min(self.max);
        self.forgive();
    }

    /// How many at once.
    #[must_use]
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// How many there may be at most.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Why there are fewer than there were, or may be; nothing when there is no reason.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// A message was taken.
    pub fn success(&mut self, now_ms: u64) {
        if self.answered > 0 {
            self.answered -= 1;
            return;
        }
        let full = self.full.filter(|full| now_ms < full.until_ms);
        if self.allowed >= full.map_or(self.max, |full| full.took.min(self.max)) {
            return;
        }
        self.successes += 1;
        let round = match self.allowed < self.threshold {
            true => 1,
            false => self.allowed,
        };
        if self.successes >= round {
            self.successes = 0;
            self.allowed += 1;
            self.forgive();
        }
    }

    /// A short message took so long.
    pub fn took(&mut self, took: Duration) {
        if let Some(Risen { lately, usually }) = self.latency.add(took) {
            let (lately, usually) = (words(lately), words(usually));
            self.strained(&format!(
                "a message takes {lately}, and took {usually} before"
            ));
        }
    }

    /// It shows strain: a refusal for now that is not about a mailbox, a time-out.
    pub fn strained(&mut self, why: &str) {
        if self.answered > 0 {
            return;
        }
        self.answered = self.allowed;
        self.fewer(self.allowed * LEFT.0 / LEFT.1, why);
    }

    /// It has closed a connection over which it had taken something. That may be its way
    /// after so many messages.
    pub fn farewell(&mut self, why: &str) {
        self.fewer(self.allowed.saturating_sub(1), why);
    }

    /// It takes no further connection while it goes on over those that there are.
    pub fn crowded(&mut self, why: &str, now_ms: u64) {
        self.fewer(self.allowed.saturating_sub(1), why);
        let wait_ms = match self.full {
            // One of those that were tried together.
            Some(full) if now_ms < full.until_ms => full.wait_ms,
            Some(full) => (2 * full.wait_ms).min(FULL_MAX_MS),
            None => FULL_MIN_MS,
        };
        self.full = Some(Full {
            took: self.allowed,
            until_ms: now_ms.saturating_add(wait_ms),
            wait_ms,
        });
    }

    /// It takes nothing at all.
    pub fn stopped(&mut self, why: &str) {
        if self.allowed > 1 {
            self.threshold = self.allowed / 2;
        }
        self.allowed = 1;
        self.successes = 0;
        self.answered = 0;
        self.why = Some(why.to_owned());
    }

    fn fewer(&mut self, left: usize, why: &str) {
        self.allowed = left.max(1);
        self.threshold = self.allowed;
        self.successes = 0;
        self.why = Some(why.to_owned());
    }

    /// With all that there may be nothing is left to be remembered.
    fn forgive(&mut self) {
        if self.allowed >= self.max {
            self.threshold = usize::MAX;
            self.full = None;
            self.why = None;
        }
    }
}

/// `300 ms`, `1.2 s`
fn words(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1000 => format!("{ms} ms"),
        _ => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With all its connections.
    fn grown() -> Flow {
        let mut flow = Flow::new(20);
        (0..19).for_each(|_| flow.success(0));
        assert_eq!((flow.allowed(), flow.why()), (20, None));
        flow
    }

    fn successes(flow: &mut Flow, count: usize) -> usize {
        (0..count).for_each(|_| flow.success(0));
        flow.allowed()
    }

    #[test]
    fn strain_takes_a_fifth_once_a_round_and_success_gives_back_one_a_round() {
        let mut flow = grown();
        flow.strained("421 busy");
        assert_eq!((flow.allowed(), flow.why()), (16, Some("421 busy")));
        flow.strained("the same trouble");
        assert_eq!(flow.allowed(), 16, "it was under way by then");
        assert_eq!(successes(&mut flow, 20), 16, "so were these");
        assert_eq!(successes(&mut flow, 16), 17);
        assert_eq!(successes(&mut flow, 17 + 18), 19);
        assert_eq!(flow.why(), Some("421 busy"));
        assert_eq!(successes(&mut flow, 19), 20);
        assert_eq!(flow.why(), None, "all is well again");
    }

    #[test]
    fn there_is_always_one() {
        let mut flow = grown();
        for _ in 0..100 {
            flow.strained("no");
            successes(&mut flow, 20);
            flow.farewell("no");
        }
        assert!((1..20).contains(&flow.allowed()));
        (0..100).for_each(|_| flow.farewell("no"));
        assert_eq!(flow.allowed(), 1);
    }

    #[test]
    fn a_server_that_closes_after_a_hundred_messages_is_hardly_slowed() {
        let mut flow = grown();
        for _ in 0..50 {
            successes(&mut flow, 100);
            flow.farewell("421 enough");
        }
        assert!(flow.allowed() >= 18, "{}", flow.allowed());
    }

    #[test]
    fn rising_latency_slows_it_down_and_says_so() {
        let mut flow = grown();
        for _ in 0..100 {
            flow.took(Duration::from_millis(300));
            flow.success(0);
        }
        assert_eq!(flow.allowed(), 20);
        for _ in 0..60 {
            flow.took(Duration::from_millis(2_500));
            flow.success(0);
        }
        assert!(flow.allowed() <= 13, "{}", flow.allowed());
        let why = flow.why().unwrap().to_owned();
        assert!(why.starts_with("a message takes "), "{why}");
        assert!(why.contains(" s, and took "), "{why}");
        for _ in 0..500 {
            flow.took(Duration::from_millis(300));
            flow.success(0);
        }
        assert_eq!((flow.allowed(), flow.why()), (20, None));
    }

    #[test]
    fn a_server_that_is_full_is_left_as_full_as_it_is() {
        let mut flow = Flow::new(20);
        successes(&mut flow, 11);
        flow.crowded("421 too many connections", 0);
        flow.crowded("421 too many connections", 1);
        assert_eq!(flow.allowed(), 10);
        assert_eq!(successes(&mut flow, 1_000), 10, "within 30 s");
        (0..10).for_each(|_| flow.success(30_001));
        assert_eq!(flow.allowed(), 11, "one more is tried");
        flow.crowded("421 too many connections", 31_000);
        for _ in 0..1_000 {
            flow.success(90_000);
        }
        assert_eq!(flow.allowed(), 10, "within 60 s");
    }

    #[test]
    fn a_stop_halves_what_comes_back_fast() {
        let mut flow = grown();
        flow.stopped("down");
        flow.stopped("down");
        assert_eq!(flow.allowed(), 1);
        assert_eq!(successes(&mut flow, 9), 10);
        assert_eq!(successes(&mut flow, 9), 10);
        assert_eq!(successes(&mut flow, 1), 11);
    }

    #[test]
    fn the_bound_can_be_moved() {
        let mut flow = grown();
        flow.at_most(5);
        assert_eq!(successes(&mut flow, 50), 5);
        flow.at_most(8);
        assert_eq!(successes(&mut flow, 3), 8);
        flow.at_most(0);
        assert_eq!(flow.allowed(), 1);
    }
}
