//! How fast mail came and went, from the log, in bounded memory.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Minutes that are counted apart: 70 days. Later ones are counted with the last.
const MINUTES_MAX: usize = 100_000;
/// Columns of the plot.
const COLUMNS: u64 = 96;
const MINUTE_MS: u64 = 60_000;

/// How fast it went. Deliveries are counted, a message once for each recipient.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Speeds {
    /// What came.
    pub arrived: Flow,
    /// What the new server took.
    pub delivered: Flow,
    /// How long the half of what was delivered had been here, in milliseconds; within a fifth.
    pub waited_median_ms: u64,
    /// How long all but a twentieth had been here.
    pub waited_p95_ms: u64,
    /// Deliveries that were deferred at least once and then taken.
    pub deferred_then_delivered: u64,
    /// Both over the whole time.
    pub plot: Plot,
}

/// Mail in one direction.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// Deliveries.
    pub deliveries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first was.
    pub first_ms: Option<u64>,
    /// When the last was.
    pub last_ms: Option<u64>,
    /// Deliveries in the busiest minute.
    pub busiest_per_min: u64,
    /// When that minute began.
    pub busiest_ms: Option<u64>,
}

/// Deliveries in each of some equal parts of the time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plot {
    /// When the first part begins.
    pub from_ms: u64,
    /// How long each is.
    pub step_ms: u64,
    /// What came.
    pub arrived: Vec<u64>,
    /// What the new server took.
    pub delivered: Vec<u64>,
}

/// Counts as mail is walked over.
#[derive(Debug, Default)]
pub struct Clockwork {
    speeds: Speeds,
    minutes: BTreeMap<u64, [u64; 2]>,
    waited: Waited,
}

impl Clockwork {
    /// A delivery arrived.
    pub fn arrived(&mut self, at_ms: u64, bytes: u64) {
        self.speeds.arrived.count(at_ms, bytes);
        let [arrived, _] = self.minute(at_ms);
        *arrived += 1;
    }

    /// A delivery was taken by the new server.
    pub fn delivered(&mut self, arrived_ms: u64, at_ms: u64, bytes: u64, was_deferred: bool) {
        self.speeds.delivered.count(at_ms, bytes);
        self.speeds.deferred_then_delivered += u64::from(was_deferred);
        self.waited.add(at_ms.saturating_sub(arrived_ms));
        let [_, delivered] = self.minute(at_ms);
        *delivered += 1;
    }

    fn minute(&mut self, at_ms: u64) -> &mut [u64; 2] {
        let mut minute = at_ms / MINUTE_MS;
        if self.minutes.len() >= MINUTES_MAX
            && !self.minutes.contains_key(&minute)
            && let Some((last, _)) = self.minutes.last_key_value()
        {
            minute = *last;
        }
        self.minutes.entry(minute).or_default()
    }

    /// The figures.
    #[must_use]
    pub fn finish(mut self) -> Speeds {
        let busiest = |place: usize| {
            let count = |counts: &[u64; 2]| counts.get(place).copied().unwrap_or(0);
            let all = self
                .minutes
                .iter()
                .map(|(minute, counts)| (count(counts), *minute));
            all.max_by_key(|(count, minute)| (*count, u64::MAX - minute))
        };
        let found = [busiest(0), busiest(1)];
        for (flow, found) in [&mut self.speeds.arrived, &mut self.speeds.delivered]
            .into_iter()
            .zip(found)
        {
            if let Some((count, minute)) = found.filter(|(count, _)| *count > 0) {
                flow.busiest_per_min = count;
                flow.busiest_ms = Some(minute * MINUTE_MS);
            }
        }
        self.speeds.waited_median_ms = self.waited.below(50);
        self.speeds.waited_p95_ms = self.waited.below(95);
        self.speeds.plot = plot(&self.minutes);
        self.speeds
    }
}

impl Flow {
    fn count(&mut self, at_ms: u64, bytes: u64) {
        self.deliveries += 1;
        self.bytes += bytes;
        self.first_ms = Some(self.first_ms.map_or(at_ms, |first| first.min(at_ms)));
        self.last_ms = self.last_ms.max(Some(at_ms));
    }
}

fn plot(minutes: &BTreeMap<u64, [u64; 2]>) -> Plot {
    let (Some((first, _)), Some((last, _))) = (minutes.first_key_value(), minutes.last_key_value())
    else {
        return Plot::default();
    };
    let step = (last - first + 1).div_ceil(COLUMNS).max(1);
    let columns = usize::try_from((last - first) / step + 1).unwrap_or(1);
    let mut plot = Plot {
        from_ms: first * MINUTE_MS,
        step_ms: step * MINUTE_MS,
        arrived: vec![0; columns],
        delivered: vec![0; columns],
    };
    for (minute, [arrived, delivered]) in minutes {
        let column = usize::try_from((minute - first) / step).unwrap_or(0);
        if let (Some(a), Some(d)) = (plot.arrived.get_mut(column), plot.delivered.get_mut(column)) {
            *a += arrived;
            *d += delivered;
        }
    }
    plot
}

/// Times by their size, each within a fifth: a step is the fourth root of 2.
#[derive(Debug, Default)]
struct Waited {
    counts: BTreeMap<u32, u64>,
    all: u64,
}

impl Waited {
    fn add(&mut self, ms: u64) {
        *self.counts.entry(step_of(ms)).or_default() += 1;
        self.all += 1;
    }

    /// So many of a hundred were at most this long.
    fn below(&self, percent: u64) -> u64 {
        let wanted = (self.all * percent).div_ceil(100);
        let mut seen = 0;
        for (step, count) in &self.counts {
            seen += count;
            if seen >= wanted && wanted > 0 {
                return end_of(*step);
            }
        }
        0
    }
}

/// Four steps for each doubling.
fn step_of(ms: u64) -> u32 {
    let mut step = 0;
    while end_of(step) < ms {
        step += 1;
    }
    step
}

fn end_of(step: u32) -> u64 {
    // 2^(n/4) in thousandths.
    let fraction = match step % 4 {
        0 => 1_000,
        1 => 1_189,
        2 => 1_414,
        _ => 1_682,
    };
    let whole: u64 = 1_u64.checked_shl(step / 4).unwrap_or(u64::MAX);
    match whole.checked_mul(fraction) {
        Some(thousandths) => thousandths / 1_000,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_of_a_cutover() {
        let mut clockwork = Clockwork::default();
        let start = 1_000 * MINUTE_MS;
        for minute in 0..300_u64 {
            clockwork.arrived(start + minute * MINUTE_MS, 100);
        }
        let end = start + 300 * MINUTE_MS;
        for minute in 0..300_u64 {
            clockwork.delivered(start + minute * MINUTE_MS, end + minute, 100, minute == 7);
        }
        let speeds = clockwork.finish();
        assert_eq!(
            (speeds.arrived.deliveries, speeds.arrived.bytes),
            (300, 30_000)
        );
        assert_eq!(speeds.arrived.busiest_per_min, 1);
        assert_eq!(speeds.arrived.busiest_ms, Some(start));
        assert_eq!(speeds.delivered.busiest_per_min, 300);
        assert_eq!(speeds.delivered.last_ms, Some(end + 299));
        assert_eq!(speeds.deferred_then_delivered, 1);
        let median = 150 * MINUTE_MS;
        assert!((median..median * 6 / 5).contains(&speeds.waited_median_ms));
        assert!(speeds.waited_p95_ms >= 285 * MINUTE_MS);
        let plot = &speeds.plot;
        assert_eq!(plot.arrived.iter().sum::<u64>(), 300);
        assert_eq!(plot.delivered.last(), Some(&300));
        assert!(plot.arrived.len() <= 96 && plot.from_ms == start);
    }

    #[test]
    fn nothing_is_no_speed() {
        let speeds = Clockwork::default().finish();
        assert_eq!(speeds, Speeds::default());
        assert_eq!(step_of(0), 0);
        assert!(end_of(step_of(u64::MAX)) == u64::MAX);
    }
}
