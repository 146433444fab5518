//! Sets of UIDs.

use std::fmt;

/// A set of UIDs, as ascending ranges.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UidSet {
    /// Ascending, apart by more than one.
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// The empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From `first` to `last`, both in it; empty when they are the wrong way round.
    #[must_use]
    pub fn range(first: u32, last: u32) -> Self {
        let ranges = if first <= last {
            vec![(first, last)]
        } else {
            Vec::new()
        };
        Self { ranges }
    }

    /// From a sequence set of the wire: `1,5:7,9`. Nothing for `*`, 0 or rubbish.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            ranges.push((first.min(last), first.max(last)));
        }
        Some(Self::from_ranges(ranges))
    }

    fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut set = Self::new();
        for (first, last) in ranges {
            set.push(first, last);
        }
        set
    }

    /// Adds a range that begins at or behind the beginning of the last one.
    fn push(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// Adds a UID; quick when UIDs come in rising order.
    pub fn insert(&mut self, uid: u32) {
        if self.ranges.last().is_none_or(|end| uid >= end.0) {
            self.push(uid, uid);
        } else {
            self.extend(&Self::range(uid, uid));
        }
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Self) {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.extend_from_slice(&other.ranges);
        *self = Self::from_ranges(ranges);
    }

    /// How many UIDs.
    #[must_use]
    pub fn len(&self) -> u64 {
        (self.ranges.iter())
            .map(|(first, last)| u64::from(last - first) + 1)
            .sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether this UID is in it.
    #[must_use]
    pub fn contains(&self, uid: u32) -> bool {
        let behind = self.ranges.partition_point(|range| range.0 <= uid);
        behind
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|range| uid <= range.1)
    }

    /// Those from first to last, both included.
    #[must_use]
    pub fn within(&self, first: u32, last: u32) -> Self {
        let ranges = self
            .ranges
            .iter()
            .map(|range| (range.0.max(first), range.1.min(last)));
        Self {
            ranges: ranges.filter(|range| range.0 <= range.1).collect(),
        }
    }

    /// The UIDs, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The ranges, rising.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.ranges.iter().copied()
    }

    /// Cut into sets whose text has at most this many bytes (and one range at least) and at
    /// most this many UIDs.
    #[must_use]
    pub fn chunks(&self, text_bytes: usize, uids: u32) -> Vec<Self> {
        let (mut all, mut now, mut text, mut count) = (Vec::new(), Self::new(), 0, 0);
        for (mut first, last) in self.ranges() {
            loop {
                let room = uids.max(1) - count;
                let end = last.min(first.saturating_add(room - 1));
                // Two numbers of ten digits, a colon and a comma at most.
                let more = if first == end { 11 } else { 22 };
                if text > 0 && text + more > text_bytes {
                    all.push(std::mem::take(&mut now));
                    (text, count) = (0, 0);
                    continue;
                }
                now.push(first, end);
                text += more;
                count += end - first + 1;
                if count >= uids.max(1) {
                    all.push(std::mem::take(&mut now));
                    (text, count) = (0, 0);
                }
                match end.checked_add(1) {
                    Some(next) if next <= last => first = next,
                    _ => break,
                }
            }
        }
        if !now.is_empty() {
            all.push(now);
        }
        all
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid, uid)).collect())
    }
}

/// As on the wire.
impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}:{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A number from 1 to 2³² - 1 (RFC 9051 §9, nz-number).
fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_and_write() {
        let set = UidSet::parse(b"7:5,1,2,9").unwrap();
        assert_eq!(set.to_string(), "1:2,5:7,9");
        assert_eq!(set.len(), 6);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 2, 5, 6, 7, 9]);
        assert!(set.contains(6) && !set.contains(8) && !set.contains(3) && !set.contains(10));
        for wrong in [
            "",
            "*",
            "1:*",
            "0",
            "1,,2",
            "+1",
            "-1",
            "1:2:3",
            "4294967296",
        ] {
            assert_eq!(UidSet::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(UidSet::range(u32::MAX, u32::MAX).len(), 1);
        assert_eq!(set.within(2, 6).to_string(), "2,5:6");
        assert!(set.within(3, 4).is_empty());
    }

    #[test]
    fn chunks_are_the_whole_in_bounds() {
        let set: UidSet = (1..2000).filter(|uid| uid % 3 != 0).collect();
        for (bytes, uids) in [(100, 1000), (1, 1), (4000, 7), (100_000, u32::MAX)] {
            let chunks = set.chunks(bytes, uids);
            let mut again = UidSet::new();
            for chunk in &chunks {
                assert!(chunk.len() <= u64::from(uids));
                assert!(chunk.to_string().len() <= bytes.max(22));
                again.extend(chunk);
            }
            assert_eq!(again, set);
        }
        let all = UidSet::range(1, u32::MAX);
        assert_eq!(all.chunks(100, u32::MAX).len(), 1);
    }
}
