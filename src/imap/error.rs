//! How IMAP fails.

use super::code::Code;
use std::time::Duration;

/// Why something did not work. A tagged NO or BAD leaves the session usable; everything
/// else ends it (see [`Error::is_fatal`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("{host}:{port}: {detail}")]
    Connect {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Why.
        detail: String,
    },
    /// No TLS, or not with a certificate that is believed.
    #[error("TLS: {detail}")]
    Tls {
        /// Why.
        detail: String,
    },
    /// The server let nobody in.
    #[error("login refused: {text}")]
    Login {
        /// The server's words.
        text: String,
        /// Its code: [`Code::AuthenticationFailed`] is for good, [`Code::Unavailable`] is not.
        code: Option<Code>,
    },
    /// A tagged NO: refused.
    #[error("{command}: NO {text}")]
    No {
        /// Which command.
        command: &'static str,
        /// The server's words.
        text: String,
        /// Its code.
        code: Option<Code>,
    },
    /// A tagged BAD: not understood.
    #[error("{command}: BAD {text}")]
    Bad {
        /// Which command.
        command: &'static str,
        /// The server's words.
        text: String,
        /// Its code.
        code: Option<Code>,
    },
    /// The server said goodbye.
    #[error("{during}: BYE {text}")]
    Bye {
        /// Which command.
        during: &'static str,
        /// The server's words.
        text: String,
        /// Its code.
        code: Option<Code>,
    },
    /// The connection is gone. What was under way may have happened.
    #[error("{during}: connection lost: {detail}")]
    Lost {
        /// Which command.
        during: &'static str,
        /// Why.
        detail: String,
    },
    /// Nothing came, or went, for too long.
    #[error("{during}: nothing for {} s", after.as_secs())]
    Timeout {
        /// Which command.
        during: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The server says what no IMAP server may say, or more than is put up with.
    #[error("{during}: not IMAP: {text}")]
    Protocol {
        /// Which command.
        during: &'static str,
        /// What is wrong.
        text: String,
    },
    /// It cannot be said to this server: nothing was sent.
    #[error("{command}: {text}")]
    Unsendable {
        /// Which command.
        command: &'static str,
        /// What, and why not.
        text: String,
    },
    /// The sink or the source of a message failed: not the server's fault.
    #[error("{during}: {detail}")]
    Local {
        /// Which command.
        during: &'static str,
        /// Why.
        detail: String,
    },
}

impl Error {
    /// Whether the session has ended with it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::No { .. } | Self::Bad { .. } | Self::Unsendable { .. }
        )
    }

    /// The server's code.
    #[must_use]
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::Login { code, .. }
            | Self::No { code, .. }
            | Self::Bad { code, .. }
            | Self::Bye { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// The server's words.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Login { text, .. }
            | Self::No { text, .. }
            | Self::Bad { text, .. }
            | Self::Bye { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether the server says, in one of the ways that are known of, that it is asked too much:
    /// RFC 9051's LIMIT, INUSE and UNAVAILABLE, Gmail's THROTTLED and its bandwidth limits
    /// (which come as OVERQUOTA too), Exchange's and Zimbra's words.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        const WORDS: &[&str] = &[
            "suggested backoff time",
            "throttled",
            "bandwidth limit",
            "too many simultaneous connections",
            "server busy",
            "try again later",
        ];
        let by_code = match self.code() {
            Some(Code::Limit | Code::InUse | Code::Unavailable) => true,
            Some(Code::Other(code)) => code.eq_ignore_ascii_case("THROTTLED"),
            _ => false,
        };
        let text = self.text().unwrap_or_default().to_ascii_lowercase();
        by_code || WORDS.iter().any(|words| text.contains(words))
    }

    /// How long the server asks to be left alone: Exchange's "Suggested Backoff Time: N
    /// milliseconds", at most an hour.
    #[must_use]
    pub fn suggested_backoff(&self) -> Option<Duration> {
        let (_, after) = self.text()?.split_once("Suggested Backoff Time:")?;
        let digits: String = (after.trim_start().chars())
            .take_while(char::is_ascii_digit)
            .collect();
        let milliseconds: u64 = digits.parse().ok()?;
        Some(Duration::from_millis(milliseconds.min(3_600_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_is_read_and_bounded() {
        let no = |text: &str| Error::No {
            command: "FETCH",
            text: text.into(),
            code: None,
        };
        let asked = no("Request is throttled. Suggested Backoff Time: 91803 milliseconds");
        assert_eq!(
            asked.suggested_backoff(),
            Some(Duration::from_millis(91_803))
        );
        let absurd = no("Suggested Backoff Time: 99999999999 milliseconds");
        assert_eq!(absurd.suggested_backoff(), Some(Duration::from_secs(3600)));
        assert_eq!(no("Suggested Backoff Time: soon").suggested_backoff(), None);
        assert_eq!(no("no such mailbox").suggested_backoff(), None);
    }
}
