//! RFC 1047: the connection breaks between the 250 and its reader.

use super::support::{Peer, Relay};
use std::time::Duration;

const MESSAGE: &str = "Subject: hello\r\n\r\nonce\r\n.\r\n";

/// Sends the message, and is gone without a further word. Returns the reply.
fn send_and_vanish(relay: &Relay) -> String {
    let mut peer = relay.at_data();
    peer.ask(MESSAGE, "250 2.0.0 Ok: queued as ")
}

#[test]
fn a_retry_gets_the_first_queue_id_and_is_kept_once() {
    let relay = Relay::start();
    let first = send_and_vanish(&relay);
    assert_eq!(send_and_vanish(&relay), first);
    // A third one, which then is seen to have arrived.
    let mut peer = relay.at_data();
    assert_eq!(peer.ask(MESSAGE, "250 "), first);
    peer.ask("QUIT\r\n", "221 ");
    peer.expect_closed();
    assert_eq!(relay.arrived().len(), 1);
    assert_eq!(relay.counters.accepted(), 1);
    assert_eq!(relay.counters.repeated(), 2);
    // From here on it is another message.
    assert_ne!(send_and_vanish(&relay), first);
    assert_eq!(relay.arrived().len(), 2);
}

#[test]
fn a_command_after_the_250_confirms_it() {
    for command in ["NOOP", "RSET", "QUIT", "MAIL FROM:<>", "NONSENSE"] {
        let relay = Relay::start();
        let mut peer = relay.at_data();
        let first = peer.ask(MESSAGE, "250 ");
        peer.send(format!("{command}\r\n"));
        peer.line();
        drop(peer);
        assert_ne!(send_and_vanish(&relay), first, "{command}");
    }
}

/// The same message twice over one connection is two messages.
#[test]
fn a_second_message_confirms_the_first() {
    let relay = Relay::start();
    let mut peer = relay.at_data();
    let first = peer.ask(MESSAGE, "250 ");
    peer.begin_data();
    let second = peer.ask(MESSAGE, "250 ");
    assert_ne!(first, second);
    drop(peer);
    assert_eq!(send_and_vanish(&relay), second);
    assert_eq!(relay.arrived().len(), 2);
}

/// What was sent together with the end-of-data was sent before the 250 could be seen.
#[test]
fn a_pipelined_quit_shows_nothing() {
    let relay = Relay::start();
    let send = || {
        let mut peer = relay.at_data();
        peer.send(format!("{MESSAGE}QUIT\r\n"));
        let reply = peer.expect("250 ");
        peer.expect("221 ");
        peer.expect_closed();
        reply
    };
    assert_eq!(send(), send());
    assert_eq!(relay.arrived().len(), 1);
}

#[test]
fn without_a_window_every_message_is_another() {
    let relay = Relay::with(|config| config.limits.retry_window = Duration::ZERO);
    assert_ne!(send_and_vanish(&relay), send_and_vanish(&relay));
}

/// The client hangs up before it could read the 250.
#[test]
fn a_connection_that_breaks_before_the_250_is_read() {
    let relay = Relay::start();
    let mut peer = relay.at_data();
    peer.send(MESSAGE);
    drop::<Peer>(peer);
    while relay.counters.accepted() == 0 {
        std::thread::yield_now();
    }
    send_and_vanish(&relay);
    assert_eq!(relay.arrived().len(), 1);
}
