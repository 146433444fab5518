//! INTERNALDATE: the same moment can be written in many ways, and not every server stores
//! every moment.

use jiff::{Timestamp, fmt::strtime};

/// What every server can store: 1970 to 2038, as Zimbra bounds it.
const SECONDS_MAX: i64 = i32::MAX as i64;

/// The moment in seconds since 1970; none for what is no date.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    // RFC 9051 §9, date-time: a day of one digit has a space before it.
    let parsed = strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()?;
    Some(parsed.to_timestamp().ok()?.as_second())
}

/// The same for when a message arrived: none for a date later than now, which a broken clock or a
/// forger has made, and by which the source would never be quiet.
#[must_use]
pub fn arrived(text: &str, now_s: i64) -> Option<i64> {
    seconds(text).filter(|at| *at <= now_s)
}

/// The nearest date that every server can store, where this one is not.
#[must_use]
pub fn clamped(text: &str) -> Option<String> {
    let at = seconds(text)?;
    let nearest = at.clamp(0, SECONDS_MAX);
    if nearest == at {
        return None;
    }
    let date = Timestamp::from_second(nearest).ok()?;
    Some(date.strftime("%d-%b-%Y %H:%M:%S +0000").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_has_many_forms() {
        assert_eq!(seconds(" 1-Jan-1970 00:00:01 +0000"), Some(1));
        assert_eq!(seconds("01-Jan-1970 01:00:01 +0100"), Some(1));
        assert_eq!(seconds("31-Dec-1969 23:59:59 +0000"), Some(-1));
        assert_eq!(seconds("17-Jul-1996 02:44:25 -0700"), Some(837_596_665));
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn nothing_has_arrived_in_the_future() {
        let first = "01-Jan-1970 00:00:01 +0000";
        assert_eq!((arrived(first, 1), arrived(first, 0)), (Some(1), None));
    }

    #[test]
    fn what_cannot_be_stored_becomes_the_nearest() {
        assert_eq!(clamped("17-Jul-1996 02:44:25 -0700"), None);
        let first = Some("01-Jan-1970 00:00:00 +0000".to_owned());
        assert_eq!(clamped(" 1-Jan-1901 00:00:00 +0000"), first);
        let last = Some("19-Jan-2038 03:14:07 +0000".to_owned());
        assert_eq!(clamped("01-Jan-2040 00:00:00 +0000"), last);
    }
}
