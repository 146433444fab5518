//! What a client may not do, and what it gets for it.

use super::support::{Peer, Relay};
use relay::{config::BareNewline, receive::Reason};
use std::{
    fs,
    time::{Duration, SystemTime},
};

#[test]
fn too_large_by_count() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 10_000);
    let mut peer = relay.at_data();
    peer.send("x".repeat(9_998));
    peer.ask("\r\n.\r\n", "250 ");
    peer.begin_data();
    peer.send("x".repeat(9_999));
    peer.ask("\r\n.\r\n", "552 5.3.4 Message size exceeds fixed limit");
    // The session goes on.
    peer.begin_data();
    peer.ask("small\r\n.\r\n", "250 ");
    assert_eq!(relay.arrived().len(), 2);
    assert_eq!(relay.counters.rejected(Reason::MessageSize), 1);
}

#[test]
fn a_message_without_end_is_given_up() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 10_000);
    let mut peer = relay.at_data();
    peer.send("x".repeat(30_000));
    peer.expect("552 5.3.4 ");
    peer.expect_closed();
    assert!(relay.arrived().is_empty());
}

/// `bare_newline = "reject"`: what would be normalized is refused, and nothing else.
#[test]
fn bare_line_ends_are_refused_where_asked_for() {
    let relay = Relay::with(|config| config.limits.bare_newline = BareNewline::Reject);
    let mut peer = relay.greeted();
    let refusal = "550 5.6.11 Error: bare <CR> or <LF> received";
    for bad in ["a\nb", "a\n.\nb", "a\r.b", "a\r\0.b", "\n"] {
        peer.begin_data();
        peer.ask(&format!("{bad}\r\n.\r\n"), refusal);
        peer.begin();
        peer.ask(&format!("BDAT {} LAST\r\n{bad}", bad.len()), refusal);
    }
    for good in ["a\rb", "a\r\0b", "a\r\r\n"] {
        peer.begin_data();
        peer.ask(&format!("{good}\r\n.\r\n"), "250 ");
        peer.begin();
        peer.ask(&format!("BDAT {} LAST\r\n{good}", good.len()), "250 ");
    }
    assert_eq!(relay.arrived().len(), 6);
    assert_eq!(relay.counters.rejected(Reason::BareNewline), 10);
}

/// RFC 5321 §6.3. A forward or two may bring a message back; more is a loop.
#[test]
fn a_loop_is_broken() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let own =
        "Received: from a (b [192.0.2.1])\r\n\tby mx.test (relay) with ESMTP id 1;\r\n\tx\r\n";
    let other = "Received: from a by b; x\r\n";
    let cases = [
        (own.repeat(2), "250 "),
        (own.repeat(3), "554 5.4.6 Error: mail loop detected"),
        (other.repeat(100), "250 "),
        (other.repeat(101), "554 5.4.6 Error: too many hops"),
    ];
    for (header, reply) in cases {
        peer.begin_data();
        peer.ask(&format!("{header}\r\nx\r\n.\r\n"), reply);
        peer.begin();
        let (first, last) = header.split_at(70);
        let size = first.len();
        peer.ask(&format!("BDAT {size}\r\n{first}"), "250 ");
        peer.ask(&format!("BDAT {} LAST\r\n{last}", last.len()), reply);
    }
    assert_eq!(relay.arrived().len(), 4);
    assert_eq!(relay.counters.rejected(Reason::Loop), 4);
}

#[test]
fn stuffed_dots_do_not_count() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 3_000);
    let mut peer = relay.at_data();
    peer.send("..\r\n".repeat(1000));
    peer.ask(".\r\n", "250 ");
}

#[test]
fn command_lines_have_an_end() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let noop = |bytes: usize| format!("NOOP {}\r\n", "x".repeat(bytes - 7));
    peer.ask(&noop(512), "250 ");
    peer.ask(&noop(4096), "250 ");
    peer.ask(&noop(4097), "500 5.5.2 Error: line too long");
    peer.send("x".repeat(1_000_000));
    peer.ask("\r\n", "500 5.5.2 Error: line too long");
    peer.ask("NOOP\r\n", "250 ");
}

#[test]
fn many_long_recipients_fit() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let mut group = String::from("MAIL FROM:<>\r\n");
    for number in 0..1000 {
        let local = format!("{number:04}{}", "x".repeat(200));
        let orcpt = "y".repeat(480);
        group += &format!("RCPT TO:<{local}@any.test> ORCPT=rfc822;{orcpt}\r\n");
    }
    group += "DATA\r\n";
    peer.send(group);
    for _ in 0..1001 {
        peer.expect("250 ");
    }
    peer.expect("354 ");
    peer.ask(".\r\n", "250 ");
    assert_eq!(relay.arrived()[0].0.recipients.len(), 1000);
}

#[test]
fn connections_from_one_place() {
    let relay = Relay::with(|config| config.limits.connections_per_ip = 2);
    let first = relay.greeted();
    let _second = relay.greeted();
    let mut third = relay.connect();
    third.expect("421 4.7.0 mx.test Error: too many connections from this address");
    third.expect_closed();
    assert_eq!(relay.counters.rejected(Reason::Limits), 1);
    drop(first);
    // Its place is free once the server has seen the end.
    while relay.counters.connections_open() > 1 {
        std::thread::yield_now();
    }
    loop {
        let mut peer = relay.connect();
        // The pass is given back just after the counter.
        if peer.line().unwrap().starts_with("220 ") {
            break;
        }
    }
}

#[test]
fn connections_in_all() {
    let relay = Relay::with(|config| config.limits.connections = 1);
    let _first = relay.greeted();
    let mut second = relay.connect();
    second.expect("421 4.7.0 mx.test Error: too many connections");
    second.expect_closed();
}

#[test]
fn silence_ends_a_session() {
    let relay = Relay::with(|config| config.limits.command_timeout = Duration::from_millis(200));
    let mut peer = relay.greeted();
    peer.expect("421 4.4.2 mx.test Error: timeout exceeded");
    peer.expect_closed();
}

/// The time-out is for a line, not for a byte.
#[test]
fn dribbling_gains_no_time() {
    let relay = Relay::with(|config| config.limits.command_timeout = Duration::from_millis(500));
    let mut peer = relay.greeted();
    let mut writer = peer.second();
    let dribble = std::thread::spawn(move || {
        while std::io::Write::write_all(&mut writer, b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    peer.expect("421 4.4.2 ");
    peer.expect_closed();
    drop(peer);
    dribble.join().unwrap();
}

/// Nor does it in a message, or in a chunk that is thrown away.
#[test]
fn dribbling_a_message_gains_no_time() {
    for begin in ["DATA\r\n", "BDAT 900 LAST\r\n", "RSET\r\nBDAT 900\r\n"] {
        let relay = Relay::with(|config| {
            config.limits.command_timeout = Duration::from_millis(500);
        });
        let mut peer = relay.greeted();
        peer.begin();
        peer.send(begin);
        let mut writer = peer.second();
        let dribble = std::thread::spawn(move || {
            while std::io::Write::write_all(&mut writer, b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        while !peer.line().unwrap().starts_with("421 4.4.2 ") {}
        peer.expect_closed();
        drop(peer);
        dribble.join().unwrap();
        assert!(relay.arrived().is_empty());
    }
}

#[test]
fn silence_in_a_message_leaves_nothing() {
    let relay = Relay::with(|config| config.limits.command_timeout = Duration::from_millis(200));
    let mut peer = relay.at_data();
    peer.send("half a mess");
    peer.expect("421 4.4.2 ");
    peer.expect_closed();
    assert!(relay.arrived().is_empty());
    assert_eq!(relay.counters.lost(), 1);
}

#[test]
fn a_full_spool_says_come_back() {
    let relay = Relay::with(|config| config.spool.min_free_bytes = u64::MAX / 2);
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<>\r\n", "452 4.3.1 Insufficient system storage");
    assert_eq!(relay.counters.rejected(Reason::SpoolFull), 1);
}

#[test]
fn a_changed_list_of_recipients_is_used() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<>\r\n", "250 ");
    peer.ask("RCPT TO:<carol@listed.test>\r\n", "550 5.1.1 ");
    let path = relay.recipients_file();
    fs::write(&path, "carol@listed.test\n").unwrap();
    // Nobody has written to it for a while.
    let file = fs::File::options().append(true).open(&path).unwrap();
    let before = SystemTime::now() - Duration::from_secs(10);
    file.set_modified(before).unwrap();
    peer.ask("RCPT TO:<carol@listed.test>\r\n", "250 ");
    peer.ask("RCPT TO:<bob@listed.test>\r\n", "550 5.1.1 ");
}

/// Garbage of any kind ends in an orderly refusal, and the next client is served.
#[test]
fn garbage() {
    let relay = Relay::start();
    let mut peer = relay.connect();
    peer.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\n']);
    peer.expect("220 ");
    peer.expect("500 ");
    let mut peer = Peer::connect(relay.addresses[0]);
    peer.send("GET / HTTP/1.1\r\nHost: mx.test\r\n\r\n");
    peer.expect("220 ");
    for _ in 0..3 {
        peer.expect("500 5.5.2 ");
    }
    relay.greeted();
}
