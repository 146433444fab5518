//! What an IMAP server says: framed the same wherever the network cuts it, bounded, and
//! read or refused, never a panic.

#[path = "../../src/imap/code.rs"]
mod code;
#[path = "../../src/imap/cursor.rs"]
mod cursor;
#[path = "../../src/imap/folder.rs"]
mod folder;
#[path = "../../src/imap/frame.rs"]
mod frame;
#[path = "../../src/imap/message.rs"]
mod message;
#[path = "../../src/imap/name.rs"]
mod name;
#[path = "../../src/imap/response.rs"]
mod response;
#[path = "../../src/imap/uid_set.rs"]
mod uid_set;

use frame::{Frame, Framer};
use response::{Fetch, Response};

const BYTES_MAX: usize = 4096;

/// The first byte says how long the pieces are.
pub fn strike(input: &[u8]) {
    let Some((&piece, wire)) = input.split_first() else {
        return;
    };
    let whole = frames(wire, wire.len().max(1));
    assert_eq!(frames(wire, usize::from(piece).max(1)), whole);
}

/// Responses and bodies, and whether an error ended them.
fn frames(wire: &[u8], piece: usize) -> (Vec<String>, bool) {
    let mut framer = Framer::new(BYTES_MAX);
    let mut seen = Vec::new();
    let mut body = Vec::new();
    for piece in wire.chunks(piece) {
        framer.input().extend_from_slice(piece);
        loop {
            match framer.next() {
                Err(_) => return (seen, true),
                Ok(None) => break,
                Ok(Some(Frame::Body(_))) => {
                    let _ = Fetch::head(framer.head());
                    body.clear();
                }
                Ok(Some(Frame::Chunk(chunk))) => {
                    assert!(!chunk.is_empty());
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(Frame::Response(raw))) => {
                    let read = Response::parse(&raw);
                    seen.push(format!("{read:?} {body:?}"));
                    body.clear();
                }
            }
        }
    }
    (seen, false)
}
