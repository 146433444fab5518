//! The trace header that is put in front of a message at release (RFC 5321 §4.4).

use super::{Address, Envelope, QueueId};
use jiff::Timestamp;
use std::fmt::Write as _;

/// One `Received:` field with its final CRLF: the only bytes that relay adds to a
/// message. `recipient` is named only where a single one is in the transaction, since
/// the others would learn of each other (RFC 5321 §7.2).
#[must_use]
pub fn received(
    hostname: &str,
    id: QueueId,
    envelope: &Envelope,
    recipient: Option<&Address>,
) -> String {
    let client = &envelope.client;
    let ip = match client.ip {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        // RFC 5321 §4.1.3.
        std::net::IpAddr::V6(ip) => format!("IPv6:{ip}"),
    };
    let name = client.name.as_deref().unwrap_or("unknown");
    let helo = printable(&client.helo);
    let mut header = format!("Received: from {helo} ({name} [{ip}])\r\n");
    if let Some(tls) = &client.tls {
        let _ = write!(header, "\t(using {tls})\r\n");
    }
    let with = client.protocol.keyword(envelope.smtputf8);
    let _ = write!(header, "\tby {hostname} (relay) with {with} id {id}");
    if let Some(recipient) = recipient {
        let _ = write!(header, "\r\n\tfor <{recipient}>");
    }
    let _ = write!(header, ";\r\n\t{}\r\n", date(envelope.received_ms));
    header
}

/// The HELO name without what would break the header's syntax.
fn printable(helo: &str) -> String {
    let clean: String = helo
        .chars()
        .take(255)
        .map(|c| {
            if c.is_control() || c.is_whitespace() || matches!(c, '(' | ')' | ';') {
                '?'
            } else {
                c
            }
        })
        .collect();
    if clean.is_empty() {
        "unknown".into()
    } else {
        clean
    }
}

/// RFC 5322 §3.3, in UTC.
pub(super) fn date(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BodyKind, Client, Hops, Loop, Protocol, Recipient, ReversePath};

    #[test]
    fn names_client_id_and_recipient() {
        let bob = Address::parse("bob@corp.example").unwrap();
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![Recipient::plain(bob.clone())],
            body: BodyKind::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            client: Client {
                ip: "2001:db8::1".parse().unwrap(),
                port: 4,
                name: Some("mx.example".into()),
                helo: "mx.example".into(),
                protocol: Protocol::Esmtps,
                tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384".into()),
            },
            received_ms: 1_795_428_001_500,
        };
        let id = QueueId::new(7).unwrap();
        assert_eq!(
            received("hold.example.net", id, &envelope, Some(&bob)),
            "Received: from mx.example (mx.example [IPv6:2001:db8::1])\r\n\
             \t(using TLSv1.3 TLS13_AES_256_GCM_SHA384)\r\n\
             \tby hold.example.net (relay) with ESMTPS id 000000000007\r\n\
             \tfor <bob@corp.example>;\r\n\
             \tMon, 23 Nov 2026 10:00:01 +0000\r\n"
        );
        assert!(!received("h", id, &envelope, None).contains("for <"));
        let mut hops = Hops::new("HOLD.example.net");
        let own = received("hold.example.net", id, &envelope, None);
        hops.push(own.repeat(3).as_bytes());
        assert_eq!(
            hops.verdict(),
            Some(Loop::Here),
            "a loop is known by this header"
        );
    }
}
