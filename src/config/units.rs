//! Sizes and durations as people write them: "50 MiB", "10 MB", "7d", "1h 30m".
//!
//! Both directions, and exact: what is displayed parses to the same value. Numbers are
//! whole; a fraction is refused rather than rounded.

use std::{fmt::Write as _, time::Duration};

/// Why a text is no size or no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Nothing there, or no number where one belongs.
    #[error("{text:?} has no whole number where one belongs; write {example}")]
    NoNumber {
        /// What was written.
        text: String,
        /// What would be right.
        example: &'static str,
    },
    /// A number without a unit where the unit is not obvious.
    #[error("{text:?} has no unit; write {example}")]
    NoUnit {
        /// What was written.
        text: String,
        /// What would be right.
        example: &'static str,
    },
    /// A unit that is not known.
    #[error("unknown unit {unit:?}; allowed are {allowed}")]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// The known ones.
        allowed: &'static str,
    },
    /// "30m 1h", "5m 5m".
    #[error("units must go from long to short, each once, as in \"1h 30m\"")]
    Order,
    /// More than 64 bits hold.
    #[error("{text:?} is too large to be counted")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

/// From large to small, so that the first that divides a size is the shortest to write.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];
const SIZE_ALLOWED: &str = "B, kB, KiB, MB, MiB, GB, GiB, TB, TiB";
const SIZE_EXAMPLE: &str = "\"50 MiB\", \"10 MB\" or bytes";

/// From long to short, in milliseconds.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const DURATION_ALLOWED: &str = "w, d, h, m, s, ms";
const DURATION_EXAMPLE: &str = "\"7d\", \"5m\", \"30s\" or \"1h 30m\"";

/// Parses a size into bytes. A number alone is bytes; the unit's case does not matter.
///
/// # Errors
/// [`UnitError`] when it is no whole number, has an unknown unit or exceeds 64 bits.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = number_and_rest(text.trim(), SIZE_EXAMPLE)?;
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        1
    } else {
        SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor)
            .ok_or_else(|| UnitError::UnknownUnit {
                unit: excerpt(unit),
                allowed: SIZE_ALLOWED,
            })?
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| too_large(text.trim()))
}

/// Displays bytes with the largest unit that divides them: `50 MiB`, `10 MB`, `1025 B`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
        .map_or_else(
            || format!("{bytes} B"),
            |(name, factor)| format!("{} {name}", bytes / factor),
        )
}

/// Parses a duration: one or more numbers with units from long to short. "0" needs no unit.
///
/// # Errors
/// [`UnitError`] when a number or a unit is missing or unknown, the order is wrong, or the
/// sum exceeds 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut shorter = DURATION_UNITS;
    let mut total_ms: u64 = 0;
    loop {
        let (number, tail) = number_and_rest(rest, DURATION_EXAMPLE)?;
        let tail = tail.trim_start();
        let end = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor_ms = take_unit(text, unit, &mut shorter)?;
        total_ms = number
            .checked_mul(factor_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(|| too_large(text))?;
        rest = tail.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_millis(total_ms));
        }
    }
}

/// Displays a duration to the millisecond, which is what configurations hold: `7d`,
/// `1h 30m`, `500ms`, `0s`. Weeks are shown as days.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, factor) in DURATION_UNITS.iter().skip(1) {
        let count = rest_ms / factor;
        rest_ms %= factor;
        if count > 0 {
            let gap = if text.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{gap}{count}{name}");
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// Finds `unit` among the units shorter than the last one, and leaves what is shorter still.
fn take_unit(
    text: &str,
    unit: &str,
    shorter: &mut &'static [(&'static str, u64)],
) -> Result<u64, UnitError> {
    if unit.is_empty() {
        return Err(UnitError::NoUnit {
            text: excerpt(text),
            example: DURATION_EXAMPLE,
        });
    }
    let mut units = shorter.iter();
    if let Some((_, factor_ms)) = units.find(|(name, _)| *name == unit) {
        *shorter = units.as_slice();
        return Ok(*factor_ms);
    }
    if DURATION_UNITS.iter().any(|(name, _)| *name == unit) {
        return Err(UnitError::Order);
    }
    Err(UnitError::UnknownUnit {
        unit: excerpt(unit),
        allowed: DURATION_ALLOWED,
    })
}

fn number_and_rest<'t>(text: &'t str, example: &'static str) -> Result<(u64, &'t str), UnitError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || rest.starts_with(['.', ',']) {
        return Err(UnitError::NoNumber {
            text: excerpt(text),
            example,
        });
    }
    let number = digits.parse().map_err(|_| too_large(text))?;
    Ok((number, rest))
}

fn too_large(text: &str) -> UnitError {
    UnitError::TooLarge {
        text: excerpt(text),
    }
}

/// Enough of a text to be recognised, however long it is.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("1024 B", 1024),
            ("50 MiB", 50 << 20),
            ("50MiB", 50 << 20),
            ("50 mib", 50 << 20),
            ("10 MB", 10_000_000),
            ("1 kB", 1000),
            (" 2 GiB ", 2 << 30),
            ("3 TB", 3_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn bad_sizes_say_what_is_wrong() {
        for (text, says) in [
            ("", "no whole number"),
            ("MiB", "no whole number"),
            ("-1", "no whole number"),
            ("1.5 GiB", "no whole number"),
            ("5 M", "unknown unit \"M\"; allowed are B, kB"),
            ("5 MiB 3", "unknown unit"),
            ("99999999999999999999", "too large"),
            ("20000000 TiB", "too large"),
        ] {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (1000, "1 kB"),
            (1024, "1 KiB"),
            (1025, "1025 B"),
            (50 << 20, "50 MiB"),
            (10_000_000, "10 MB"),
            (2 << 30, "2 GiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("1d 2h 3m 4s 5ms", 93_784_005),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn bad_durations_say_what_is_wrong() {
        for (text, says) in [
            ("", "no whole number"),
            ("s", "no whole number"),
            ("-5s", "no whole number"),
            ("1.5h", "no whole number"),
            ("30", "no unit; write \"7d\""),
            ("1h 30", "no unit"),
            ("5 minutes", "unknown unit \"minutes\"; allowed are w, d"),
            ("30m 1h", "from long to short"),
            ("5m 5m", "from long to short"),
            ("99999999999999999999s", "too large"),
            ("1000000000000000000d", "too large"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn durations_are_shown_short() {
        for (ms, text) in [
            (0, "0s"),
            (500, "500ms"),
            (30_000, "30s"),
            (5_400_000, "1h 30m"),
            (7 * 86_400_000, "7d"),
            (90 * 86_400_000, "90d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes: u64, ms: u64) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_answered(text: String) {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
