//! The report that a sender gets about mail that was bounced (RFC 3464, with RFC 3461's
//! rules for who gets one and RFC 6533's for addresses beyond ASCII).

use super::{Envelope, QueueId, Recipient, ReversePath, trace};
use std::fmt::Write as _;

/// In whose account reports are kept until the smarthost has them. A name below `.invalid`
/// is nobody's (RFC 2606 §2), and none that can be configured.
pub const REPORTS_DOMAIN: &str = "bounce.invalid";

/// Longest text of a reply that is quoted; a line has 998 at most (RFC 5322 §2.1.1).
const QUOTED_CHARS_MAX: usize = 400;

/// What is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is given up.
    Failed,
    /// It is still tried.
    Delayed,
}

impl Kind {
    /// Whether the sender wants to hear of this for a recipient (RFC 3461 §4.1): of a
    /// failure unless NOTIFY was given without FAILURE, NEVER included; of a delay only
    /// where DELAY was.
    #[must_use]
    pub fn is_wanted(self, recipient: &Recipient) -> bool {
        let (word, default) = match self {
            Self::Failed => ("FAILURE", true),
            Self::Delayed => ("DELAY", false),
        };
        let notify = recipient.notify.as_ref();
        notify.map_or(default, |notify| {
            let mut words = notify.split(',');
            words.any(|one| one.trim().eq_ignore_ascii_case(word))
        })
    }

    /// RFC 3464 §2.3.3.
    fn action(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
        }
    }
}

/// A recipient that did not get the message.
#[derive(Clone, Debug)]
pub struct Failed<'a> {
    /// Who.
    pub recipient: &'a Recipient,
    /// Enhanced status code, `5.1.1`.
    pub status: &'a str,
    /// The host that refused it.
    pub host: Option<&'a str>,
    /// What it said, or the local reason.
    pub reply: Option<&'a str>,
}

/// How much of the message goes back.
#[derive(Clone, Copy, Debug)]
pub enum Returned<'a> {
    /// All of its bytes.
    Full(&'a [u8]),
    /// Its header, without the empty line behind it.
    Headers(&'a [u8]),
}

/// The report's bytes; nothing for the null sender, which never gets one (RFC 5321 §4.5.5).
#[must_use]
pub fn report(
    about: Kind,
    hostname: &str,
    id: QueueId,
    envelope: &Envelope,
    failed: &[Failed<'_>],
    returned: Returned<'_>,
    now_ms: u64,
) -> Option<Vec<u8>> {
    let ReversePath::Address(sender) = &envelope.reverse_path else {
        return None;
    };
    let (kind, bytes) = match returned {
        Returned::Full(bytes) => ("message/rfc822", bytes),
        Returned::Headers(bytes) => ("text/rfc822-headers", bytes),
    };
    // Nobody can write a message that holds its own digest; 70 characters are the most that
    // a boundary may have (RFC 2046 §5.1.1).
    let digest = blake3::hash(bytes).to_hex();
    let boundary = format!("{id}.{now_ms}/{}", digest.get(..32).unwrap_or_default());
    let encoding = match bytes.is_ascii() {
        true => "7bit",
        false => "8bit",
    };
    let subject = match about {
        Kind::Failed => "Undelivered Mail Returned to Sender",
        Kind::Delayed => "Delayed Mail (still being retried)",
    };
    let mut text = format!(
        "From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\n\
         To: <{sender}>\r\n\
         Subject: {subject}\r\n\
         Date: {}\r\n\
         Message-ID: <{id}.{now_ms}@{hostname}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\
         \tboundary=\"{boundary}\"\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\
         \r\n\
         This is a report in MIME format.\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n",
        trace::date(now_ms)
    );
    explain(&mut text, about, hostname, failed);
    let _ = write!(
        text,
        "\r\n--{boundary}\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n"
    );
    account(&mut text, about, hostname, envelope, failed);
    let _ = write!(
        text,
        "\r\n--{boundary}\r\n\
         Content-Type: {kind}\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\
         \r\n"
    );
    let mut report = text.into_bytes();
    report.extend_from_slice(bytes);
    report.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Some(report)
}

/// The first part, for people.
fn explain(text: &mut String, about: Kind, hostname: &str, failed: &[Failed<'_>]) {
    let what = match about {
        Kind::Failed => {
            "Your message could not be delivered to the recipients below, and will not be\r\n\
             tried again. A part of it, or all of it, is attached."
        }
        Kind::Delayed => {
            "Your message could not be delivered to the recipients below yet. It is kept and\r\n\
             will be tried again; you need not send it again. Its header is attached."
        }
    };
    let _ = write!(
        text,
        "This is the mail system at host {hostname}.\r\n\
         \r\n\
         {what}\r\n"
    );
    for Failed {
        recipient,
        host,
        reply,
        ..
    } in failed
    {
        let _ = write!(text, "\r\n<{}>", ascii(recipient.address.as_str()));
        let _ = match (host, reply) {
            (Some(host), Some(reply)) => {
                write!(
                    text,
                    ": host {} said:\r\n    {}",
                    ascii(host),
                    quoted(reply)
                )
            }
            (None, Some(reply)) => write!(text, ":\r\n    {}", quoted(reply)),
            (_, None) if about == Kind::Delayed => write!(text, ": it waits for its turn"),
            (_, None) => write!(text, ": given up by the administrator"),
        };
        text.push_str("\r\n");
    }
}

/// The second part, for programs (RFC 3464 §2).
fn account(
    text: &mut String,
    about: Kind,
    hostname: &str,
    envelope: &Envelope,
    failed: &[Failed<'_>],
) {
    if let Some(envid) = &envelope.envid {
        let _ = write!(text, "Original-Envelope-Id: {}\r\n", plain(envid));
    }
    let _ = write!(
        text,
        "Reporting-MTA: dns; {hostname}\r\n\
         Arrival-Date: {}\r\n",
        trace::date(envelope.received_ms)
    );
    for one in failed {
        text.push_str("\r\n");
        if let Some((kind, address)) = one.recipient.orcpt.as_ref().and_then(|o| o.split_once(';'))
        {
            let address = match kind.eq_ignore_ascii_case("utf-8") {
                // RFC 6533 §3: its own encoding is the one of the report too.
                true => ascii(address),
                false => plain(address),
            };
            let _ = write!(text, "Original-Recipient: {}; {address}\r\n", ascii(kind));
        }
        let address = one.recipient.address.as_str();
        let kind = match address.is_ascii() {
            true => "rfc822",
            false => "utf-8",
        };
        let _ = write!(
            text,
            "Final-Recipient: {kind}; {}\r\n\
             Action: {}\r\n\
             Status: {}\r\n",
            ascii(address),
            about.action(),
            one.status
        );
        if let Some(host) = one.host {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", ascii(host));
        }
        if let Some(reply) = one.reply {
            let digits = reply.bytes().take_while(u8::is_ascii_digit).count();
            let kind = match digits {
                3 => "smtp",
                _ => "X-Relay",
            };
            let _ = write!(text, "Diagnostic-Code: {kind}; {}\r\n", quoted(reply));
        }
    }
}

/// Text in one line of ASCII; what is beyond is `\x{HEX}` (RFC 6533 §3).
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_control() {
            out.push(c);
        } else {
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

/// A reply in one line of ASCII, shortened.
fn quoted(reply: &str) -> String {
    let clean = reply.chars().take(QUOTED_CHARS_MAX);
    clean
        .map(|c| match c {
            c if c.is_ascii_graphic() => c,
            c if c.is_whitespace() => ' ',
            _ => '?',
        })
        .collect()
}

/// xtext decoded (RFC 3461 §4); left as it is where it is none, or where a character
/// would not be printable.
fn plain(xtext: &str) -> String {
    let decoded = || -> Option<String> {
        let mut out = String::new();
        let mut rest = xtext;
        while let Some(c) = rest.chars().next() {
            rest = rest.get(c.len_utf8()..)?;
            if c == '+' {
                let byte = u8::from_str_radix(rest.get(..2)?, 16).ok()?;
                rest = rest.get(2..)?;
                out.push(char::from(byte));
            } else {
                out.push(c);
            }
        }
        let printable = out.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        printable.then_some(out)
    };
    decoded().unwrap_or_else(|| ascii(xtext))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Address;

    fn recipient(notify: Option<&str>) -> Recipient {
        Recipient {
            notify: notify.map(str::to_owned),
            ..Recipient::plain(Address::parse("bob@corp.example").unwrap())
        }
    }

    #[test]
    fn who_wants_to_hear_of_what() {
        for (notify, failed, delayed) in [
            (None, true, false),
            (Some("FAILURE"), true, false),
            (Some("success,failure"), true, false),
            (Some("NEVER"), false, false),
            (Some("SUCCESS,DELAY"), false, true),
            (Some("delay,failure"), true, true),
        ] {
            let to = recipient(notify);
            assert_eq!(Kind::Failed.is_wanted(&to), failed, "{notify:?}");
            assert_eq!(Kind::Delayed.is_wanted(&to), delayed, "{notify:?}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        assert_eq!(plain("bob+2Bx+40y"), "bob+x@y");
        assert_eq!(plain("a+0D+0Ab"), "a+0D+0Ab");
        assert_eq!(plain("a+4"), "a+4");
        assert_eq!(ascii("ü\r\n"), "\\x{FC}\\x{0D}\\x{0A}");
        assert_eq!(quoted("550 a\r\nb é"), "550 a  b ?");
    }
}
