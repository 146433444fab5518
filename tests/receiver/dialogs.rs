//! Runs every `tests/dialogs/*.txt`: what a client says and what it is answered.
//!
//! `C: ` sends a line with CRLF, `C+ ` without; `\r`, `\n`, `\0` and `\\` are escapes.
//! `S: ` is the next line of a reply, `...` at its end stands for any rest; `S: closed`
//! is the end of the connection. `#` begins a comment.

use super::support::{Peer, Relay};
use std::{
    fs,
    io::{Read, Write},
    path::Path,
};

#[test]
fn all() {
    let relay = Relay::with(|config| {
        config.limits.message_size_bytes = 1000;
        config.limits.recipients = 3;
        config.limits.errors = 12;
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            run(&path, relay.connect());
            count += 1;
        }
    }
    assert!(count > 0, "there are no dialogs");
}

fn run(path: &Path, mut peer: Peer) {
    let text = fs::read_to_string(path).unwrap();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        step(&mut peer, line, &place);
    }
}

/// Says a line, or expects one.
pub fn step<S: Read + Write>(peer: &mut Peer<S>, line: &str, place: &str) {
    if let Some(sent) = line.strip_prefix("C: ") {
        peer.send([unescape(sent), b"\r\n".to_vec()].concat());
    } else if let Some(sent) = line.strip_prefix("C+ ") {
        peer.send(unescape(sent));
    } else if line == "S: closed" {
        assert_eq!(peer.line(), None, "{place}");
    } else if let Some(expected) = line.strip_prefix("S: ") {
        let found = peer.line();
        let found = found.unwrap_or_else(|| panic!("{place}: closed"));
        match expected.strip_suffix("...") {
            Some(start) => assert!(found.starts_with(start), "{place}: {found}"),
            None => assert_eq!(found, expected, "{place}"),
        }
    } else {
        assert!(line.is_empty() || line.starts_with('#'), "{place}: {line}");
    }
}

pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (byte, false) => byte,
            (_, true) => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                other => panic!("unknown escape {other:?}"),
            },
        });
    }
    bytes
}
