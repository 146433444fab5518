//! How often a message was handed on already (RFC 5321 §6.3), counted in its header while it
//! comes in.

use std::fmt;

/// RFC 5321 §6.3 asks for at least 100.
const RECEIVED_MAX: u32 = 100;
/// A forward by the new server may bring a message back once or twice.
const OWN_MAX: u32 = 2;
/// What is kept of a line that comes in pieces; the rest is not looked at.
const LINE_BYTES_MAX: usize = 1024;

/// Counts trace headers. Memory: a line at most.
#[derive(Debug)]
pub struct Hops {
    /// How our own trace header names us.
    mark: Vec<u8>,
    /// The piece of a line whose end has not come yet.
    line: Vec<u8>,
    place: Place,
    received: u32,
    own: u32,
}

/// Where in a message the next line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In the header.
    Header,
    /// In a `Received` field.
    Received,
    /// In a `Received` field of ours.
    Own,
    /// Behind the header.
    Body,
}

/// A message goes in circles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loop {
    /// It was here before, more often than a forward explains.
    Here,
    /// It was handed on too often.
    TooManyHops,
}

/// For the client.
impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "mail loop detected",
            Self::TooManyHops => "too many hops",
        })
    }
}

impl Hops {
    /// For a server of this name.
    #[must_use]
    pub fn new(hostname: &str) -> Self {
        Self {
            mark: format!("by {hostname} (relay)").into_bytes(),
            line: Vec::new(),
            place: Place::Header,
            received: 0,
            own: 0,
        }
    }

    /// Takes the message's next bytes, cut anywhere.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.place != Place::Body && !bytes.is_empty() {
            let Some(at) = memchr::memchr(b'\n', bytes) else {
                self.hold(bytes);
                return;
            };
            let (line, rest) = bytes.split_at_checked(at + 1).unwrap_or((bytes, b""));
            if self.line.is_empty() {
                self.take(line);
            } else {
                self.hold(line);
                let held = std::mem::take(&mut self.line);
                self.take(&held);
                self.line = held;
                self.line.clear();
            }
            bytes = rest;
        }
    }

    /// What the header says, as far as it has come in.
    #[must_use]
    pub fn verdict(&self) -> Option<Loop> {
        if self.own > OWN_MAX {
            Some(Loop::Here)
        } else if self.received > RECEIVED_MAX {
            Some(Loop::TooManyHops)
        } else {
            None
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        let piece = piece.get(..room).unwrap_or(piece);
        self.line.extend_from_slice(piece);
    }

    fn take(&mut self, line: &[u8]) {
        self.place = match (line.first(), self.place) {
            (Some(b' ' | b'\t'), place) => place,
            _ if is_received(line) => {
                self.received = self.received.saturating_add(1);
                Place::Received
            }
            // RFC 5322 §2.1: an empty line, or what is no field, begins the body.
            _ if !line.contains(&b':') => Place::Body,
            _ => Place::Header,
        };
        if self.place == Place::Received && self.names_us(line) {
            self.own = self.own.saturating_add(1);
            self.place = Place::Own;
        }
    }

    fn names_us(&self, line: &[u8]) -> bool {
        line.windows(self.mark.len())
            .any(|part| part.eq_ignore_ascii_case(&self.mark))
    }
}

/// RFC 5322 §3.6.7, in letters of either case, with blanks before the colon (§4.5.8).
fn is_received(line: &[u8]) -> bool {
    let Some((name, rest)) = line.split_at_checked(b"Received".len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(b"Received") && rest.trim_ascii_start().starts_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str =
        "Received: from a (b [192.0.2.1])\r\n\tby mx.test (relay) with ESMTP id 1;\r\n\tMon\r\n";

    fn verdict(message: &str, cut: usize) -> Option<Loop> {
        let mut hops = Hops::new("mx.test");
        let (first, second) = message.as_bytes().split_at(cut);
        hops.push(first);
        hops.push(second);
        hops.verdict()
    }

    #[test]
    fn our_own_name_counts_wherever_it_is_cut() {
        let twice = format!("{OWN}Subject: x\r\n{OWN}\r\n{OWN}");
        let thrice = format!("{OWN}{OWN}{}\r\nx\r\n", OWN.to_uppercase());
        for cut in 0..twice.len() {
            assert_eq!(verdict(&twice, cut), None, "{cut}");
        }
        for cut in 0..thrice.len() {
            assert_eq!(verdict(&thrice, cut), Some(Loop::Here), "{cut}");
        }
    }

    #[test]
    fn hops_are_counted_in_the_header_alone() {
        let hop = "rEceived : from a by b;\r\n by mx.test2 (relay)\r\n";
        let most = hop.repeat(100);
        assert_eq!(verdict(&format!("{most}\r\n{hop}"), 9), None);
        assert_eq!(verdict(&format!("{most}no field\r\n{hop}"), 9), None);
        let body = format!("{most}X: y\r\n{hop}\r\n");
        assert_eq!(verdict(&body, 9), Some(Loop::TooManyHops));
        assert_eq!(verdict(&"Received-SPF: pass\r\n".repeat(200), 9), None);
        assert_eq!(verdict(&"X: by mx.test (relay)\r\n".repeat(9), 9), None);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut hops = Hops::new("mx.test");
        for _ in 0..100 {
            hops.push(&[b'x'; 1000]);
        }
        assert_eq!(hops.line.len(), LINE_BYTES_MAX);
    }
}
