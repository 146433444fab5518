//! Replies: a code, an enhanced code and a text of one or more lines.

use std::{borrow::Cow, fmt, io::Write as _};

/// A reply (RFC 5321 §4.2). Its text holds one line or several, parted by LF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    code: u16,
    /// RFC 2034; empty where there is none (RFC 2034 §4: greeting, EHLO and HELO, 354).
    enhanced: &'static str,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply. CR and other control characters of `text` are sent as `?`.
    pub fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            enhanced,
            text: text.into(),
        }
    }

    /// Its code, 200 to 599.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Its enhanced code, `5.7.1`; empty where there is none.
    #[must_use]
    pub fn enhanced(&self) -> &'static str {
        self.enhanced
    }

    /// Whether the command did what was asked, or may go on (2xx, 3xx).
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Whether asking again is in vain (5xx).
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, wire: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            // RFC 5321 §4.2.1: a hyphen on all lines but the last.
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            let gap = if self.enhanced.is_empty() { "" } else { " " };
            // Writing to a Vec cannot fail.
            let _ = write!(wire, "{}{mark}{}{gap}", self.code, self.enhanced);
            let clean = |byte: u8| if byte.is_ascii_control() { b'?' } else { byte };
            wire.extend(line.bytes().map(clean));
            wire.extend_from_slice(b"\r\n");
        }
    }
}

/// As it stands in the log: `554 5.7.1 <x@y>: Relay access denied`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.enhanced.is_empty() { "" } else { " " };
        write!(f, "{} {}{gap}{}", self.code, self.enhanced, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_wire() {
        let mut wire = Vec::new();
        Reply::new(250, "2.1.0", "Ok").write(&mut wire);
        Reply::new(250, "", "a\nSIZE 1\nDSN").write(&mut wire);
        Reply::new(550, "5.1.1", "x\r250 y".to_owned()).write(&mut wire);
        assert_eq!(
            wire,
            b"250 2.1.0 Ok\r\n250-a\r\n250-SIZE 1\r\n250 DSN\r\n550 5.1.1 x?250 y\r\n"
        );
    }
}
