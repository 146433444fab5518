//! Counts, sizes and durations: how each is read, bounded and displayed.

use super::{
    error::Side,
    units::{self, UnitError},
};
use std::time::Duration;

/// A quantity that is compared with bounds as a whole number.
pub(super) trait Measure: Copy {
    /// What an error says belongs there.
    const EXPECTED: &'static str;
    /// What is too little of it.
    const BELOW: Side;
    /// What is too much of it.
    const ABOVE: Side;
    /// Whether a plain number is read.
    const TAKES_NUMBERS: bool;

    /// Reads a text with units into the smallest one; `None` where no text is taken.
    fn parse(_text: &str) -> Option<Result<i128, UnitError>> {
        None
    }
    /// In the smallest unit: one, bytes or milliseconds.
    fn amount(self) -> i128;
    /// Back from [`Measure::amount`]; none where the type cannot hold it.
    fn from_amount(amount: i128) -> Option<Self>;
    /// As it is written in a file.
    fn show(self) -> String;
}

/// A count.
impl Measure for usize {
    const EXPECTED: &'static str = "a whole number without quotes";
    const BELOW: Side = Side::Few;
    const ABOVE: Side = Side::Many;
    const TAKES_NUMBERS: bool = true;

    fn amount(self) -> i128 {
        i128::try_from(self).unwrap_or(i128::MAX)
    }
    fn from_amount(amount: i128) -> Option<Self> {
        amount.try_into().ok()
    }
    fn show(self) -> String {
        self.to_string()
    }
}

/// A port, which is neither few nor many.
impl Measure for u16 {
    const EXPECTED: &'static str = "a port number without quotes";
    const BELOW: Side = Side::Small;
    const ABOVE: Side = Side::Large;
    const TAKES_NUMBERS: bool = true;

    fn amount(self) -> i128 {
        self.into()
    }
    fn from_amount(amount: i128) -> Option<Self> {
        amount.try_into().ok()
    }
    fn show(self) -> String {
        self.to_string()
    }
}

/// A size in bytes.
impl Measure for u64 {
    const EXPECTED: &'static str = "a size such as \"50 MiB\"";
    const BELOW: Side = Side::Small;
    const ABOVE: Side = Side::Large;
    const TAKES_NUMBERS: bool = true;

    fn parse(text: &str) -> Option<Result<i128, UnitError>> {
        Some(units::parse_size(text).map(i128::from))
    }
    fn amount(self) -> i128 {
        self.into()
    }
    fn from_amount(amount: i128) -> Option<Self> {
        amount.try_into().ok()
    }
    fn show(self) -> String {
        units::format_size(self)
    }
}

/// A duration to the millisecond; a plain number would leave its unit to be guessed.
impl Measure for Duration {
    const EXPECTED: &'static str = "a duration such as \"7d\" or \"5m\"";
    const BELOW: Side = Side::Short;
    const ABOVE: Side = Side::Long;
    const TAKES_NUMBERS: bool = false;

    fn parse(text: &str) -> Option<Result<i128, UnitError>> {
        Some(units::parse_duration(text).map(Measure::amount))
    }
    fn amount(self) -> i128 {
        i128::try_from(self.as_millis()).unwrap_or(i128::MAX)
    }
    fn from_amount(amount: i128) -> Option<Self> {
        Some(Self::from_millis(amount.try_into().ok()?))
    }
    fn show(self) -> String {
        units::format_duration(self)
    }
}
