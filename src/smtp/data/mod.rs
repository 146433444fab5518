//! What travels between DATA's 354 and its reply, or in the chunks of BDAT, exact to the
//! byte in both directions (RFC 5321 §4.5.2, RFC 3030 §2).
//!
//! Inwards, [`Decoder`] ends a message at CRLF `.` CRLF (or at `.` CRLF if nothing came
//! before) and at nothing else, takes away the dots that the sender put at the start of
//! lines, and otherwise hands on every byte as it came, with two exceptions:
//!
//! - a bare LF (one without CR before it) becomes CRLF, as in Postfix 3.9, and the line
//!   behind it is an ordinary line;
//! - a bare CR (one without LF behind it) stays as it is, unless nothing but NULs stands
//!   between it and a dot: then it becomes CRLF too.
//!
//! Both are counted. They are what smuggling lives on: a server that takes a bare CR or
//! LF for a line end, or drops NULs, would see the end of the message in LF `.` LF or
//! CR NUL `.` CR, which a conforming sender may pass on unchanged.
//!
//! With BDAT ([`Decoder::chunked`]) no dot means anything, and nothing but the count ends a
//! chunk. The same two rules hold, wherever the chunks are cut, and a third: a last line
//! without CRLF gets one. The message may have to go on with DATA, which can carry neither
//! bare LF nor an unfinished line unchanged; so it is made what DATA can carry before its
//! digest is taken, and goes out as the bytes that are kept. BINARYMIME forbids exactly
//! this, and therefore is not offered.
//!
//! Outwards, [`Encoder`] puts a dot in front of every line whose first byte that is not
//! NUL is a dot. A conforming server takes that dot away again; a careless one sees two
//! dots and no end. What it could still mistake, it refuses to send ([`Smuggling`]);
//! nothing that came through the decoder holds such a sequence.

mod decoder;
mod encoder;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use decoder::{Decoded, Decoder};
pub use encoder::{Encoder, Smuggling};
