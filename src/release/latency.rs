//! Whether a destination takes longer over a message than it used to: what it takes lately
//! beside what it takes as a rule. Pure: it is given durations.

use std::time::Duration;

/// One part in so many of each new value goes into what is taken lately...
const LATELY: i64 = 16;
/// ...and into what is usual. It falls as fast as the other, so that it is a low mark and no
/// average over good and bad times.
const USUALLY: i64 = 256;
/// How often the usual is too long...
const TIMES: i64 = 2;
/// ...and by how much more: what is gone before anybody notices is not looked at.
const MARGIN_US: i64 = 100_000;
/// One that takes very long among others that do not is a message of its own kind.
const STRAY_TIMES: i64 = 4;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Microseconds; nothing before the first.
    means: Option<Means>,
}

#[derive(Clone, Copy, Debug)]
struct Means {
    lately_us: i64,
    usually_us: i64,
}

/// It takes too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Risen {
    /// What a message takes lately.
    pub lately: Duration,
    /// What it took before.
    pub usually: Duration,
}

impl Latency {
    /// Takes how long a message took. What takes longer for good becomes the usual with time.
    pub fn add(&mut self, took: Duration) -> Option<Risen> {
        let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX / 1024);
        let means = self.means.get_or_insert(Means {
            lately_us: took_us,
            usually_us: took_us,
        });
        let took_us = took_us.min(STRAY_TIMES * (means.lately_us + MARGIN_US));
        means.lately_us += (took_us - means.lately_us) / LATELY;
        let away_us = means.lately_us - means.usually_us;
        means.usually_us += away_us / if away_us < 0 { LATELY } else { USUALLY };
        let most_us = TIMES * means.usually_us + MARGIN_US;
        (means.lately_us > most_us).then(|| Risen {
            lately: micros(means.lately_us),
            usually: micros(means.usually_us),
        })
    }
}

fn micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(latency: &mut Latency, ms: u64, times: usize) -> Option<Risen> {
        let took = Duration::from_millis(ms);
        (0..times).map(|_| latency.add(took)).last().flatten()
    }

    #[test]
    fn what_stays_as_it_is_has_not_risen() {
        for ms in [0, 1, 80, 5_000] {
            let mut latency = Latency::default();
            for _ in 0..1_000 {
                assert_eq!(after(&mut latency, ms, 1), None, "{ms}");
            }
        }
    }

    #[test]
    fn what_nobody_notices_does_not_matter() {
        let mut latency = Latency::default();
        after(&mut latency, 1, 100);
        assert_eq!(after(&mut latency, 90, 1_000), None);
    }

    #[test]
    fn a_rise_is_noticed_within_a_few_messages_and_passes() {
        let mut latency = Latency::default();
        after(&mut latency, 200, 100);
        assert_eq!(after(&mut latency, 1_500, 2), None, "two may be chance");
        let risen = after(&mut latency, 1_500, 10).unwrap();
        assert!(risen.lately > Duration::from_millis(500), "{risen:?}");
        assert!(risen.usually < Duration::from_millis(250), "{risen:?}");
        assert_eq!(after(&mut latency, 200, 40), None, "it is over");
    }

    #[test]
    fn one_stray_message_is_no_rise() {
        let mut latency = Latency::default();
        after(&mut latency, 200, 100);
        assert_eq!(after(&mut latency, 60_000, 1), None);
        for _ in 0..100 {
            assert_eq!(after(&mut latency, 200, 1), None);
        }
    }

    #[test]
    fn what_is_slower_for_good_becomes_the_usual() {
        let mut latency = Latency::default();
        after(&mut latency, 200, 100);
        assert!(after(&mut latency, 1_000, 50).is_some());
        assert_eq!(after(&mut latency, 1_000, 500), None);
    }
}
