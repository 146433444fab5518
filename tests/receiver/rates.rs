//! How much one client may send in a time: what is more comes again, and nothing is refused
//! for good.

use super::support::Relay;
use relay::receive::Reason;
use std::time::Duration;

#[test]
fn messages_of_one_client() {
    let relay = Relay::with(|config| {
        config.limits.messages_per_ip = 3;
        config.limits.rate_period = Duration::from_secs(86_400);
    });
    let mut peer = relay.greeted();
    for _ in 0..2 {
        peer.begin_data();
        peer.ask("a\r\n.\r\n", "250 ");
    }
    // Over all its connections.
    let mut second = relay.greeted();
    second.begin_data();
    second.ask("b\r\n.\r\n", "250 ");
    for peer in [&mut peer, &mut second] {
        peer.ask(
            "MAIL FROM:<>\r\n",
            "450 4.7.0 Error: too many messages from this address",
        );
    }
    // The session goes on, without a transaction.
    peer.ask("RCPT TO:<bob@any.test>\r\n", "503 5.5.1 Error: need MAIL");
    peer.ask("QUIT\r\n", "221 ");
    assert_eq!(relay.arrived().len(), 3);
    assert_eq!(relay.counters.rejected(Reason::Limits), 2);
}

#[test]
fn recipients_of_one_client() {
    let relay = Relay::with(|config| {
        config.limits.recipients_per_ip = 2;
        config.limits.rate_period = Duration::from_secs(86_400);
    });
    let mut peer = relay.greeted();
    peer.begin();
    // Those who are not there count too: nobody tries out names faster.
    peer.ask("RCPT TO:<nobody@listed.test>\r\n", "550 5.1.1 ");
    peer.ask(
        "RCPT TO:<eve@listed.test>\r\n",
        "450 4.7.0 Error: too many recipients from this address",
    );
    // What was taken before is taken.
    peer.ask("DATA\r\n", "354 ");
    peer.ask("a\r\n.\r\n", "250 ");
    assert_eq!(relay.arrived()[0].0.recipients.len(), 1);
}

#[test]
fn a_rate_is_refilled() {
    let relay = Relay::with(|config| {
        config.limits.messages_per_ip = 1;
        config.limits.rate_period = Duration::from_secs(1);
    });
    let mut peer = relay.greeted();
    peer.begin_data();
    peer.ask("a\r\n.\r\n", "250 ");
    loop {
        peer.send("MAIL FROM:<>\r\n");
        let line = peer.line().unwrap();
        if line.starts_with("250 ") {
            break;
        }
        assert!(line.starts_with("450 4.7.0 "), "{line}");
        std::thread::yield_now();
    }
}
