//! Queue ids: the place of a message in the order of commits, written in 12 characters.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Crockford's base 32: digits and capitals without I, L, O and U, in ASCII order, so
/// that ids sort as text as they sort as numbers.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARS: usize = 12;

/// The place of a message in the spool's order. A spool counts upwards by one from a
/// start that was its creation time in milliseconds times 4096, so that the ids of two
/// spools of one host do not meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(u64);

/// The text is not a queue id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a queue id: 12 digits and capital letters are expected")]
pub struct QueueIdError {
    /// What was given.
    pub text: String,
}

impl QueueId {
    /// The largest id that 12 characters hold.
    pub const MAX: Self = Self((1 << 60) - 1);

    /// The id with this number; `None` above [`QueueId::MAX`].
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// The first id of a spool that was created at this time.
    #[must_use]
    pub fn first_of_spool(created_ms: u64) -> Self {
        Self((created_ms << 12).min(Self::MAX.0 / 2))
    }

    /// The number behind the text.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id of the next commit.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..CHARS).rev() {
            let digit = (self.0 >> (5 * place)) as usize & 31;
            let c = ALPHABET.get(digit).copied().unwrap_or(b'?');
            fmt::Write::write_char(f, char::from(c))?;
        }
        Ok(())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = QueueIdError;

    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        let bad = || QueueIdError {
            text: text.chars().take(64).collect(),
        };
        if text.len() != CHARS {
            return Err(bad());
        }
        let mut number = 0;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET.iter().position(|&c| c == upper).ok_or_else(bad)?;
            number = number << 5 | digit as u64;
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_number_agree_and_sort_alike(a in 0..=QueueId::MAX.0, b in 0..=QueueId::MAX.0) {
            let (a, b) = (QueueId::new(a).unwrap(), QueueId::new(b).unwrap());
            prop_assert_eq!(a.to_string().parse::<QueueId>().unwrap(), a);
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert!(a.to_string().bytes().all(|c| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "0", "01KAR6Q8ZJ5V0", "01KAR6Q8ZJ5U", "01KAR6Q8ZJ5é"] {
            assert!(text.parse::<QueueId>().is_err(), "{text}");
        }
        assert_eq!(QueueId::new(1 << 60), None);
    }
}
