//! No sequence but CRLF.CRLF ends a message, wherever the packets are cut.

use super::{
    sequences::{IN_CHUNKS_ALONE, SEQUENCES},
    support::{Peer, Relay},
};
use std::io::{Read, Write};

/// What would be a second message.
const SMUGGLED: &str =
    "MAIL FROM:<evil@sender.test>\r\nRCPT TO:<bob@any.test>\r\nDATA\r\nevil\r\n.\r\n";

/// Every place at which an attack with `sequence` can be cut.
pub fn cuts(sequence: &str) -> std::ops::RangeInclusive<usize> {
    0..="innocent".len() + sequence.len() + SMUGGLED.len()
}

/// Sends a message with `sequence` and a smuggled one inside, cut at `cut`.
pub fn attack<S: Read + Write>(peer: &mut Peer<S>, sequence: &str, cut: usize) {
    peer.begin_data();
    let wire = format!("innocent{sequence}{SMUGGLED}");
    let (first, second) = wire.as_bytes().split_at(cut);
    peer.send(first);
    // A reply that should not come would be read in the place of the next ones.
    peer.send(second);
    peer.expect("250 2.0.0 Ok: queued as ");
    peer.ask("NOOP\r\n", "250 2.0.0 Ok");
}

/// The same in two chunks that end at `cut`.
pub fn attack_in_chunks<S: Read + Write>(peer: &mut Peer<S>, sequence: &str, cut: usize) {
    peer.begin();
    let content = format!("innocent{sequence}{SMUGGLED}");
    let (first, second) = content.as_bytes().split_at(cut);
    for (chunk, last) in [(first, ""), (second, " LAST")] {
        let command = format!("BDAT {}{last}\r\n", chunk.len());
        peer.send([command.as_bytes(), chunk].concat());
    }
    peer.expect("250 2.0.0 Ok: ");
    peer.expect("250 2.0.0 Ok: queued as ");
    peer.ask("NOOP\r\n", "250 2.0.0 Ok");
}

#[test]
fn one_message_in_chunks_never_two() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let mut sent = 0;
    for sequence in SEQUENCES.iter().chain(&IN_CHUNKS_ALONE) {
        for cut in cuts(sequence) {
            attack_in_chunks(&mut peer, sequence, cut);
            sent += 1;
        }
    }
    let arrived = relay.arrived();
    assert_eq!(arrived.len(), sent);
    for (envelope, bytes) in arrived {
        assert_eq!(envelope.reverse_path.as_str(), "alice@sender.test");
        assert!(bytes.starts_with(b"innocent") && bytes.ends_with(b"evil\r\n.\r\n"));
    }
}

#[test]
fn one_message_never_two() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let mut sent = 0;
    for sequence in SEQUENCES {
        for cut in cuts(sequence) {
            attack(&mut peer, sequence, cut);
            sent += 1;
        }
    }
    let arrived = relay.arrived();
    assert_eq!(arrived.len(), sent);
    for (envelope, bytes) in arrived {
        assert_eq!(envelope.reverse_path.as_str(), "alice@sender.test");
        assert!(bytes.starts_with(b"innocent") && bytes.ends_with(b"evil\r\n"));
        for at in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            assert_eq!(bytes[at.0 - 1], b'\r', "a bare LF was kept");
        }
    }
}

/// Every byte in a packet of its own.
#[test]
fn one_message_byte_by_byte() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    for sequence in SEQUENCES {
        peer.begin_data();
        for byte in format!("innocent{sequence}{SMUGGLED}").bytes() {
            peer.send([byte]);
        }
        peer.expect("250 2.0.0 Ok: queued as ");
        peer.ask("NOOP\r\n", "250 2.0.0 Ok");
    }
    assert_eq!(relay.arrived().len(), SEQUENCES.len());
}
