//! The envelope: everything about a message that is not in its bytes.

use super::{Address, QueueId, ReversePath};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// What the sender's MAIL and RCPT commands said, and who the sender was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in the order given, each accepted by us. Never empty in the spool.
    pub recipients: Vec<Recipient>,
    /// The BODY parameter.
    pub body: BodyKind,
    /// Whether SMTPUTF8 was asked for (RFC 6531).
    pub smtputf8: bool,
    /// The DSN parameter RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// The DSN parameter ENVID, as received, still in xtext.
    pub envid: Option<String>,
    /// Who handed the message in.
    pub client: Client,
    /// When end-of-data was received, in milliseconds since 1970 UTC.
    pub received_ms: u64,
}

/// One RCPT TO.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipient {
    /// The mailbox.
    pub address: Address,
    /// The DSN parameter NOTIFY, as received (RFC 3461 §4.1).
    pub notify: Option<String>,
    /// The DSN parameter ORCPT with its type, as received (RFC 3461 §4.2).
    pub orcpt: Option<String>,
}

impl Recipient {
    /// A recipient without DSN parameters.
    #[must_use]
    pub fn plain(address: Address) -> Self {
        Self {
            address,
            notify: None,
            orcpt: None,
        }
    }
}

/// The BODY parameter of MAIL FROM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum BodyKind {
    /// `7BIT`, or nothing said.
    #[default]
    SevenBit,
    /// `8BITMIME`, RFC 6152.
    EightBitMime,
    /// `BINARYMIME`, RFC 3030.
    BinaryMime,
}

/// How much of the message a delivery report returns (RFC 3461 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header only.
    Headers,
}

/// The host that handed a message in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its address, as the socket or the PROXY header tells.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its name in the DNS, confirmed forwards; nothing when unknown.
    pub name: Option<String>,
    /// What it called itself in EHLO or HELO.
    pub helo: String,
    /// How it spoke to us.
    pub protocol: Protocol,
    /// TLS version and cipher, for example `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub tls: Option<String>,
}

/// `unknown[192.0.2.1]`, as Postfix writes a client in its log.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]",
            self.name.as_deref().unwrap_or("unknown"),
            self.ip
        )
    }
}

/// The "with" keyword of a trace header (RFC 5321 §4.4, RFC 3848, RFC 6531 §3.7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Protocol {
    /// HELO.
    Smtp,
    /// EHLO.
    Esmtp,
    /// EHLO under TLS.
    Esmtps,
}

impl Protocol {
    /// The keyword for the trace header, which also tells whether SMTPUTF8 was used.
    #[must_use]
    pub fn keyword(self, smtputf8: bool) -> &'static str {
        match (self, smtputf8) {
            (Self::Smtp, _) => "SMTP",
            (Self::Esmtp, false) => "ESMTP",
            (Self::Esmtp, true) => "UTF8SMTP",
            (Self::Esmtps, false) => "ESMTPS",
            (Self::Esmtps, true) => "UTF8SMTPS",
        }
    }
}

/// One (message, recipient): the unit in which relay accounts for mail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct DeliveryId {
    /// The message.
    pub message: QueueId,
    /// The recipient's place in [`Envelope::recipients`].
    pub recipient: u32,
}
