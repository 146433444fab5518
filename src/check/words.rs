//! Numbers, lists and times, for people.

use std::time::Duration;

/// `a, b, c and 9 more`
pub(super) fn listed(items: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown = items.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>();
    let text = shown.join(", ");
    match items.len().saturating_sub(SHOWN_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// `1 account`, `2 accounts`
pub(super) fn counted(count: usize, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {one}{end}")
}

/// `5 min`, `2 h`, `7 d`: the largest unit that keeps two digits' worth.
pub(super) fn time(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time of day, for people.
pub(super) fn moment(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).unwrap_or_default();
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    let local = at.to_zoned_datetime(jiff::tz::TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M").to_string()
}
