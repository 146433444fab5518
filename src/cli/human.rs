//! Numbers, times and texts as a person reads them. Every other place prints with these.

use crate::control::view::NULL_SENDER;
use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

/// `1,284`
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 message`, `1,284 messages`
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `311 MB`, `4.1 kB`, `17 B`: decimal, as disks are sold and tools of today print.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    let Some((unit, name)) = unit else {
        return format!("{bytes} B");
    };
    let tenths = bytes / (unit / 10);
    if tenths >= 100 {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// `45 s`, `14 min`, `2 h 14 min`, `3 d 2 h`: two units at most.
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large} {unit}")
        } else {
            format!("{large} {unit} {small} {small_unit}")
        }
    };
    if days > 0 {
        two(days, "d", hours % 24, "h")
    } else if hours > 0 {
        two(hours, "h", minutes % 60, "min")
    } else if minutes > 0 {
        two(minutes, "min", 0, "")
    } else {
        two(seconds, "s", 0, "")
    }
}

/// `02:14:07`, `3 d 02:14:07`: for clocks that run.
#[must_use]
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    let days = seconds / 86_400;
    let time = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    if days > 0 {
        format!("{days} d {time}")
    } else {
        time
    }
}

/// `18/s`, `9.6/min`: `per_min` in the unit that keeps it readable.
#[must_use]
pub fn rate(per_min: f64) -> String {
    if per_min >= 600.0 {
        format!("{:.0}/s", per_min / 60.0)
    } else {
        format!("{per_min:.1}/min")
    }
}

/// `97.8%`; nothing of nothing. Only all of it is 100%.
#[must_use]
pub fn percent(done: u64, total: u64) -> Option<String> {
    let per_mille = done.saturating_mul(1000).checked_div(total)?;
    Some(format!("{}.{}%", per_mille / 10, per_mille % 10))
}

/// `2026-11-23 10:00:01` in this host's time zone.
#[must_use]
pub fn time(unix_ms: u64) -> String {
    local(unix_ms).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time in this host's time zone.
#[must_use]
pub fn local(unix_ms: u64) -> ZonedDateTime {
    zoned(unix_ms, TimeZone::system())
}

/// The time in a time zone; what lies beyond the calendar becomes 1970.
#[must_use]
pub fn zoned(unix_ms: u64, zone: TimeZone) -> ZonedDateTime {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned_datetime(zone)
}

/// `text` in one line that cannot steer a terminal: replies come from strangers.
#[must_use]
pub fn printable(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let line = lines.join(" ");
    line.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// A sender as SMTP writes it: `<>` for the null sender.
#[must_use]
pub fn sender(sender: &str) -> String {
    if sender == NULL_SENDER {
        "<>".into()
    } else {
        printable(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands() {
        let texts = [0, 7, 999, 1_000, 1_284, 1_902_114].map(count);
        assert_eq!(texts, ["0", "7", "999", "1,000", "1,284", "1,902,114"]);
        assert_eq!(counted(1, "message", "messages"), "1 message");
        assert_eq!(counted(0, "message", "messages"), "0 messages");
    }

    #[test]
    fn sizes_have_units() {
        let texts = [0, 999, 1_000, 4_096, 99_999, 311_000_000, 2_500_000_000].map(size);
        let expected = [
            "0 B", "999 B", "1.0 kB", "4.0 kB", "99 kB", "311 MB", "2.5 GB",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn times_have_units() {
        let second = 1000;
        let texts = [0, 45, 14 * 60, 8_047, 7_200, 266_400].map(|s| duration(s * second));
        assert_eq!(
            texts,
            ["0 s", "45 s", "14 min", "2 h 14 min", "2 h", "3 d 2 h"]
        );
        assert_eq!(clock(8_047 * second), "02:14:07");
        assert_eq!(clock(86_400 * second), "1 d 00:00:00");
        assert_eq!(
            (rate(9.6), rate(1_080.0)),
            ("9.6/min".into(), "18/s".into())
        );
    }

    #[test]
    fn a_hundred_percent_is_all() {
        assert_eq!(percent(1_999, 2_000).as_deref(), Some("99.9%"));
        assert_eq!(percent(2_000, 2_000).as_deref(), Some("100.0%"));
        assert_eq!(percent(0, 0), None);
    }

    #[test]
    fn a_stranger_cannot_steer_the_terminal() {
        assert_eq!(printable("250-a\r\n250 \u{1b}[2Jb"), "250-a 250 ?[2Jb");
    }
}
