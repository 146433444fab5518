//! Bytes to responses: lines and literals as they come, in constant memory.
//!
//! It knows no socket: bytes are fed, frames are taken. The body of a message is given in
//! pieces and never kept; everything else of a response is gathered, up to a bound. Each
//! byte is looked at once, however the network cuts them.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

/// Longest piece of a body.
pub(super) const CHUNK_BYTES_MAX: usize = 128 << 10;

/// How much longer than others a response may be that is only a list of numbers: SEARCH,
/// ESEARCH and VANISHED of a folder with a million messages.
const NUMBERS_FACTOR: usize = 16;

/// A response without its last CRLF. Literals stand in it as on the wire, `{5}` CRLF and
/// their bytes; of a body that was given in pieces only `{5}` CRLF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Where the body was cut out: right behind that CRLF.
    pub(super) cut: Option<usize>,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A body begins, with so many bytes. [`Framer::head`] is what stood before it.
    Body(u64),
    /// A piece of the body, never empty.
    Chunk(Bytes),
    /// A response is complete.
    Response(Raw),
}

/// It cannot be IMAP, or is more than is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// Beyond the bound.
    #[error("a response of more than {0} bytes")]
    TooLong(usize),
    /// Twice BODY[] in one response.
    #[error("a message with two bodies")]
    TwoBodies,
    /// A line that ends in LF without CR.
    #[error("a line without CR at its end")]
    BareLf,
}

/// From bytes to frames.
#[derive(Debug)]
pub(super) struct Framer {
    input: BytesMut,
    /// Bytes at the head of `input` that have no LF.
    scanned: usize,
    response: Vec<u8>,
    cut: Option<usize>,
    state: State,
    response_bytes_max: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Line,
    /// In a literal that is gathered: bytes to come.
    Literal(usize),
    /// In a body: bytes to come.
    Body(u64),
}

impl Framer {
    /// With a bound in bytes for a response.
    pub(super) fn new(response_bytes_max: usize) -> Self {
        Self {
            input: BytesMut::new(),
            scanned: 0,
            response: Vec::new(),
            cut: None,
            state: State::Line,
            response_bytes_max,
        }
    }

    /// Where bytes from the network are put.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// How many bytes wait to be framed.
    pub(super) fn waiting(&self) -> usize {
        self.input.len()
    }

    /// The response so far: at [`Frame::Body`] what stands before the body.
    pub(super) fn head(&self) -> &[u8] {
        &self.response
    }

    /// The next frame; nothing: more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`], after which nothing more can be made of the bytes.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match self.state {
                State::Line => {
                    let Some(literal) = self.line()? else {
                        return Ok(None);
                    };
                    match literal {
                        Literal::None => {
                            let bytes = std::mem::take(&mut self.response);
                            let cut = self.cut.take();
                            return Ok(Some(Frame::Response(Raw { bytes, cut })));
                        }
                        Literal::Body(bytes) => {
                            if self.cut.replace(self.response.len()).is_some() {
                                return Err(FrameError::TwoBodies);
                            }
                            self.state = State::Body(bytes);
                            return Ok(Some(Frame::Body(bytes)));
                        }
                        Literal::Gathered(bytes) => {
                            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                            self.room_for(bytes)?;
                            self.state = State::Literal(bytes);
                        }
                    }
                }
                State::Literal(0) | State::Body(0) => self.state = State::Line,
                State::Literal(left) => {
                    let now = left.min(self.input.len());
                    if now == 0 {
                        return Ok(None);
                    }
                    self.response.extend_from_slice(&self.input.split_to(now));
                    self.state = State::Literal(left - now);
                }
                State::Body(left) => {
                    let waiting = self.input.len().min(CHUNK_BYTES_MAX);
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(waiting);
                    if now == 0 {
                        return Ok(None);
                    }
                    self.state = State::Body(left - now as u64);
                    return Ok(Some(Frame::Chunk(self.input.split_to(now).freeze())));
                }
            }
        }
    }

    /// Takes a line up to its end, and says what follows it; nothing: it is not whole yet.
    fn line(&mut self) -> Result<Option<Literal>, FrameError> {
        let fresh = self.input.get(self.scanned..).unwrap_or_default();
        let Some(at) = memchr(b'\n', fresh) else {
            self.scanned = self.input.len();
            self.room_for(self.scanned)?;
            return Ok(None);
        };
        let line = self.scanned + at;
        self.scanned = 0;
        self.room_for(line)?;
        self.response.extend_from_slice(&self.input.split_to(line));
        self.input.advance(1);
        // RFC 9051 §2.2: lines end in CRLF. A lone LF would let a server's careless text
        // begin a response of its own.
        if self.response.last() != Some(&b'\r') {
            return Err(FrameError::BareLf);
        }
        self.response.pop();
        let literal = literal(&self.response);
        if !matches!(literal, Literal::None) {
            self.response.extend_from_slice(b"\r\n");
        }
        Ok(Some(literal))
    }

    fn room_for(&self, more: usize) -> Result<(), FrameError> {
        let start = |prefix: &[u8]| {
            let from = if self.response.is_empty() {
                &self.input[..]
            } else {
                &self.response[..]
            };
            from.get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        let numbers = [&b"* SEARCH"[..], b"* ESEARCH", b"* VANISHED"];
        let factor = if numbers.iter().any(|prefix| start(prefix)) {
            NUMBERS_FACTOR
        } else {
            1
        };
        let most = self.response_bytes_max.saturating_mul(factor);
        if self.response.len().saturating_add(more) > most {
            return Err(FrameError::TooLong(most));
        }
        Ok(())
    }
}

/// What a line announces at its end.
enum Literal {
    None,
    Gathered(u64),
    Body(u64),
}

/// RFC 9051 §9 literal, RFC 3516 literal8, at the end of a response so far.
fn literal(response: &[u8]) -> Literal {
    let Some((before, bytes)) = announced(response) else {
        return Literal::None;
    };
    // The text of a status response, a tagged one or `+` is free and ends with its line,
    // whatever it looks like.
    let Some(rest) = response.strip_prefix(b"* ") else {
        return Literal::None;
    };
    let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let status = [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"];
    if status
        .iter()
        .any(|status| word.eq_ignore_ascii_case(status))
    {
        return Literal::None;
    }
    let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    if is_number && ends_in_body(before) {
        return Literal::Body(bytes);
    }
    Literal::Gathered(bytes)
}

/// What stands before `{n}` and the n of it.
fn announced(response: &[u8]) -> Option<(&[u8], u64)> {
    let inner = response.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let digits = (inner.iter().rev())
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (before, number) = inner.split_at_checked(inner.len() - digits)?;
    let before = before.strip_suffix(b"{")?;
    let bytes = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((before.strip_suffix(b"~").unwrap_or(before), bytes))
}

/// Whether BODY[] is what the literal belongs to.
fn ends_in_body(before: &[u8]) -> bool {
    const ITEM: &[u8] = b"BODY[] ";
    let Some(at) = before.len().checked_sub(ITEM.len()) else {
        return false;
    };
    let (head, item) = before.split_at(at);
    item.eq_ignore_ascii_case(ITEM) && matches!(head.last(), Some(b' ' | b'('))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames of these pieces, with the chunks of a body put together.
    fn frames(pieces: &[&[u8]], bound: usize) -> Result<Vec<Frame>, FrameError> {
        let (mut framer, mut all) = (Framer::new(bound), Vec::new());
        for piece in pieces {
            framer.input().extend_from_slice(piece);
            while let Some(frame) = framer.next()? {
                match (all.last_mut(), frame) {
                    (Some(Frame::Chunk(so_far)), Frame::Chunk(more)) => {
                        *so_far = Bytes::from([&so_far[..], &more[..]].concat());
                    }
                    (_, frame) => all.push(frame),
                }
            }
        }
        Ok(all)
    }

    fn response(bytes: &[u8], cut: Option<usize>) -> Frame {
        let bytes = bytes.to_vec();
        Frame::Response(Raw { bytes, cut })
    }

    const CONVERSATION: &[u8] = b"* OK [ALERT] ends {5}\r\n\
        * LIST () \"/\" {3}\r\na\r\n\r\n\
        * 7 FETCH (UID 9 BODY[] {4}\r\n\r\n{9} FLAGS (\\Seen))\r\n\
        * 8 FETCH (UID 10 body[] ~{0}\r\n)\r\n\
        r1 NO sorry {3}\r\n\
        + go {1}\r\n";

    #[test]
    fn literals_are_told_from_text() {
        let all = frames(&[CONVERSATION], 1000).unwrap();
        let fetch = b"* 7 FETCH (UID 9 BODY[] {4}\r\n FLAGS (\\Seen))";
        let empty = b"* 8 FETCH (UID 10 body[] ~{0}\r\n)";
        assert_eq!(
            all,
            [
                response(b"* OK [ALERT] ends {5}", None),
                response(b"* LIST () \"/\" {3}\r\na\r\n", None),
                Frame::Body(4),
                Frame::Chunk(Bytes::from_static(b"\r\n{9")),
                response(
                    b"* 7 FETCH (UID 9 BODY[] {4}\r\n} FLAGS (\\Seen))",
                    Some(29)
                ),
                Frame::Body(0),
                response(empty, Some(31)),
                response(b"r1 NO sorry {3}", None),
                response(b"+ go {1}", None),
            ],
            "{fetch:?}"
        );
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let long = [b'x'; 101];
        assert_eq!(frames(&[&long], 100), Err(FrameError::TooLong(100)));
        let literal = b"* LIST () \"/\" {4294967295}\r\n";
        assert_eq!(frames(&[literal], 100), Err(FrameError::TooLong(100)));
        let numbers = [&b"* SEARCH"[..], &b" 1".repeat(500), b"\r\n"].concat();
        assert_eq!(frames(&[&numbers], 100).unwrap().len(), 1);
        let body = b"* 1 FETCH (UID 1 BODY[] {18446744073709551615}\r\nx";
        assert_eq!(frames(&[body], 100).unwrap().len(), 2);
        assert_eq!(frames(&[b"* OK\n"], 100), Err(FrameError::BareLf));
        let twice = b"* 1 FETCH (BODY[] {1}\r\nx BODY[] {1}\r\nx)\r\n";
        assert_eq!(frames(&[twice], 100), Err(FrameError::TwoBodies));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(cuts in proptest::collection::vec(0..CONVERSATION.len(), 0..40)) {
            let mut cuts = cuts;
            cuts.extend([0, CONVERSATION.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = (cuts.windows(2))
                .map(|cut| &CONVERSATION[cut[0]..cut[1]])
                .collect();
            prop_assert_eq!(frames(&pieces, 1000), frames(&[CONVERSATION], 1000));
        }

        #[test]
        fn rubbish_is_the_same_byte_by_byte(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just(b"* ".to_vec()), Just(b"1 FETCH (".to_vec()), Just(b"BODY[] ".to_vec()),
                    Just(b"{3}".to_vec()), Just(b"~{2}".to_vec()), Just(b"\r\n".to_vec()),
                    Just(b"OK ".to_vec()), proptest::collection::vec(any::<u8>(), 0..4),
                ],
                0..30,
            ),
        ) {
            let whole = parts.concat();
            let bytes: Vec<&[u8]> = whole.chunks(1).collect();
            prop_assert_eq!(frames(&bytes, 40).is_ok(), frames(&[&whole], 40).is_ok());
            if let Ok(all) = frames(&[&whole], 40) {
                prop_assert_eq!(frames(&bytes, 40).unwrap(), all);
            }
        }
    }
}
