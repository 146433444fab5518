//! STARTTLS, implicit TLS, and what must not cross from one to the other.

use super::{
    sequences::SEQUENCES,
    smuggling::{attack, attack_in_chunks, cuts},
    support::{Peer, Relay},
};
use relay::mail::Protocol;
use std::{net::TcpStream, sync::Arc};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
};

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts nothing but the pair that the relay made for itself.
pub fn encrypt(relay: &Relay, stream: TcpStream) -> Peer<TlsStream> {
    let pem = std::fs::read(relay.spool_directory().join("tls-certificate.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut &pem[..]) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "mx.test".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Peer::over(StreamOwned::new(connection, stream))
}

fn starttls(relay: &Relay) -> Peer<TlsStream> {
    let mut peer = relay.greeted();
    peer.ask("STARTTLS\r\n", "220 2.0.0 Ready to start TLS");
    encrypt(relay, peer.into_stream())
}

#[test]
fn a_message_under_starttls() {
    let relay = Relay::start();
    let mut peer = starttls(&relay);
    // RFC 3207 §4.2: the session starts anew.
    peer.ask("MAIL FROM:<>\r\n", "503 5.5.1 Error: send HELO/EHLO first");
    peer.send("EHLO client.test\r\n");
    loop {
        let line = peer.line().unwrap();
        assert!(!line.contains("STARTTLS"));
        if line.starts_with("250 ") {
            break;
        }
    }
    peer.ask("STARTTLS\r\n", "503 5.5.1 Error: TLS already active");
    peer.begin_data();
    peer.ask("a\r\n.\r\n", "250 ");
    peer.ask("QUIT\r\n", "221 ");
    peer.expect_closed();
    let (envelope, _) = &relay.arrived()[0];
    assert_eq!(envelope.client.protocol, Protocol::Esmtps);
    let tls = envelope.client.tls.as_deref().unwrap();
    assert!(tls.starts_with("TLSv1.3 TLS13_"), "{tls}");
    assert_eq!(relay.counters.encrypted(), 1);
}

#[test]
fn a_message_under_implicit_tls() {
    let relay = Relay::start();
    let mut peer = encrypt(&relay, TcpStream::connect(relay.addresses[1]).unwrap());
    peer.expect("220 mx.test ESMTP relay");
    peer.ask("EHLO client.test\r\n", "250 ");
    peer.begin_data();
    peer.ask("a\r\n.\r\n", "250 ");
    assert_eq!(relay.arrived()[0].0.client.protocol, Protocol::Esmtps);
}

/// What was put in front of the handshake is not carried out behind it.
#[test]
fn commands_behind_starttls_are_thrown_away() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    peer.send("STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@sender.test>\r\n");
    peer.expect("220 ");
    let mut peer = encrypt(&relay, peer.into_stream());
    peer.ask("RCPT TO:<bob@any.test>\r\n", "503 5.5.1 Error: need MAIL");
    peer.ask("MAIL FROM:<>\r\n", "503 5.5.1 Error: send HELO/EHLO first");
}

#[test]
fn no_handshake_no_session() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    peer.ask("STARTTLS\r\n", "220 ");
    peer.send("MAIL FROM:<a@sender.test>\r\n");
    peer.hang_up();
    let mut rest = Vec::new();
    // An alert may come, or nothing; never a reply.
    let _ = std::io::Read::read_to_end(&mut peer.into_stream(), &mut rest);
    assert!(!rest.starts_with(b"250"), "{rest:?}");
    relay.greeted();
}

#[test]
fn smuggling_under_tls() {
    let relay = Relay::start();
    let mut peer = starttls(&relay);
    peer.ask("EHLO client.test\r\n", "250 ");
    let mut sent = 0;
    for sequence in SEQUENCES {
        for cut in cuts(sequence) {
            attack(&mut peer, sequence, cut);
            attack_in_chunks(&mut peer, sequence, cut);
            sent += 2;
        }
    }
    assert_eq!(relay.arrived().len(), sent);
}
