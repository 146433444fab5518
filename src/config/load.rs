//! How much a destination is asked to take at most: connections at once, messages and bytes
//! in a time. As configured, and as an operator has set it while it runs.

use super::default::{DESTINATION_CONNECTIONS, TO_DESTINATION};
pub use super::rate::{ByteRate, LoadError, MessageRate, Period, Rate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The limits of one destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Connections at once, 1 to 1000.
    pub connections: usize,
    /// Messages in a time; one to several recipients in one transaction is one.
    pub rate: MessageRate,
    /// Bytes in a time, as they go over the line.
    pub bytes_rate: ByteRate,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            connections: DESTINATION_CONNECTIONS,
            rate: MessageRate::default(),
            bytes_rate: ByteRate::default(),
        }
    }
}

/// What an operator has set in the place of the configured limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LoadSet {
    /// See [`Load::connections`].
    pub connections: Option<u32>,
    /// See [`Load::rate`].
    pub rate: Option<MessageRate>,
    /// See [`Load::bytes_rate`].
    pub bytes_rate: Option<ByteRate>,
}

/// An order to set some of the limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadChange {
    /// See [`Load::connections`].
    pub connections: Setting<u32>,
    /// See [`Load::rate`].
    pub rate: Setting<MessageRate>,
    /// See [`Load::bytes_rate`].
    pub bytes_rate: Setting<ByteRate>,
}

/// What becomes of one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Setting<T> {
    /// It stays.
    #[default]
    Same,
    /// As the configuration says.
    Configured,
    /// This.
    To(T),
}

impl<T> Setting<T> {
    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Same => {}
            Self::Configured => *to = None,
            Self::To(value) => *to = Some(value),
        }
    }
}

impl LoadChange {
    /// Everything as the configuration says.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            connections: Setting::Configured,
            rate: Setting::Configured,
            bytes_rate: Setting::Configured,
        }
    }
}

impl LoadSet {
    /// The same with some limits changed.
    #[must_use]
    pub fn with(mut self, change: LoadChange) -> Self {
        change.connections.apply(&mut self.connections);
        change.rate.apply(&mut self.rate);
        change.bytes_rate.apply(&mut self.bytes_rate);
        self
    }

    /// The limits that hold, where these are the configured ones.
    #[must_use]
    pub fn over(self, configured: Load) -> Load {
        let set = (self.connections).map(|set| usize::try_from(set).unwrap_or(usize::MAX));
        Load {
            connections: set.unwrap_or(configured.connections),
            rate: self.rate.unwrap_or(configured.rate),
            bytes_rate: self.bytes_rate.unwrap_or(configured.bytes_rate),
        }
    }
}

/// `connections = 5, rate = 600/m`, or `as configured`.
impl fmt::Display for LoadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        said.extend(self.connections.map(|to| format!("connections = {to}")));
        said.extend(self.rate.map(|to| format!("rate = {to}")));
        said.extend(self.bytes_rate.map(|to| format!("bytes_rate = {to}")));
        match said.is_empty() {
            true => f.write_str("as configured"),
            false => f.write_str(&said.join(", ")),
        }
    }
}

/// Reads a number of connections.
///
/// # Errors
/// What is wrong with it, in words.
pub fn connections(text: &str) -> Result<u32, LoadError> {
    let (min, max) = (TO_DESTINATION.min, TO_DESTINATION.max);
    let number = text.trim().parse::<u32>().ok();
    number
        .filter(|number| (min..=max).contains(&(*number as usize)))
        .ok_or_else(|| LoadError::Connections {
            text: super::rate::excerpt(text),
            min,
            max,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_bounds() {
        assert_eq!(connections("1000"), Ok(1000));
        for text in ["0", "1001", "x", "-1", ""] {
            assert!(connections(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_set_stands_in_the_place_of_what_is_configured() {
        let configured = Load::default();
        let change = LoadChange {
            connections: Setting::To(5),
            rate: Setting::To("60/m".parse().unwrap()),
            ..LoadChange::default()
        };
        let set = LoadSet::default().with(change);
        assert_eq!(set.to_string(), "connections = 5, rate = 60/m");
        assert_eq!(set.over(configured).connections, 5);
        let change = LoadChange {
            connections: Setting::Configured,
            bytes_rate: Setting::To(ByteRate::default()),
            ..LoadChange::default()
        };
        let set = set.with(change);
        assert_eq!(set.to_string(), "rate = 60/m, bytes_rate = none");
        assert_eq!(set.over(configured).connections, 20);
        let set = set.with(LoadChange::reset());
        assert_eq!(
            (set, set.over(configured)),
            (LoadSet::default(), configured)
        );
        assert_eq!(set.to_string(), "as configured");
    }
}
