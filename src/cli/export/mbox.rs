//! One file in the mboxrd form, which can be undone to the byte: a reader takes one `>`
//! from each line of `>`s and `From `.

use super::{Store, create};
use crate::{
    cli::human,
    control::view::{MessageView, NULL_SENDER},
};
use jiff::tz::TimeZone;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

/// `relay.mbox` in a directory.
pub struct Mbox {
    quoter: Quoter<BufWriter<File>>,
}

impl Mbox {
    /// Makes the file.
    pub fn new(directory: &Path) -> anyhow::Result<Self> {
        let file = create(&directory.join("relay.mbox"))?;
        let quoter = Quoter::new(BufWriter::new(file));
        Ok(Self { quoter })
    }
}

impl Store for Mbox {
    fn begin(&mut self, message: &MessageView) -> anyhow::Result<&mut (dyn Write + Send)> {
        self.quoter.begin(&from_line(message))?;
        Ok(&mut self.quoter)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        Ok(self.quoter.end()?)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.quoter.out.flush()?;
        Ok(self.quoter.out.get_ref().sync_all()?)
    }
}

/// `From alice@example.org Mon Nov 23 10:00:01 2026`, in UTC as mbox(5) wants. A blank in
/// a quoted local part would end the address.
fn from_line(message: &MessageView) -> String {
    let sender = if message.sender.contains(char::is_whitespace) {
        NULL_SENDER
    } else {
        &message.sender
    };
    let time = human::zoned(message.arrival_time_ms, TimeZone::UTC);
    format!("From {sender} {}\n", time.strftime("%a %b %e %H:%M:%S %Y"))
}

const FROM: &[u8] = b"From ";

/// Puts a `>` in front of what looks like a `From ` line, in constant memory: of a
/// line's beginning only what may still become `From ` is held back, since a `>` before
/// or behind other `>`s is the same.
struct Quoter<W> {
    out: W,
    place: Place,
}

enum Place {
    /// At the start of a line.
    Fresh,
    /// Behind `>`s at its start, and so many bytes of `From ` that are held back.
    Prefix { held: usize },
    /// Further on.
    Within,
}

impl<W: Write> Quoter<W> {
    fn new(out: W) -> Self {
        let place = Place::Fresh;
        Self { out, place }
    }

    fn begin(&mut self, from_line: &str) -> io::Result<()> {
        self.place = Place::Fresh;
        self.out.write_all(from_line.as_bytes())
    }

    /// Ends the last line if it is open, and adds the empty line.
    fn end(&mut self) -> io::Result<()> {
        if let Place::Prefix { held } = self.place {
            self.let_go(held)?;
        }
        match self.place {
            Place::Fresh => self.out.write_all(b"\n"),
            Place::Prefix { .. } | Place::Within => self.out.write_all(b"\n\n"),
        }
    }

    fn let_go(&mut self, held: usize) -> io::Result<()> {
        self.out.write_all(FROM.get(..held).unwrap_or_default())
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        let held = match self.place {
            Place::Fresh => 0,
            Place::Prefix { held } => held,
            Place::Within => return self.plain(byte),
        };
        if FROM.get(held) != Some(&byte) {
            self.let_go(held)?;
            self.place = if held == 0 && byte == b'>' {
                Place::Prefix { held: 0 }
            } else {
                Place::Within
            };
            return self.plain(byte);
        }
        let held = held + 1;
        if held < FROM.len() {
            self.place = Place::Prefix { held };
            return Ok(());
        }
        self.place = Place::Within;
        self.out.write_all(b">")?;
        self.out.write_all(FROM)
    }

    fn plain(&mut self, byte: u8) -> io::Result<()> {
        if byte == b'\n' {
            self.place = Place::Fresh;
        }
        self.out.write_all(&[byte])
    }
}

impl<W: Write> Write for Quoter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            self.byte(byte)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, spool::State};
    use proptest::prelude::*;

    fn quoted(pieces: &[&[u8]]) -> Vec<u8> {
        let mut quoter = Quoter::new(Vec::new());
        quoter.begin("From x\n").unwrap();
        for piece in pieces {
            quoter.write_all(piece).unwrap();
        }
        quoter.end().unwrap();
        quoter.out
    }

    #[test]
    fn from_lines_are_quoted_wherever_pieces_are_cut() {
        let text = b"From a\r\n>From b\r\n>>From c\r\n From d\r\nFrom\r\n>Fro";
        let expected = b"From x\n>From a\r\n>>From b\r\n>>>From c\r\n From d\r\nFrom\r\n>Fro\n\n";
        for cut in 0..text.len() {
            let (one, two) = text.split_at(cut);
            assert_eq!(quoted(&[one, two]), expected, "cut at {cut}");
        }
        assert_eq!(quoted(&[]), b"From x\n\n");
        assert_eq!(quoted(&[b"From "]), b"From x\n>From \n\n");
        assert_eq!(quoted(&[b">"]), b"From x\n>\n\n");
    }

    proptest! {
        #[test]
        fn quoting_can_be_undone(lines in prop::collection::vec("(>{0,3}(From |Fro|x)?.{0,5})\r?\n", 0..8)) {
            let text: String = lines.concat();
            let quoted = quoted(&[text.as_bytes()]);
            let quoted = String::from_utf8(quoted).unwrap();
            let mut undone = String::new();
            for line in quoted.split_inclusive('\n').skip(1) {
                let gone = line.starts_with('>') && line.trim_start_matches('>').starts_with("From ");
                undone.push_str(if gone { &line[1..] } else { line });
            }
            prop_assert_eq!(undone, text + "\n");
        }
    }

    #[test]
    fn the_from_line_is_readable() {
        let (message, deliveries) = fixture::message(1, &["a@b.example"], State::Held);
        let mut view = MessageView::of(&message, &deliveries);
        assert_eq!(
            from_line(&view),
            "From alice@example.org Mon Nov 23 10:00:01 2026\n"
        );
        view.sender = "\"a b\"@c.example".into();
        assert!(from_line(&view).starts_with("From MAILER-DAEMON Mon"));
    }
}
