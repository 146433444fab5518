//! Reading back what real servers stored.

use std::{fs, path::Path};

/// The files of a maildir's `new` and `cur`, whole; none when there is no such mailbox.
pub fn maildir(path: &Path) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(path.join(part)).into_iter().flatten() {
            messages.push(fs::read(entry.unwrap().path()).unwrap());
        }
    }
    messages
}

/// Takes header fields off a message's front: each must be there, in this order, once.
pub fn strip_fields<'a>(mut message: &'a [u8], names: &[&str]) -> Result<&'a [u8], String> {
    for name in names {
        let found = message.get(..name.len() + 1).unwrap_or(message);
        if !found.eq_ignore_ascii_case(format!("{name}:").as_bytes()) {
            let start = String::from_utf8_lossy(&message[..message.len().min(200)]);
            return Err(format!("{name}: expected at {start:?}"));
        }
        message = behind_field(message);
    }
    Ok(message)
}

/// What follows the first field and its folded lines.
fn behind_field(message: &[u8]) -> &[u8] {
    let mut at = 0;
    loop {
        at += match message[at..].iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None => return &[],
        };
        if !matches!(message.get(at), Some(b' ' | b'\t')) {
            return &message[at..];
        }
    }
}

/// CRLF becomes LF, for servers that store lines in their system's manner.
pub fn unix_lines(message: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(message.len());
    for (place, byte) in message.iter().enumerate() {
        if *byte != b'\r' || message.get(place + 1) != Some(&b'\n') {
            lines.push(*byte);
        }
    }
    lines
}

/// `Ok`, or the place of the first difference with what stands around it.
pub fn same(expected: &[u8], found: &[u8]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let place = (expected.iter().zip(found))
        .position(|(a, b)| a != b)
        .unwrap_or(expected.len().min(found.len()));
    let around = |bytes: &[u8]| {
        let from = place.saturating_sub(30);
        let to = bytes.len().min(place + 30);
        String::from_utf8_lossy(&bytes[from.min(to)..to]).into_owned()
    };
    Err(format!(
        "{} bytes expected, {} found; differ at {place}: {:?} expected, {:?} found",
        expected.len(),
        found.len(),
        around(expected),
        around(found)
    ))
}
