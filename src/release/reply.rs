//! Replies of a destination, and failures to get one, each with its phase.

use std::{fmt, time::Duration};

/// A reply, as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Its three digits.
    pub code: u16,
    /// Its enhanced code (RFC 3463), or `2.0.0`, `4.0.0`, `5.0.0` where it has none that
    /// fits the code.
    pub dsn: String,
    /// All its lines, verbatim, joined by blanks.
    pub text: String,
}

impl Reply {
    /// Reads the lines of a reply whose code is known to be well-formed.
    #[must_use]
    pub fn new(code: u16, lines: &[u8]) -> Self {
        let text = String::from_utf8_lossy(lines);
        let text = text
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            code,
            dsn: enhanced(code, &text).unwrap_or_else(|| format!("{}.0.0", code / 100)),
            text,
        }
    }

    /// 2xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

/// `550 5.7.26 no` -> `5.7.26`. The class must be that of the code, since it is the code
/// that decides (RFC 3463 §2, RFC 2034 §4).
fn enhanced(code: u16, text: &str) -> Option<String> {
    let word = text.get(4..)?.split(' ').next()?;
    let mut parts = word.split('.');
    let class = parts.next()?;
    let number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let whole = number(parts.next()?) && number(parts.next()?) && parts.next().is_none();
    (whole && class == (code / 100).to_string()).then(|| word.to_owned())
}

/// Where in a session something happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Name lookup and TCP.
    Connect,
    /// Before any command.
    Greeting,
    /// EHLO, HELO, LHLO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// XCLIENT.
    Xclient,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA and the message's bytes, but not its end.
    Data,
    /// The end of data and its reply.
    EndOfData,
}

impl Phase {
    /// As Postfix words it: "(in reply to RCPT TO command)".
    fn command(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Greeting => "initial connection",
            Self::Hello => "EHLO command",
            Self::StartTls => "STARTTLS command",
            Self::Auth => "AUTH command",
            Self::Xclient => "XCLIENT command",
            Self::Mail => "MAIL FROM command",
            Self::Rcpt => "RCPT TO command",
            Self::Data => "DATA command",
            Self::EndOfData => "end of DATA command",
        }
    }
}

/// Something that went wrong with a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// When.
    pub phase: Phase,
    /// With whom: `mail.new.example[192.0.2.1]:25`.
    pub relay: String,
    /// What.
    pub kind: FailureKind,
}

/// See [`Failure`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// A reply that means no.
    Said(Reply),
    /// A reply that nobody can read, or that does not fit.
    Garbled {
        /// What came.
        text: String,
    },
    /// No connection, or none any more.
    Lost {
        /// What the system said.
        detail: String,
    },
    /// Nothing came, or nothing could be sent, for this long.
    Silent(Duration),
    /// TLS was needed and could not be had.
    Tls {
        /// Why.
        detail: String,
    },
    /// A login was wanted and could not be tried.
    Login {
        /// Why.
        detail: String,
    },
    /// The destination cannot be told where the message came from.
    Anonymous,
    /// The destination calls itself by our own name.
    Itself,
    /// The message has been here before, again and again.
    Loop {
        /// How often.
        passes: usize,
    },
    /// The destination lacks what this message needs, or the message cannot be sent.
    Unfit {
        /// An enhanced code of class 5.
        dsn: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The spool could not give the message or note the attempt.
    Spool {
        /// What it said.
        detail: String,
    },
    /// Somebody else has decided about the delivery meanwhile.
    Withdrawn {
        /// What the spool said.
        detail: String,
    },
    /// The release was stopped before the end of the message was sent.
    Stopped,
}

impl Failure {
    /// The enhanced code to record.
    #[must_use]
    pub fn dsn(&self) -> String {
        match &self.kind {
            FailureKind::Said(reply) => reply.dsn.clone(),
            FailureKind::Unfit { dsn, .. } => (*dsn).to_owned(),
            // RFC 3463 §3.5: routing, connection, system, security.
            FailureKind::Lost { .. } if self.phase == Phase::Connect => "4.4.1".into(),
            FailureKind::Lost { .. } | FailureKind::Silent(_) => "4.4.2".into(),
            FailureKind::Garbled { .. } => "4.5.0".into(),
            FailureKind::Tls { .. } => "4.7.5".into(),
            FailureKind::Anonymous | FailureKind::Login { .. } => "4.7.0".into(),
            FailureKind::Itself => "4.4.6".into(),
            FailureKind::Loop { .. } => "5.4.6".into(),
            FailureKind::Spool { .. } | FailureKind::Stopped => "4.3.0".into(),
            FailureKind::Withdrawn { .. } => "4.2.1".into(),
        }
    }
}

/// As Postfix words it in its log.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (relay, during) = (&self.relay, self.phase.command());
        match &self.kind {
            FailureKind::Said(reply) => {
                write!(
                    f,
                    "host {relay} said: {} (in reply to {during})",
                    reply.text
                )
            }
            FailureKind::Garbled { text } => {
                write!(
                    f,
                    "host {relay} answered `{text}`, which is no SMTP (in reply to {during})"
                )
            }
            FailureKind::Lost { detail } if self.phase == Phase::Connect => {
                write!(f, "connect to {relay}: {detail}")
            }
            FailureKind::Lost { detail } => {
                write!(f, "lost connection with {relay} during {during}: {detail}")
            }
            FailureKind::Silent(time) => write!(
                f,
                "conversation with {relay} timed out after {} s during {during}",
                time.as_secs_f64()
            ),
            FailureKind::Tls { detail } => write!(f, "TLS with {relay}: {detail}"),
            FailureKind::Login { detail } => write!(f, "login at {relay}: {detail}"),
            FailureKind::Anonymous => write!(
                f,
                "{relay} does not offer XCLIENT to this relay, and it is required"
            ),
            FailureKind::Itself => write!(
                f,
                "{relay} greets with this relay's own hostname: it is this relay, or one of \
                 the two has the wrong name"
            ),
            FailureKind::Unfit { detail, .. } => f.write_str(detail),
            FailureKind::Loop { passes } => write!(
                f,
                "mail loop: the message has passed through this relay {passes} times already"
            ),
            FailureKind::Spool { detail } => write!(f, "spool: {detail}"),
            FailureKind::Withdrawn { detail } => f.write_str(detail),
            FailureKind::Stopped => f.write_str("the release was stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_enhanced_code_that_fits() {
        let dsn = |code, lines: &str| Reply::new(code, lines.as_bytes()).dsn;
        assert_eq!(dsn(250, "250 2.0.0 Ok\r\n"), "2.0.0");
        assert_eq!(dsn(550, "550 5.7.515 no\r\n"), "5.7.515");
        assert_eq!(dsn(550, "550-5.1.1 a\r\n550 5.1.1 b\r\n"), "5.1.1");
        assert_eq!(dsn(450, "450 5.7.1 wrong class\r\n"), "4.0.0");
        assert_eq!(dsn(554, "554 10.0.0.1 refused\r\n"), "5.0.0");
        assert_eq!(dsn(554, "554 5.+7.1 refused\r\n"), "5.0.0");
        assert_eq!(dsn(250, "250\r\n"), "2.0.0");
        assert_eq!(dsn(452, "452 é\r\n"), "4.0.0");
    }

    #[test]
    fn keeps_every_line() {
        let reply = Reply::new(550, b"550-one\r\n550 two\r\n");
        assert_eq!(reply.text, "550-one 550 two");
    }
}
