//! Mail addresses as RFC 5321 paths carry them, kept exactly as the sender wrote them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest path of RFC 5321 §4.5.3.1.3 without its angle brackets, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 254;

/// A mailbox `local-part@domain`, byte for byte as it came in: a quoted local part keeps
/// its quotes, letters keep their case (RFC 5321 §2.4).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    text: String,
    /// Byte offset of the `@` that separates the local part from the domain.
    at: usize,
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`, or nothing on one of its sides.
    #[error("address is not local-part@domain")]
    Incomplete,
    /// Longer than `ADDRESS_BYTES_MAX`.
    #[error("address has {bytes} bytes, at most {ADDRESS_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A control character, a blank or an angle bracket outside a quoted local part, or
    /// an unbalanced quote.
    #[error("address holds a character that RFC 5321 does not allow there")]
    BadCharacter,
}

impl Address {
    /// Takes the text between the angle brackets of a path, without a source route.
    ///
    /// # Errors
    /// [`AddressError`] when it is not a syntactically sane mailbox. Non-ASCII text is
    /// taken (RFC 6531); whether SMTPUTF8 was asked for is the session's business.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong { bytes: text.len() });
        }
        let at = separator(text)?;
        let (local, domain) = text.split_at(at);
        let domain = domain.get(1..).unwrap_or_default();
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        let domain_ok = domain
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || !c.is_ascii() || matches!(c, '-' | '.' | '_'));
        // An address literal, RFC 5321 §4.1.3.
        let literal_ok = domain.starts_with('[')
            && domain.ends_with(']')
            && domain
                .chars()
                .all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>'));
        if !domain_ok && !literal_ok {
            return Err(AddressError::BadCharacter);
        }
        Ok(Self {
            text: text.to_owned(),
            at,
        })
    }

    /// The address as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`, quotes included.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The domain in lower case, without a final dot: what domains are compared by.
    #[must_use]
    pub fn domain(&self) -> String {
        let domain = self.text.get(self.at + 1..).unwrap_or_default();
        domain.trim_end_matches('.').to_lowercase()
    }

    /// Whether only ASCII is used, so that no SMTPUTF8 is needed to carry it.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The lane in which deliveries to this mailbox keep their order.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::of(self)
    }
}

/// Finds the `@` outside quotes and checks the characters before it.
fn separator(text: &str) -> Result<usize, AddressError> {
    let mut quoted = false;
    let mut escaped = false;
    for (offset, c) in text.char_indices() {
        if c.is_control() {
            return Err(AddressError::BadCharacter);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if quoted || offset == 0 => quoted = !quoted,
            _ if quoted => {}
            '@' => return Ok(offset),
            ' ' | '<' | '>' | '(' | ')' | ',' | ';' | ':' | '"' | '\\' | '[' | ']' => {
                return Err(AddressError::BadCharacter);
            }
            _ => {}
        }
    }
    Err(if quoted {
        AddressError::BadCharacter
    } else {
        AddressError::Incomplete
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

/// The sender of a message for bounces: an address, or nobody.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`, RFC 5321 §4.5.5: no report may be sent.
    Null,
    /// An ordinary sender.
    Address(Address),
}

impl ReversePath {
    /// The address without angle brackets; empty for the null sender.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Address(address) => address.as_str(),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What keeps its order: one mailbox. A 64-bit digest of the domain and of the local
/// part in lower case up to its `+` extension, since `Bob+lists@x` and `bob@x` are one
/// mailbox almost everywhere. Two mailboxes that fall on one lane only wait for each
/// other; they never lose their order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Lane(pub u64);

impl Lane {
    fn of(address: &Address) -> Self {
        let local = address.local_part();
        let user = match local.split_once('+') {
            Some((user, _)) if !user.is_empty() && !local.starts_with('"') => user,
            _ => local,
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(user.to_lowercase().as_bytes());
        hasher.update(b"@");
        hasher.update(address.domain().as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Self(u64::from_be_bytes(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn keeps_what_was_written() {
        for text in [
            "Bob@Example.COM",
            "\"a b@c\"@x.example",
            "\"q\\\"q\"@x",
            "é@ü.example",
            "a@[192.0.2.1]",
        ] {
            assert_eq!(address(text).as_str(), text);
        }
        assert_eq!(address("\"a b@c\"@x.example").local_part(), "\"a b@c\"");
        assert_eq!(address("Bob@Example.COM.").domain(), "example.com");
    }

    #[test]
    fn refuses_what_is_no_mailbox() {
        for text in [
            "",
            "bob",
            "@x",
            "bob@",
            "a b@x",
            "a@x y",
            "a@x>",
            "\"a@x",
            "a\r\n@x",
            "<a@x",
            "a@x\u{7f}",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?} was taken");
        }
        let long = format!("{}@x", "a".repeat(ADDRESS_BYTES_MAX));
        assert_eq!(
            Address::parse(&long),
            Err(AddressError::TooLong {
                bytes: ADDRESS_BYTES_MAX + 2
            })
        );
    }

    #[test]
    fn one_mailbox_is_one_lane() {
        assert_eq!(
            address("Bob+x@Example.com").lane(),
            address("bob@example.COM").lane()
        );
        assert_ne!(
            address("bob@example.com").lane(),
            address("bobby@example.com").lane()
        );
        assert_ne!(
            address("bob@a.example").lane(),
            address("bob@b.example").lane()
        );
    }
}
