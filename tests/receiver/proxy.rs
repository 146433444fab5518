//! Behind load balancers: the client is who the header says, everywhere.

use super::{
    support::{Peer, Relay},
    tls::encrypt,
};
use relay::receive::Reason;
use std::{net::TcpStream, time::Duration};

const PROXIED: usize = 2;
const PROXIED_IMPLICIT: usize = 3;
const OTHERS_BALANCER: usize = 4;

/// A connection that a balancer has opened.
pub fn behind(relay: &Relay, header: impl AsRef<[u8]>) -> Peer {
    let mut peer = Peer::connect(relay.addresses[PROXIED]);
    peer.send(header);
    peer
}

pub fn line(client: &str) -> String {
    format!("PROXY TCP4 {client} 192.0.2.1 4321 25\r\n")
}

/// Version 2 for IPv6, with a connection's id behind the addresses.
fn binary(client: &str) -> Vec<u8> {
    let client: std::net::Ipv6Addr = client.parse().unwrap();
    let id = b"\x05\x00\x03abc";
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21".to_vec();
    header.extend_from_slice(&(36 + id.len() as u16).to_be_bytes());
    header.extend_from_slice(&client.octets());
    header.extend_from_slice(&[0; 16]);
    header.extend_from_slice(&4321_u16.to_be_bytes());
    header.extend_from_slice(&25_u16.to_be_bytes());
    header.extend_from_slice(id);
    header
}

pub fn send(peer: &mut Peer) {
    peer.expect("220 ");
    peer.ask("EHLO client.test\r\n", "250 ");
    peer.begin_data();
    peer.ask("a\r\n.\r\n", "250 ");
    peer.ask("QUIT\r\n", "221 ");
}

#[test]
fn the_envelope_has_the_client() {
    let relay = Relay::start();
    send(&mut behind(&relay, line("203.0.113.9")));
    send(&mut behind(&relay, binary("2001:db8::9")));
    send(&mut behind(&relay, binary("::ffff:203.0.113.10")));
    // The balancer's own health check.
    send(&mut behind(&relay, "PROXY UNKNOWN\r\n"));
    let clients: Vec<_> = relay
        .arrived()
        .into_iter()
        .map(|(envelope, _)| envelope.client.ip.to_string())
        .collect();
    let expected = ["203.0.113.9", "2001:db8::9", "203.0.113.10", "127.0.0.1"];
    assert_eq!(clients, expected);
}

#[test]
fn commands_may_come_in_the_same_packet() {
    let relay = Relay::start();
    let mut peer = behind(&relay, line("203.0.113.9") + "EHLO client.test\r\nNOOP\r\n");
    peer.expect("220 ");
    peer.expect("250 ");
    peer.expect("250 2.0.0 Ok");
}

#[test]
fn tls_begins_behind_the_header() {
    let relay = Relay::start();
    let mut stream = TcpStream::connect(relay.addresses[PROXIED_IMPLICIT]).unwrap();
    std::io::Write::write_all(&mut stream, line("203.0.113.9").as_bytes()).unwrap();
    let mut peer = encrypt(&relay, stream);
    peer.expect("220 ");
    peer.ask("EHLO client.test\r\n", "250 ");
    peer.begin_data();
    peer.ask("a\r\n.\r\n", "250 ");
    assert_eq!(relay.arrived()[0].0.client.ip.to_string(), "203.0.113.9");
}

#[test]
fn limits_are_for_clients_and_not_for_balancers() {
    let relay = Relay::with(|config| {
        config.limits.connections_per_ip = 1;
        config.limits.messages_per_ip = 1;
        config.limits.rate_period = Duration::from_secs(86_400);
    });
    let mut first = behind(&relay, line("203.0.113.1"));
    first.expect("220 ");
    let mut same = behind(&relay, line("203.0.113.1"));
    same.expect("421 4.7.0 mx.test Error: too many connections from this address");
    same.expect_closed();
    let mut other = behind(&relay, line("203.0.113.2"));
    other.expect("220 ");
    for peer in [&mut first, &mut other] {
        peer.ask("EHLO client.test\r\n", "250 ");
        peer.ask("MAIL FROM:<>\r\n", "250 ");
        peer.ask("RSET\r\n", "250 ");
        peer.ask("MAIL FROM:<>\r\n", "450 4.7.0 ");
    }
    // In IPv6 a network is one client.
    let mut third = behind(&relay, binary("2001:db8::1"));
    third.expect("220 ");
    behind(&relay, binary("2001:db8::2")).expect("421 4.7.0 ");
    behind(&relay, binary("2001:db8:0:1::2")).expect("220 ");
    assert_eq!(relay.counters.rejected(Reason::Limits), 4);
}

/// Not even a greeting: nobody knows whom it would be for.
#[test]
fn no_header_no_session() {
    let relay = Relay::with(|config| config.limits.command_timeout = Duration::from_millis(500));
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let huge = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\xff\xff".as_slice(),
        &[0; 2000],
    ]
    .concat();
    for bad in [
        b"EHLO client.test\r\n".as_slice(),
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 25\n",
        b"PROXY TCP4 nonsense 192.0.2.1 4321 25\r\n",
        long.as_bytes(),
        &huge,
        // Slow ones.
        b"",
        b"PROXY TCP4 ",
        b"\r\n\r\n",
    ] {
        let mut peer = behind(&relay, bad);
        peer.expect_ended();
    }
    assert_eq!(relay.counters.connections(), 0);
    send(&mut behind(&relay, line("203.0.113.9")));
}

#[test]
fn only_listed_balancers_are_believed() {
    let relay = Relay::start();
    let mut peer = Peer::connect(relay.addresses[OTHERS_BALANCER]);
    // It may be closed by now.
    peer.try_send(line("203.0.113.9"));
    peer.expect_ended();
    assert_eq!(relay.counters.connections(), 0);
    // And where none is expected, a header is no command.
    let mut peer = relay.connect();
    peer.expect("220 ");
    peer.ask(&line("203.0.113.9"), "500 5.5.2 ");
}
