//! What a destination can do, and the commands that carry an envelope to it.

use super::{reply::FailureKind, room::Limits};
use crate::{
    config::DestinationProtocol,
    mail::{BodyKind, Envelope, Recipient, Ret},
};
use std::fmt::Write as _;

/// The extensions that a destination offers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// What it calls itself.
    pub name: String,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870: the largest message in bytes; 0 for no fixed limit.
    pub size: Option<u64>,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 3030 §2: the message goes by BDAT.
    pub chunking: bool,
    /// RFC 4954: the mechanisms, in upper case; none where AUTH is not offered.
    pub auth: Vec<String>,
    /// Attributes that XCLIENT takes; none where it is not offered.
    pub xclient: Vec<String>,
    /// Attributes that XFORWARD takes; none where it is not offered.
    pub xforward: Vec<String>,
    /// RFC 3030 §3, which needs CHUNKING beside it.
    pub binarymime: bool,
    /// RFC 9422.
    pub limits: Limits,
}

impl Features {
    /// Reads the lines of an answer to EHLO or LHLO (RFC 5321 §4.1.1.1).
    #[must_use]
    pub fn parse(lines: &[u8]) -> Self {
        let text = String::from_utf8_lossy(lines);
        let mut lines = text.lines().map(|line| line.get(4..).unwrap_or_default());
        let first = lines.next().unwrap_or_default();
        let mut features = Self {
            name: first.split_whitespace().next().unwrap_or_default().into(),
            ..Self::default()
        };
        for line in lines {
            let mut words = line.split_whitespace();
            match words
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase()
                .as_str()
            {
                "PIPELINING" => features.pipelining = true,
                "SIZE" => {
                    let size = words.next().and_then(|word| word.parse().ok());
                    features.size = Some(size.unwrap_or(0));
                }
                "8BITMIME" => features.eight_bit_mime = true,
                "SMTPUTF8" => features.smtputf8 = true,
                "DSN" => features.dsn = true,
                "STARTTLS" => features.starttls = true,
                "CHUNKING" => features.chunking = true,
                "BINARYMIME" => features.binarymime = true,
                "AUTH" => features.auth = words.map(str::to_ascii_uppercase).collect(),
                "LIMITS" => features.limits = Limits::parse(words),
                "XCLIENT" => features.xclient = words.map(str::to_ascii_uppercase).collect(),
                "XFORWARD" => features.xforward = words.map(str::to_ascii_uppercase).collect(),
                _ => {}
            }
        }
        features
    }

    /// What this message needs and the destination lacks. Nothing is ever converted, so
    /// such a message is kept for a person. Content that is 8-bit although its sender
    /// did not say so is sent as it is: it would be refused, or it works.
    ///
    /// # Errors
    /// [`FailureKind::Unfit`].
    pub fn suit(
        &self,
        envelope: &Envelope,
        recipients: &[&Recipient],
        bytes: u64,
    ) -> Result<(), FailureKind> {
        let unfit = |dsn, detail: String| Err(FailureKind::Unfit { dsn, detail });
        let ascii = envelope.reverse_path.as_str().is_ascii()
            && recipients
                .iter()
                .all(|recipient| recipient.address.is_ascii());
        if (envelope.smtputf8 || !ascii) && !self.smtputf8 {
            let detail = "the message needs SMTPUTF8, which the destination does not offer";
            return unfit("5.6.7", detail.into());
        }
        if envelope.body == BodyKind::EightBitMime && !self.eight_bit_mime {
            let detail = "the message is 8BITMIME, which the destination does not offer, \
                          and relay converts nothing";
            return unfit("5.6.3", detail.into());
        }
        if envelope.body == BodyKind::BinaryMime && !(self.binarymime && self.chunking) {
            let detail = "the message is BINARYMIME, which the destination does not offer, \
                          and which cannot be sent with DATA";
            return unfit("5.6.1", detail.into());
        }
        match self.size {
            Some(limit) if limit > 0 && bytes > limit => unfit(
                "5.3.4",
                format!("the message has {bytes} bytes, and the destination takes {limit}"),
            ),
            _ => Ok(()),
        }
    }
}

/// EHLO or LHLO.
#[must_use]
pub fn hello(protocol: DestinationProtocol, hostname: &str) -> String {
    match protocol {
        DestinationProtocol::Smtp => format!("EHLO {hostname}\r\n"),
        DestinationProtocol::Lmtp => format!("LHLO {hostname}\r\n"),
    }
}

/// MAIL FROM with the parameters that are offered and were received.
#[must_use]
pub fn mail(envelope: &Envelope, bytes: u64, features: &Features) -> String {
    let mut line = format!("MAIL FROM:<{}>", envelope.reverse_path);
    if features.size.is_some() {
        let _ = write!(line, " SIZE={bytes}");
    }
    if envelope.body == BodyKind::EightBitMime && features.eight_bit_mime {
        line.push_str(" BODY=8BITMIME");
    }
    if envelope.body == BodyKind::BinaryMime && features.binarymime {
        line.push_str(" BODY=BINARYMIME");
    }
    let ascii = envelope.reverse_path.as_str().is_ascii()
        && envelope
            .recipients
            .iter()
            .all(|recipient| recipient.address.is_ascii());
    if (envelope.smtputf8 || !ascii) && features.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if features.dsn {
        match envelope.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        parameter(&mut line, "ENVID", envelope.envid.as_deref());
    }
    line.push_str("\r\n");
    line
}

/// RCPT TO with the parameters that are offered and were received.
#[must_use]
pub fn rcpt(recipient: &Recipient, features: &Features) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if features.dsn {
        parameter(&mut line, "NOTIFY", recipient.notify.as_deref());
        parameter(&mut line, "ORCPT", recipient.orcpt.as_deref());
    }
    line.push_str("\r\n");
    line
}

/// A value with a blank or a control character in it could become another command.
fn parameter(line: &mut String, name: &str, value: Option<&str>) {
    let clean = |value: &&str| !value.chars().any(|c| c.is_control() || c.is_whitespace());
    if let Some(value) = value.filter(clean) {
        let _ = write!(line, " {name}={value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mail::Address, release::peer::envelope};

    fn all() -> Features {
        Features::parse(
            b"250-new.example at your service\r\n250-pipelining\r\n250-SIZE 1000\r\n\
              250-8BITMIME\r\n250-SMTPUTF8\r\n250-XUNKNOWN x\r\n250 DSN\r\n",
        )
    }

    #[test]
    fn reads_what_is_offered() {
        let features = all();
        assert_eq!(features.name, "new.example");
        assert!(features.pipelining && features.dsn && !features.starttls);
        assert_eq!(features.size, Some(1000));
        assert_eq!(Features::parse(b"250 x\r\n").size, None);
        assert_eq!(Features::parse(b"250-x\r\n250 SIZE\r\n").size, Some(0));
    }

    #[test]
    fn passes_parameters_on_only_when_offered() {
        let mut envelope = envelope(&["bob@corp.example"]);
        envelope.body = BodyKind::EightBitMime;
        envelope.ret = Some(Ret::Headers);
        envelope.envid = Some("QQ314159".into());
        envelope.recipients[0].notify = Some("SUCCESS,FAILURE".into());
        envelope.recipients[0].orcpt = Some("rfc822;Bob+40corp.example".into());
        assert_eq!(
            mail(&envelope, 7, &all()),
            "MAIL FROM:<alice@example.org> SIZE=7 BODY=8BITMIME RET=HDRS ENVID=QQ314159\r\n"
        );
        assert_eq!(
            rcpt(&envelope.recipients[0], &all()),
            "RCPT TO:<bob@corp.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40corp.example\r\n"
        );
        let none = Features::default();
        assert_eq!(
            mail(&envelope, 7, &none),
            "MAIL FROM:<alice@example.org>\r\n"
        );
        assert_eq!(
            rcpt(&envelope.recipients[0], &none),
            "RCPT TO:<bob@corp.example>\r\n"
        );
    }

    #[test]
    fn a_parameter_cannot_become_a_command() {
        let mut envelope = envelope(&["bob@corp.example"]);
        envelope.envid = Some("x\r\nRSET".into());
        assert_eq!(
            mail(&envelope, 1, &all()),
            "MAIL FROM:<alice@example.org> SIZE=1\r\n"
        );
    }

    #[test]
    fn nothing_is_converted() {
        let mut message = envelope(&["bob@corp.example"]);
        let suit = |features: &Features, envelope: &Envelope, bytes| {
            let recipients: Vec<_> = envelope.recipients.iter().collect();
            features.suit(envelope, &recipients, bytes).is_ok()
        };
        let none = Features::default();
        assert!(suit(&none, &message, 1001));
        assert!(!suit(&all(), &message, 1001));
        message.body = BodyKind::EightBitMime;
        assert!(suit(&all(), &message, 1000) && !suit(&none, &message, 1));
        message.body = BodyKind::BinaryMime;
        assert!(!suit(&all(), &message, 1));
        let mut binary = all();
        binary.binarymime = true;
        assert!(
            !suit(&binary, &message, 1),
            "RFC 3030 §3: not without CHUNKING"
        );
        binary.chunking = true;
        assert!(suit(&binary, &message, 1));
        assert!(mail(&message, 1, &binary).ends_with(" BODY=BINARYMIME\r\n"));
        message.body = BodyKind::SevenBit;
        message.recipients[0].address = Address::parse("bób@corp.example").unwrap();
        assert!(suit(&all(), &message, 1) && !suit(&none, &message, 1));
    }
}
