//! So much in a time, as people write it: `600/m`, `5 MiB/s`, `none`.
//!
//! Both directions, and exact: what is displayed parses to the same value.

use super::units::{self, UnitError};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// No limit, in configurations and commands.
pub const NO_LIMIT: &str = "none";
/// A narrower line than this is no line for mail: a message of 10 MB would take 20 minutes.
const BYTES_PER_S_MIN: u64 = 8 * 1024;
/// More than any machine moves, and far from where sums run over.
const AMOUNT_MAX: u64 = 1 << 40;

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No number of connections.
    #[error("{text:?} is no number of connections from {min} to {max}")]
    Connections {
        /// What was written.
        text: String,
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// No time behind a number.
    #[error("{text:?} says no time; write {example}, or \"none\" for no limit")]
    NoTime {
        /// What was written.
        text: String,
        /// What would be right.
        example: &'static str,
    },
    /// No number, or one with an unknown unit.
    #[error("{0}")]
    Unit(#[from] UnitError),
    /// Nothing, or next to nothing, would go.
    #[error("{text:?} is too little: at least {least}; `relay pause` stops a domain")]
    TooLittle {
        /// What was written.
        text: String,
        /// The least.
        least: &'static str,
    },
    /// More than there is.
    #[error("{text:?} is too much to be a limit; write \"none\"")]
    TooMuch {
        /// What was written.
        text: String,
    },
}

/// The time that a rate is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Period {
    /// `/s`
    #[default]
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
}

impl Period {
    /// Its length in milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        match self {
            Self::Second => 1_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }

    fn from_unit(unit: &str) -> Option<Self> {
        [Self::Second, Self::Minute, Self::Hour]
            .into_iter()
            .find(|period| period.unit() == unit)
    }
}

/// So much in each period. 0 stands for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rate {
    /// How much.
    pub amount: u64,
    /// In which time.
    pub per: Period,
}

impl Rate {
    fn parse(
        text: &str,
        example: &'static str,
        amount: impl FnOnce(&str) -> Result<u64, UnitError>,
    ) -> Result<Self, LoadError> {
        if text.trim() == NO_LIMIT {
            return Ok(Self::default());
        }
        let no_time = || LoadError::NoTime {
            text: excerpt(text),
            example,
        };
        let (number, unit) = text.rsplit_once('/').ok_or_else(no_time)?;
        let per = Period::from_unit(unit.trim()).ok_or_else(no_time)?;
        let amount = amount(number.trim())?;
        if amount > AMOUNT_MAX {
            let text = excerpt(text);
            return Err(LoadError::TooMuch { text });
        }
        Ok(Self { amount, per })
    }

    /// Whether it limits anything.
    #[must_use]
    pub fn is_limit(self) -> bool {
        self.amount > 0
    }
}

/// Messages in a time: `600/m`, `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MessageRate(pub Rate);

/// Bytes in a time: `5 MiB/s`, `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ByteRate(pub Rate);

impl ByteRate {
    /// Bytes a second; 0 for no limit.
    #[must_use]
    pub fn per_second(self) -> u64 {
        self.0.amount * 1_000 / self.0.per.ms()
    }
}

impl FromStr for MessageRate {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        let number = |text: &str| {
            text.parse().map_err(|_| UnitError::NoNumber {
                text: excerpt(text),
                example: "\"600/m\"",
            })
        };
        let rate = Rate::parse(text, "\"600/m\" (s, m, h)", number)?;
        if !rate.is_limit() && text.trim() != NO_LIMIT {
            return Err(LoadError::TooLittle {
                text: excerpt(text),
                least: "1/h",
            });
        }
        Ok(Self(rate))
    }
}

impl FromStr for ByteRate {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        let rate = Self(Rate::parse(
            text,
            "\"5 MiB/s\" (s, m, h)",
            units::parse_size,
        )?);
        if rate.per_second() < BYTES_PER_S_MIN && text.trim() != NO_LIMIT {
            return Err(LoadError::TooLittle {
                text: excerpt(text),
                least: "8 KiB/s",
            });
        }
        Ok(rate)
    }
}

impl fmt::Display for MessageRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { amount, per } = self.0;
        match amount {
            0 => f.write_str(NO_LIMIT),
            _ => write!(f, "{amount}/{}", per.unit()),
        }
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { amount, per } = self.0;
        match amount {
            0 => f.write_str(NO_LIMIT),
            _ => write!(f, "{}/{}", units::format_size(amount), per.unit()),
        }
    }
}

/// Enough of a text to be recognised, however long it is.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["none", "1/h", "600/m", "36000/s"] {
            let rate: MessageRate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
        }
        for text in ["none", "5 MiB/s", "8 KiB/s", "1 GB/h"] {
            let rate: ByteRate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
        }
        let spaced: MessageRate = " 600 / m ".parse().unwrap();
        assert_eq!(spaced.to_string(), "600/m");
        assert_eq!("6 MB/m".parse::<ByteRate>().unwrap().per_second(), 100_000);
    }

    #[test]
    fn what_is_no_limit_is_said() {
        for (text, says) in [
            ("600", "says no time"),
            ("600/d", "says no time"),
            ("/m", "no whole number"),
            ("-1/m", "no whole number"),
            ("many/m", "no whole number"),
            ("0/m", "too little"),
            ("99999999999999/m", "too much"),
        ] {
            let error = text.parse::<MessageRate>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        for (text, says) in [
            ("5 MiB", "says no time"),
            ("5 Mi/s", "unknown unit"),
            ("1 kB/s", "too little: at least 8 KiB/s"),
            ("1 MB/h", "too little"),
        ] {
            let error = text.parse::<ByteRate>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
