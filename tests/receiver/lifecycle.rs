//! Clients that vanish, and a server that stops.

use super::support::{Peer, Relay};

#[test]
fn a_vanished_client_leaves_nothing() {
    let relay = Relay::start();
    for part in ["", "x", "x\r\n", "x\r\n.", "x\r\n.\r"] {
        let mut peer = relay.at_data();
        peer.send(part);
        peer.hang_up();
        peer.expect_closed();
    }
    assert!(relay.arrived().is_empty());
    assert_eq!(relay.counters.lost(), 5);
    assert_eq!(relay.counters.accepted(), 0);
}

#[test]
fn a_client_that_leaves_after_the_end_leaves_a_message() {
    let relay = Relay::start();
    let mut peer = relay.at_data();
    peer.send("whole\r\n.\r\n");
    peer.hang_up();
    peer.expect("250 ");
    assert_eq!(relay.arrived()[0].1, b"whole\r\n");
}

#[test]
fn an_idle_session_is_told() {
    let mut relay = Relay::start();
    let mut peer = relay.greeted();
    relay.order_stop();
    peer.expect("421 4.3.2 mx.test Service shutting down");
    peer.expect_closed();
    drop(peer);
    relay.stopped();
    assert!(std::net::TcpStream::connect(relay.addresses[0]).is_err());
    assert_eq!(relay.counters.connections_open(), 0);
}

#[test]
fn a_message_that_is_coming_in_may_finish() {
    let mut relay = Relay::start();
    let mut idle = relay.greeted();
    let mut peer = relay.at_data();
    peer.send("first half, ");
    relay.order_stop();
    // The order is known everywhere once the idle one was told.
    idle.expect("421 ");
    drop(idle);
    peer.send("second half\r\n.\r\n");
    peer.expect("250 2.0.0 Ok: queued as ");
    peer.expect("421 4.3.2 ");
    peer.expect_closed();
    drop(peer);
    relay.stopped();
    assert_eq!(relay.arrived()[0].1, b"first half, second half\r\n");
}

/// Messages of many clients at once: each 250 is a message, each message a 250.
#[test]
fn many_clients_at_once() {
    let relay = Relay::start();
    let address = relay.addresses[0];
    let clients: Vec<_> = (0..20)
        .map(|client| {
            std::thread::spawn(move || {
                let mut peer = Peer::connect(address);
                peer.expect("220 ");
                peer.ask("EHLO client.test\r\n", "250 ");
                for message in 0..20 {
                    peer.begin_data();
                    peer.send(format!("{client} {message}\r\n.\r\n"));
                    peer.expect("250 2.0.0 Ok: queued as ");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let arrived = relay.arrived();
    assert_eq!(arrived.len(), 400);
    for client in 0..20 {
        let own = format!("{client} ");
        let bodies: Vec<String> = arrived
            .iter()
            .map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap())
            .filter(|body| body.starts_with(&own))
            .collect();
        let expected: Vec<_> = (0..20).map(|n| format!("{client} {n}\r\n")).collect();
        assert_eq!(bodies, expected);
    }
}
