//! BDAT (RFC 3030): any split into chunks and packets gives the same message.

use super::support::{Peer, Relay};
use relay::receive::Reason;
use std::io::{Read, Write};

/// `content` as chunks that end at `cuts`, the last of them LAST, and how many they are.
fn chunks(content: &[u8], cuts: &[usize]) -> (Vec<u8>, usize) {
    let mut wire = Vec::new();
    let mut from = 0;
    for &cut in cuts {
        wire.extend_from_slice(format!("BDAT {}\r\n", cut - from).as_bytes());
        wire.extend_from_slice(&content[from..cut]);
        from = cut;
    }
    wire.extend_from_slice(format!("BDAT {} LAST\r\n", content.len() - from).as_bytes());
    wire.extend_from_slice(&content[from..]);
    (wire, cuts.len() + 1)
}

/// Sends a message in chunks and waits for all replies.
pub fn send_chunks<S: Read + Write>(peer: &mut Peer<S>, content: &[u8], cuts: &[usize]) {
    peer.begin();
    let (wire, count) = chunks(content, cuts);
    peer.send(wire);
    for _ in 1..count {
        peer.expect("250 2.0.0 Ok: ");
    }
    peer.expect("250 2.0.0 Ok: queued as ");
}

#[test]
fn every_split_into_chunks_is_the_same_message() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let content = b"a\r\n.\r\n..b\r\n\r\n.\r\nQUIT\r\n\0\r\n";
    let mut sent = 0;
    for first in 0..=content.len() {
        for second in first..=content.len() {
            send_chunks(&mut peer, content, &[first, second]);
            sent += 1;
        }
    }
    let arrived = relay.arrived();
    assert_eq!(arrived.len(), sent);
    for (_, bytes) in arrived {
        assert_eq!(bytes, content);
    }
    assert_eq!(relay.counters.bare_newlines(), 0);
}

#[test]
fn every_split_into_packets_is_the_same_message() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let content = b"a: b\r\n\r\n.\r\nRSET\r\n";
    let (wire, _) = chunks(content, &[3, 9]);
    for cut in 0..=wire.len() {
        peer.begin();
        let (first, second) = wire.split_at(cut);
        peer.send(first);
        peer.send(second);
        peer.expect("250 2.0.0 Ok: 3 bytes");
        peer.expect("250 2.0.0 Ok: 6 bytes");
        peer.expect("250 2.0.0 Ok: queued as ");
    }
    for (_, bytes) in relay.arrived() {
        assert_eq!(bytes, content);
    }
}

/// What DATA could not carry on unchanged is made what it can.
#[test]
fn line_ends_are_made_whole_across_chunks() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let content = b"a\nb\r.c\rd\0\r";
    for cut in 0..=content.len() {
        send_chunks(&mut peer, content, &[cut]);
    }
    for (_, bytes) in relay.arrived() {
        assert_eq!(bytes, b"a\r\nb\r\n.c\rd\0\r\n");
    }
    // A bare LF, a CR before a dot, an unfinished last line.
    let sent = content.len() as u64 + 1;
    assert_eq!(relay.counters.bare_newlines(), 3 * sent);
}

#[test]
fn a_large_message_in_chunks() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let line = b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let content = line.repeat(8 * 1024 * 1024 / line.len());
    send_chunks(&mut peer, &content, &[1, 100_000, 4_000_000, content.len()]);
    assert!(relay.arrived()[0].1 == content);
}

#[test]
fn the_size_counts_over_all_chunks() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 10_000);
    let mut peer = relay.greeted();
    let line = "x".repeat(4_998) + "\r\n";
    send_chunks(&mut peer, line.repeat(2).as_bytes(), &[5_000]);
    peer.begin();
    peer.ask(&format!("BDAT 5000\r\n{line}"), "250 2.0.0 Ok: 5000 bytes");
    // Two chunks and a LAST are under way before the refusal is read.
    peer.send(format!(
        "BDAT 5001\r\nx{line}BDAT 5000\r\n{line}BDAT 5000 LAST\r\n{line}"
    ));
    peer.expect("552 5.3.4 Message size exceeds fixed limit");
    peer.expect("503 5.5.1 Error: BDAT after a refused chunk");
    peer.expect("503 5.5.1 Error: BDAT after a refused chunk");
    send_chunks(&mut peer, b"small\r\n", &[]);
    assert_eq!(relay.arrived().len(), 2);
    assert_eq!(relay.counters.rejected(Reason::MessageSize), 1);
}

#[test]
fn an_announced_flood_ends_the_connection() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 10_000);
    for count in ["20001", "18446744073709551615", "99999999999999999999"] {
        let mut peer = relay.greeted();
        peer.begin();
        peer.ask(&format!("BDAT {count} LAST\r\n"), "552 5.3.4 ");
        peer.expect_closed();
        let mut peer = relay.greeted();
        peer.ask(&format!("BDAT {count}\r\n"), "503 5.5.1 ");
        peer.expect_closed();
    }
}

/// A client that vanishes between chunks, or resets, leaves nothing.
#[test]
fn chunks_without_last_are_forgotten() {
    let relay = Relay::start();
    for end in ["", "RSET\r\n", "EHLO again.test\r\n", "QUIT\r\n"] {
        let mut peer = relay.greeted();
        peer.begin();
        peer.ask("BDAT 3\r\na\r\n", "250 ");
        peer.send(end);
        peer.hang_up();
        while peer.line().is_some() {}
    }
    let mut peer = relay.greeted();
    peer.begin();
    peer.ask("BDAT 3\r\na\r\n", "250 ");
    peer.ask("RSET\r\n", "250 ");
    send_chunks(&mut peer, b"b\r\n", &[]);
    let arrived = relay.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].1, b"b\r\n");
}
