//! From the wire to the message.

use memchr::memchr2;

/// Takes a message off the wire. See the [module](super) for its rules.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    state: State,
    bare_newlines: u64,
    completed: bool,
}

/// How the message stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    /// Lines, with dots put in front of dots, up to a lone dot (RFC 5321 §4.5.2).
    Data,
    /// As it is, in counted chunks (RFC 3030 §2).
    Chunks,
}

/// What one call of [`Decoder::decode`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoded<'a> {
    /// The next bytes of the message; may be empty.
    pub content: &'a [u8],
    /// How many bytes of the input are done with.
    pub consumed: usize,
    /// Whether the end of the message was among them. What follows is the next command.
    pub ended: bool,
}

/// Where in a line the wire is, and what is held back until the next byte decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// At the start of a line.
    LineStart(After),
    /// A dot at the start of a line is held.
    Dot(After),
    /// Dot and CR at the start of a line are held.
    DotCr(After),
    /// In a line, nothing is held.
    Text,
    /// A CR is held.
    Cr,
    /// A CR and this many NULs are held.
    CrNul(u64),
    /// This many NULs are to be handed on.
    Nul(u64),
    /// The message is complete.
    Ended,
}

/// How the line before ended: only behind a true line end may a lone dot end the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// CRLF, or the message begins here.
    CrLf,
    /// A bare LF.
    BareLf,
}

const CRLF: &[u8] = b"\r\n";
const NULS: &[u8] = &[0; 64];

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a message that comes with DATA.
    #[must_use]
    pub fn new() -> Self {
        Self::framed(Framing::Data)
    }

    /// A decoder at the start of a message that comes with BDAT: no byte sequence ends it
    /// and no dot is taken away; its caller counts the bytes and says [`Decoder::finish`].
    #[must_use]
    pub fn chunked() -> Self {
        Self::framed(Framing::Chunks)
    }

    fn framed(framing: Framing) -> Self {
        Self {
            framing,
            state: State::LineStart(After::CrLf),
            bare_newlines: 0,
            completed: false,
        }
    }

    /// How many bare LFs and CRs have become CRLF.
    #[must_use]
    pub fn bare_newlines(&self) -> u64 {
        self.bare_newlines
    }

    /// Whether [`Decoder::finish`] had to end the last line.
    #[must_use]
    pub fn completed(&self) -> bool {
        self.completed
    }

    /// Takes the next bytes off the wire; `input` may be cut anywhere. Call it again
    /// with what was not consumed until there is nothing left or the message has ended.
    /// Each call consumes bytes or makes progress with what it held back.
    #[must_use]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Decoded<'a> {
        let Some(&next) = input.first() else {
            return self.emit(self.state, b"", 0);
        };
        match (self.state, next) {
            (State::LineStart(after), b'.') if self.framing == Framing::Data => {
                self.emit(State::Dot(after), b"", 1)
            }
            (State::LineStart(_) | State::Text, _) => self.text(input),

            (State::Dot(after), b'\r') => self.emit(State::DotCr(after), b"", 1),
            // A lone dot that does not end the message cannot have been put there by
            // stuffing: it is content.
            (State::Dot(_), b'\n') => self.newline(b".\r\n", State::LineStart(After::BareLf)),
            // RFC 5321 §4.5.2: the first dot goes if there are other characters behind it.
            (State::Dot(_), _) => self.text(input),

            // RFC 5321 §4.1.1.4: this, and nothing like it, is the end.
            (State::DotCr(After::CrLf), b'\n') => {
                self.state = State::Ended;
                Decoded {
                    content: b"",
                    consumed: 1,
                    ended: true,
                }
            }
            (State::DotCr(After::BareLf), b'\n') => {
                self.emit(State::LineStart(After::CrLf), b".\r\n", 1)
            }
            (State::DotCr(_), _) => self.emit(State::Cr, b"", 0),

            (State::Cr, b'\n') => self.emit(State::LineStart(After::CrLf), CRLF, 1),
            (State::Cr, b'\r') => self.emit(State::Cr, b"\r", 1),
            (State::Cr, 0) => self.emit(State::CrNul(1), b"", 1),
            (State::Cr, b'.') => self.newline(b"\r\n.", State::Text),
            (State::Cr, _) => self.emit(State::Text, b"\r", 0),

            (State::CrNul(count), 0) => self.emit(State::CrNul(count + 1), b"", 1),
            (State::CrNul(count), b'.') => {
                self.bare_newlines += 1;
                self.emit(State::Nul(count), CRLF, 0)
            }
            (State::CrNul(count), _) => self.emit(State::Nul(count), b"\r", 0),

            (State::Nul(count), _) => {
                let nuls = self.nuls(count);
                self.emit(self.state, nuls, 0)
            }

            (State::Ended, _) => Decoded {
                content: b"",
                consumed: 0,
                ended: true,
            },
        }
    }

    /// The chunks are complete: what was held back, and the end of the last line if it has
    /// none, since DATA could not carry it on without one. Call it until it returns nothing.
    /// A message that came with DATA has its end already.
    #[must_use]
    pub fn finish(&mut self) -> &'static [u8] {
        match self.state {
            State::CrNul(count) => {
                self.state = State::Nul(count);
                b"\r"
            }
            State::Nul(count) => self.nuls(count),
            // A CR at the very end lacks only its LF.
            State::Text | State::Cr => {
                self.completed = true;
                self.state = State::LineStart(After::CrLf);
                CRLF
            }
            State::LineStart(_) | State::Dot(_) | State::DotCr(_) | State::Ended => b"",
        }
    }

    /// As many of these NULs as can be handed on at once.
    fn nuls(&mut self, count: u64) -> &'static [u8] {
        let nuls = usize::try_from(count)
            .ok()
            .and_then(|count| NULS.get(..count))
            .unwrap_or(NULS);
        let left = count - nuls.len() as u64;
        self.state = if left == 0 {
            State::Text
        } else {
            State::Nul(left)
        };
        nuls
    }

    fn emit<'a>(&mut self, state: State, content: &'a [u8], consumed: usize) -> Decoded<'a> {
        self.state = state;
        Decoded {
            content,
            consumed,
            ended: state == State::Ended,
        }
    }

    /// One byte consumed, and a bare newline made whole.
    fn newline<'a>(&mut self, content: &'static [u8], state: State) -> Decoded<'a> {
        self.bare_newlines += 1;
        self.emit(state, content, 1)
    }

    /// The fast path: as much of `input` as can be handed on as one slice, across all
    /// lines that need no change.
    fn text<'a>(&mut self, input: &'a [u8]) -> Decoded<'a> {
        let mut from = 0;
        while let Some(found) = input
            .get(from..)
            .and_then(|rest| memchr2(b'\r', b'\n', rest))
        {
            let at = from + found;
            match (input.get(at), input.get(at + 1), input.get(at + 2)) {
                (Some(b'\r'), Some(b'\n'), Some(b'.') | None) => {
                    let done = at + 2;
                    let content = input.get(..done).unwrap_or_default();
                    return self.emit(State::LineStart(After::CrLf), content, done);
                }
                (Some(b'\r'), Some(b'\n'), Some(_)) => from = at + 2,
                (Some(b'\r'), Some(0 | b'.') | None, _) => {
                    let content = input.get(..at).unwrap_or_default();
                    return self.emit(State::Cr, content, at + 1);
                }
                (Some(b'\r'), Some(_), _) => from = at + 1,
                // A bare LF: it is consumed by the call that has nothing before it.
                _ if at > 0 => {
                    let content = input.get(..at).unwrap_or_default();
                    return self.emit(State::Text, content, at);
                }
                _ => return self.newline(CRLF, State::LineStart(After::BareLf)),
            }
        }
        self.emit(State::Text, input, input.len())
    }
}
