//! The text of one line: bounded, and free of anything that could end it.

use std::fmt::{self, Write as _};

/// Longest text of a line, in bytes, its header not counted. Postfix has 2000 too.
pub(super) const TEXT_BYTES_MAX: usize = 2000;
/// What a text that was cut off ends with.
const CUT: &[u8] = b"...";

/// A text that is put together piece by piece.
#[derive(Default)]
pub(super) struct Line {
    bytes: Vec<u8>,
    /// Nothing is added any more.
    full: bool,
}

impl Line {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.full = false;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a text, as far as there is room.
    pub(super) fn add(&mut self, text: fmt::Arguments<'_>) {
        // An error means that the line is full, which it shows itself.
        let _ = self.write_fmt(text);
    }

    fn push(&mut self, piece: &str) -> fmt::Result {
        if self.full {
            return Err(fmt::Error);
        }
        let room = (TEXT_BYTES_MAX - CUT.len()).saturating_sub(self.bytes.len());
        if piece.len() <= room {
            self.bytes.extend_from_slice(piece.as_bytes());
            return Ok(());
        }
        let (fits, _) = piece.split_at(piece.floor_char_boundary(room));
        self.bytes.extend_from_slice(fits.as_bytes());
        self.bytes.extend_from_slice(CUT);
        self.full = true;
        // Ends the formatting: the rest of an endless text is never made.
        Err(fmt::Error)
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Written without a branch so that the compiler checks many bytes at a time.
        let unusual = text
            .bytes()
            .fold(false, |unusual, b| unusual | !(b' '..=b'~').contains(&b));
        if !unusual {
            return self.push(text);
        }
        let mut buffer = [0; 4];
        text.chars().try_for_each(|c| {
            let c = if breaks_a_line(c) { '?' } else { c };
            self.push(c.encode_utf8(&mut buffer))
        })
    }
}

/// Control characters, line and paragraph separators, and what changes the direction of
/// the text behind it: whatever could make a terminal show a line that was not written.
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let mut line = Line::default();
        line.add(format_args!("{text}"));
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn no_text_can_forge_a_line() {
        let forged = "helo=<x>\r\nNov 23 10:00:01 h postfix-relay/qmgr[1]: A: removed\0\x1b[2K\x7f";
        let written = line(forged);
        assert_eq!(
            written,
            "helo=<x>??Nov 23 10:00:01 h postfix-relay/qmgr[1]: A: removed??[2K?"
        );
        assert_eq!(line("a\u{85}b\u{9b}c\u{2028}d\u{202e}e"), "a?b?c?d?e");
        assert_eq!(line("to=<jürgen@例え.example>"), "to=<jürgen@例え.example>");
    }

    #[test]
    fn a_line_is_bounded() {
        for (text, bytes) in [
            ("x".repeat(TEXT_BYTES_MAX - 3), TEXT_BYTES_MAX - 3),
            ("x".repeat(1 << 20), TEXT_BYTES_MAX),
            // Never half a character.
            ("ü".repeat(2000), TEXT_BYTES_MAX - 1),
            ("例".repeat(2000), TEXT_BYTES_MAX - 2),
        ] {
            let written = line(&text);
            assert_eq!(written.len(), bytes, "{written}");
            assert_eq!(written.ends_with("..."), text.len() > bytes);
        }
    }

    #[test]
    fn a_full_line_stops_the_formatting() {
        struct Endless<'c>(&'c std::cell::Cell<u32>);
        impl fmt::Display for Endless<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("0123456789")?;
                }
            }
        }
        let written = std::cell::Cell::new(0);
        let mut line = Line::default();
        line.add(format_args!("{}", Endless(&written)));
        line.add(format_args!("more"));
        assert_eq!(written.get(), 200);
        assert!(line.as_bytes().ends_with(b"6..."));

        line.clear();
        line.add(format_args!("new"));
        assert_eq!(line.as_bytes(), b"new");
    }
}
