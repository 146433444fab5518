//! No sequence but CRLF.CRLF ends a message, wherever the packets are cut.

use super::support::{Peer, Relay};
use std::io::{Read, Write};

/// Everything that some server somewhere has taken for an end of data.
pub const SEQUENCES: [&str; 14] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\n",
    "\n.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\r\n\0.\r\n",
    "\r\n.\r\r\n",
    "\r\r\n.\r\r\n",
    "\r\n.\0\r\n",
    "\r\0.\r\n",
    "\r\n.\0\r\0\n",
];

/// What would be a second message.
const SMUGGLED: &str =
    "MAIL FROM:<evil@sender.test>\r\nRCPT TO:<bob@any.test>\r\nDATA\r\nevil\r\n.\r\n";

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
    let (first, second) = content.split_at(cut);
    peer.send(format!("BDAT {}\r\n{first}", first.len()));
    peer.send(format!("BDAT {} LAST\r\n{second}", second.len()));
    peer.expect("250 2.0.0 Ok: ");
    peer.expect("250 2.0.0 Ok: queued as ");
    peer.ask("NOOP\r\n", "250 2.0.0 Ok");
}

#[test]
fn one_message_in_chunks_never_two() {
    let relay = Relay::start();
    let mut peer = relay.greeted();
    let mut sent = 0;
    for sequence in SEQUENCES.iter().chain(&["\r\n.\r\n"]) {
        for cut in 0..="innocent".len() + sequence.len() + SMUGGLED.len() {
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
        for cut in 0..="innocent".len() + sequence.len() + SMUGGLED.len() {
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
