//! The time in front of a line, as syslog writes it: local, to the second, without a year.

use jiff::{Timestamp, tz::TimeZone};
use std::time::{SystemTime, UNIX_EPOCH};

/// The last second that was formatted: most lines are of the same one.
pub(super) struct Stamp {
    /// Found once, so that formatting looks nothing up (and logs nothing, while a lock is
    /// held). A change of the machine's zone needs a restart; summer time does not.
    zone: TimeZone,
    second: i64,
    text: String,
}

impl Stamp {
    pub(super) fn new(zone: TimeZone) -> Self {
        let mut stamp = Self {
            zone,
            second: 0,
            text: String::new(),
        };
        stamp.format(0);
        stamp
    }

    /// The current time.
    pub(super) fn now(&mut self) -> &str {
        // Before 1970 it is 1970: the log has to go on with a clock that is wrong.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.at(since.map_or(0, |s| i64::try_from(s.as_secs()).unwrap_or(i64::MAX)))
    }

    /// The time `second` seconds after 1970.
    fn at(&mut self, second: i64) -> &str {
        if second != self.second {
            self.format(second);
        }
        &self.text
    }

    fn format(&mut self, second: i64) {
        self.second = second;
        let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        // RFC 3164 §4.1.2: the day has a blank in front where it has one digit.
        let local = time.to_zoned_datetime(self.zone.clone());
        self.text = local.strftime("%b %e %H:%M:%S").to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_and_as_syslog_writes_them() {
        // Central Europe's rule, written out: the machine may have no zone files.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let mut stamp = Stamp::new(zone);
        for (second, text) in [
            (0, "Jan  1 01:00:00"),
            (1_795_428_001, "Nov 23 11:00:01"),
            (1_795_428_001, "Nov 23 11:00:01"),
            // The hour that is there twice, and what follows.
            (1_792_889_999, "Oct 25 02:59:59"),
            (1_792_890_000, "Oct 25 02:00:00"),
            (1_792_893_600, "Oct 25 03:00:00"),
        ] {
            assert_eq!(stamp.at(second), text);
        }
        // A clock that is wrong does not end the log.
        assert_eq!(stamp.at(i64::MAX).len(), 15);
    }
}
