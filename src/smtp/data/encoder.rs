//! From the message to the wire.

use memchr::memchr2;

/// How many NULs at the start of a line are held back until it is known whether a dot
/// follows. A line with more of them, and then a dot, is not sent.
const NULS_HELD_MAX: usize = 64 * 1024;

/// Puts a message on the wire. See the [module](super) for its rules.
#[derive(Debug)]
pub struct Encoder {
    state: State,
    content_bytes: u64,
    wire_bytes: u64,
}

/// The message holds a dot that a careless server would take for the start of a line,
/// and that cannot be protected without altering the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the message has a dot behind a bare CR or LF at byte {offset}, which could be taken for its end"
)]
pub struct Smuggling {
    /// Offset of the dot in the content.
    pub offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// At the start of a line, with this many NULs held back.
    LineStart(usize),
    /// In a line.
    Text,
    /// Behind a CR.
    Cr,
    /// Behind a bare CR or LF, or behind too many NULs to hold, with nothing but NULs
    /// since.
    Bare,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder at the start of a message.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::LineStart(0),
            content_bytes: 0,
            wire_bytes: 0,
        }
    }

    /// How many bytes were put on the wire so far.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// Appends to `wire` what stands for the next bytes of the message. `content` may be
    /// cut anywhere; it grows by one byte for each line that begins with a dot.
    ///
    /// # Errors
    /// [`Smuggling`]: nothing may be sent any more, not even an end of data; the
    /// connection has to be dropped.
    pub fn encode(&mut self, content: &[u8], wire: &mut Vec<u8>) -> Result<(), Smuggling> {
        let before = wire.len();
        wire.reserve(content.len() + content.len() / 64 + 8);
        let mut rest = content;
        while let Some(&next) = rest.first() {
            let taken = match (self.state, next) {
                (State::LineStart(NULS_HELD_MAX), 0) => {
                    push_nuls(wire, NULS_HELD_MAX);
                    self.put(next, State::Bare, wire)
                }
                (State::LineStart(count), 0) => {
                    self.state = State::LineStart(count + 1);
                    1
                }
                (State::LineStart(count), _) => {
                    // RFC 5321 §4.5.2. In front of the NULs, where a conforming server
                    // takes it away, and one that drops NULs sees two dots.
                    if next == b'.' {
                        wire.push(b'.');
                    }
                    push_nuls(wire, count);
                    self.text(rest, wire)
                }
                (State::Text, _) => self.text(rest, wire),
                (State::Cr, b'\n') => self.put(next, State::LineStart(0), wire),
                (State::Cr | State::Bare, b'.') => {
                    let offset = self.content_bytes + (content.len() - rest.len()) as u64;
                    return Err(Smuggling { offset });
                }
                (State::Cr | State::Bare, 0) => self.put(next, State::Bare, wire),
                (State::Cr | State::Bare, b'\r') => self.put(next, State::Cr, wire),
                (State::Bare, b'\n') => self.put(next, State::Bare, wire),
                (State::Cr | State::Bare, _) => self.text(rest, wire),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.content_bytes += content.len() as u64;
        self.wire_bytes += (wire.len() - before) as u64;
        Ok(())
    }

    /// Appends the end of data: a line end if the message has none, and the dot. Returns
    /// how many bytes stand for the whole message.
    pub fn finish(mut self, wire: &mut Vec<u8>) -> u64 {
        let before = wire.len();
        match self.state {
            State::LineStart(0) => {}
            State::LineStart(count) => {
                push_nuls(wire, count);
                wire.extend_from_slice(b"\r\n");
            }
            // DATA cannot carry a last line without its end.
            State::Text | State::Cr | State::Bare => wire.extend_from_slice(b"\r\n"),
        }
        wire.extend_from_slice(b".\r\n");
        self.wire_bytes += (wire.len() - before) as u64;
        self.wire_bytes
    }

    fn put(&mut self, byte: u8, state: State, wire: &mut Vec<u8>) -> usize {
        wire.push(byte);
        self.state = state;
        1
    }

    /// The fast path: copies up to the next place where something must be decided.
    fn text(&mut self, rest: &[u8], wire: &mut Vec<u8>) -> usize {
        let mut from = 0;
        let (state, taken) = loop {
            let tail = rest.get(from..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', tail) else {
                break (State::Text, rest.len());
            };
            let at = from + found;
            match (rest.get(at), rest.get(at + 1), rest.get(at + 2)) {
                (Some(b'\r'), Some(b'\n'), Some(0 | b'.') | None) => {
                    break (State::LineStart(0), at + 2);
                }
                (Some(b'\r'), Some(b'\n'), Some(_)) => from = at + 2,
                (Some(b'\r'), _, _) => break (State::Cr, at + 1),
                _ => break (State::Bare, at + 1),
            }
        };
        wire.extend_from_slice(rest.get(..taken).unwrap_or_default());
        self.state = state;
        taken
    }
}

fn push_nuls(wire: &mut Vec<u8>, count: usize) {
    wire.resize(wire.len() + count, 0);
}
