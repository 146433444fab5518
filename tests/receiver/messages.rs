//! What was sent is what is kept, to the byte.

use super::support::Relay;
use relay::mail::{BodyKind, Protocol, Ret};

#[test]
fn envelopes_are_kept_verbatim() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    peer.ask(
        "MAIL FROM:<\"a b\"@Sender.Test> BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=QQ+2B\r\n",
        "250 ",
    );
    peer.ask(
        "RCPT TO:<@x,@y:Bob+L@ANY.test> NOTIFY=Delay ORCPT=rfc822;b+2Bx@y\r\n",
        "250 ",
    );
    peer.ask("RCPT TO:<postmaster>\r\n", "250 ");
    peer.ask("DATA\r\n", "354 ");
    let reply = peer.ask("a: b\r\n\r\nc\r\n.\r\n", "250 2.0.0 Ok: queued as ");
    let arrived = relay.arrived();
    let (envelope, bytes) = &arrived[0];
    assert_eq!(bytes, b"a: b\r\n\r\nc\r\n");
    assert_eq!(envelope.reverse_path.as_str(), "\"a b\"@Sender.Test");
    assert_eq!(envelope.body, BodyKind::EightBitMime);
    assert!(envelope.smtputf8);
    assert_eq!(envelope.ret, Some(Ret::Full));
    assert_eq!(envelope.envid.as_deref(), Some("QQ+2B"));
    assert_eq!(envelope.recipients[0].address.as_str(), "Bob+L@ANY.test");
    assert_eq!(envelope.recipients[0].notify.as_deref(), Some("Delay"));
    let orcpt = envelope.recipients[0].orcpt.as_deref();
    assert_eq!(orcpt, Some("rfc822;b+2Bx@y"));
    assert_eq!(
        envelope.recipients[1].address.as_str(),
        "postmaster@any.test"
    );
    assert_eq!(envelope.client.helo, "client.test");
    assert_eq!(envelope.client.protocol, Protocol::Esmtp);
    assert!(envelope.client.ip.is_loopback());
    let id = reply.rsplit(' ').next().unwrap();
    assert_eq!(id.len(), 12, "{reply}");
}

/// Bytes as a message and as they go over the wire.
fn corpus() -> Vec<(Vec<u8>, Vec<u8>)> {
    let plain = |bytes: Vec<u8>| (bytes.clone(), [bytes, b".\r\n".to_vec()].concat());
    let mut binary: Vec<u8> = (0..=255).filter(|byte| !b"\r\n".contains(byte)).collect();
    binary.extend_from_slice(b"\0a\rb\r\r\n");
    vec![
        plain(Vec::new()),
        plain(b"\r\n".to_vec()),
        plain(binary),
        plain([vec![b'x'; 1_000_000], b"\r\n".to_vec()].concat()),
        plain("X-Long: x\r\n".repeat(5000).into_bytes()),
        (b".\r\n".to_vec(), b"..\r\n.\r\n".to_vec()),
        (
            b"...\r\na\r\n.b\r\n".to_vec(),
            b"....\r\na\r\n..b\r\n.\r\n".to_vec(),
        ),
        (
            ".\r\n".repeat(50_000).into_bytes(),
            ["..\r\n".repeat(50_000), ".\r\n".into()].concat().into(),
        ),
    ]
}

#[test]
fn bytes_are_kept_as_they_came() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let corpus = corpus();
    for (_, wire) in &corpus {
        peer.begin_data();
        peer.send(wire);
        peer.expect("250 2.0.0 Ok: queued as ");
    }
    let arrived = relay.arrived();
    assert_eq!(arrived.len(), corpus.len());
    for ((_, bytes), (expected, _)) in arrived.iter().zip(&corpus) {
        assert!(bytes == expected, "{} bytes differ", expected.len());
    }
}

#[test]
fn a_large_message_arrives_whole() {
    let relay = Relay::start();
    let mut peer = relay.at_data();
    let line = b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let body = line.repeat(30 * 1024 * 1024 / line.len());
    peer.send(&body);
    peer.ask(".\r\n", "250 ");
    assert!(relay.arrived()[0].1 == body);
    assert_eq!(relay.counters.accepted_bytes(), body.len() as u64);
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let relay = Relay::start();
    let mut peer = relay.at_data();
    for byte in b"a\r\n..b\r\n\r.\n.\r\n" {
        peer.send([*byte]);
    }
    peer.send("\r\n.\r\n");
    peer.expect("250 ");
    // The bare CR before the dot and the bare LF behind it have become CRLF.
    assert_eq!(relay.arrived()[0].1, b"a\r\n.b\r\n\r\n.\r\n.\r\n\r\n");
}
