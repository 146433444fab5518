//! How far away a destination is, and so how many messages go to it in a row over one
//! connection. Pure: it is given what replies took.
//!
//! Nearby a row gains nothing, and what is sent to its end and not answered is in doubt when
//! the connection is lost. So a row is as long as the distance asks for, and no longer.

use std::time::Duration;

/// Nearby, a connection is given about a message in this time.
const MESSAGE_EVERY: Duration = Duration::from_micros(2_500);
/// The longest row.
const ROW_MAX: usize = 8;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Reach {
    /// The shortest that was heard of: what comes on top is the server's own time.
    round_trip: Option<Duration>,
}

impl Reach {
    /// An answer to a greeting took so long.
    pub fn heard(&mut self, round_trip: Duration) {
        let shortest = self
            .round_trip
            .map_or(round_trip, |known| known.min(round_trip));
        self.round_trip = Some(shortest);
    }

    /// Messages in a row over one connection.
    #[must_use]
    pub fn row(&self) -> usize {
        let messages = |time: Duration| time.as_micros() / MESSAGE_EVERY.as_micros();
        let row = self.round_trip.map_or(1, messages);
        usize::try_from(row).unwrap_or(ROW_MAX).clamp(1, ROW_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_as_long_as_the_distance_asks_for() {
        let mut reach = Reach::default();
        assert_eq!(reach.row(), 1, "nothing is known yet");
        let rows = [
            (300_000, 8),
            (20_000, 8),
            (10_000, 4),
            (7_400, 2),
            (4_900, 1),
            (80, 1),
        ];
        for (micros, row) in rows {
            reach.heard(Duration::from_micros(micros));
            assert_eq!(reach.row(), row, "{micros} us");
        }
        reach.heard(Duration::from_secs(1));
        assert_eq!(reach.row(), 1, "a slow answer is no distance");
    }
}
