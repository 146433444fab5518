//! The words of a response.

use super::{frame::Raw, message::Flag};

/// What was expected and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd(pub(super) &'static str);

/// A place in a response.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    cut: Option<usize>,
}

/// A string, NIL, or the body that was cut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    Nil,
    Bytes(Vec<u8>),
    Cut,
}

/// Lists within lists, at most: BODYSTRUCTURE of nested messages.
const DEPTH_MAX: usize = 200;

impl<'a> Cursor<'a> {
    pub(super) fn new(raw: &'a Raw) -> Self {
        Self {
            bytes: &raw.bytes,
            at: 0,
            cut: raw.cut,
        }
    }

    /// Of what stands before a body, its `{n}` included.
    pub(super) fn head(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            cut: Some(bytes.len()),
        }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Takes this byte if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Odd> {
        if self.take(byte) {
            return Ok(());
        }
        Err(Odd(what))
    }

    pub(super) fn space(&mut self) -> Result<(), Odd> {
        self.expect(b' ', "a space")
    }

    /// Spaces, however many: some servers leave one at the end of a list.
    pub(super) fn spaces(&mut self) {
        while self.take(b' ') {}
    }

    /// At the end, but for spaces.
    pub(super) fn end(mut self) -> Result<(), Odd> {
        self.spaces();
        if self.is_at_end() {
            return Ok(());
        }
        Err(Odd("the end"))
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let bytes = rest.iter().take_while(|byte| keep(**byte)).count();
        self.at += bytes;
        rest.get(..bytes).unwrap_or_default()
    }

    /// A word up to a space, a parenthesis or the end.
    pub(super) fn word(&mut self) -> Result<&'a [u8], Odd> {
        let word = self.take_while(|byte| !b" ()\r\n".contains(&byte));
        if word.is_empty() {
            return Err(Odd("a word"));
        }
        Ok(word)
    }

    /// A word in ASCII capitals.
    pub(super) fn keyword(&mut self) -> Result<String, Odd> {
        Ok(String::from_utf8_lossy(self.word()?).to_ascii_uppercase())
    }

    pub(super) fn number(&mut self) -> Result<u64, Odd> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        (std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .ok_or(Odd("a number"))
    }

    pub(super) fn number_u32(&mut self) -> Result<u32, Odd> {
        u32::try_from(self.number()?).map_err(|_| Odd("a number of 32 bits"))
    }

    /// A number that is not 0, as UIDs are (RFC 9051 §9, nz-number).
    pub(super) fn uid(&mut self) -> Result<u32, Odd> {
        match self.number_u32()? {
            0 => Err(Odd("a UID that is not 0")),
            uid => Ok(uid),
        }
    }

    /// RFC 9051 §9 nstring, with literal8 (RFC 3516).
    pub(super) fn nstring(&mut self) -> Result<Text, Odd> {
        match self.peek() {
            Some(b'"') => Ok(Text::Bytes(self.quoted()?)),
            Some(b'{' | b'~') => self.literal(),
            _ if self.word()?.eq_ignore_ascii_case(b"NIL") => Ok(Text::Nil),
            _ => Err(Odd("a string")),
        }
    }

    /// RFC 9051 §9 astring, and what servers write without quotes beside it: any bytes up
    /// to a space.
    pub(super) fn astring(&mut self) -> Result<Vec<u8>, Odd> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => match self.literal()? {
                Text::Bytes(bytes) => Ok(bytes),
                _ => Err(Odd("a name")),
            },
            _ => {
                let atom = self.take_while(|byte| byte != b' ');
                if atom.is_empty() {
                    return Err(Odd("a name"));
                }
                Ok(atom.to_vec())
            }
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Odd> {
        self.expect(b'"', "a quote")?;
        let mut bytes = Vec::new();
        loop {
            bytes.extend_from_slice(self.take_while(|byte| !b"\"\\\r\n".contains(&byte)));
            if self.take(b'"') {
                return Ok(bytes);
            }
            self.expect(b'\\', "the closing quote")?;
            // RFC 9051 §9: only these two are ever escaped.
            match self.peek() {
                Some(byte @ (b'"' | b'\\')) => bytes.push(byte),
                _ => return Err(Odd("a quote or a backslash behind a backslash")),
            }
            self.at += 1;
        }
    }

    fn literal(&mut self) -> Result<Text, Odd> {
        self.take(b'~');
        self.expect(b'{', "a literal")?;
        let bytes = usize::try_from(self.number()?).map_err(|_| Odd("a literal"))?;
        self.take(b'+');
        for byte in *b"}\r\n" {
            self.expect(byte, "a literal")?;
        }
        if self.cut == Some(self.at) {
            return Ok(Text::Cut);
        }
        let text = self.rest().get(..bytes).ok_or(Odd("a whole literal"))?;
        self.at += bytes;
        Ok(Text::Bytes(text.to_vec()))
    }

    /// A list of words in parentheses.
    pub(super) fn words(&mut self) -> Result<Vec<&'a [u8]>, Odd> {
        self.expect(b'(', "a list")?;
        let mut words = Vec::new();
        loop {
            self.spaces();
            if self.take(b')') {
                return Ok(words);
            }
            words.push(self.word()?);
        }
    }

    /// Flags, as odd as servers have them: anything without space and parentheses.
    pub(super) fn flags(&mut self) -> Result<Vec<Flag>, Odd> {
        Ok(self.words()?.into_iter().map(Flag::new).collect())
    }

    /// The name of an item of FETCH, with a section in brackets.
    pub(super) fn item(&mut self) -> Result<String, Odd> {
        let start = self.at;
        self.take_while(|byte| !b" ()[\r\n".contains(&byte));
        if self.take(b'[') {
            self.take_while(|byte| !b"]\r\n".contains(&byte));
            self.expect(b']', "the end of a section")?;
            self.take_while(|byte| !b" ()\r\n".contains(&byte));
        }
        let name = self.bytes.get(start..self.at).unwrap_or_default();
        if name.is_empty() {
            return Err(Odd("an item"));
        }
        Ok(String::from_utf8_lossy(name).to_ascii_uppercase())
    }

    /// Any value: a list, a string, a word.
    pub(super) fn skip(&mut self) -> Result<(), Odd> {
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'(') => {
                    self.at += 1;
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(Odd("fewer lists within lists"));
                    }
                }
                Some(b')') if depth > 0 => {
                    self.at += 1;
                    depth -= 1;
                }
                Some(b' ') if depth > 0 => self.at += 1,
                Some(b'"') => {
                    self.quoted()?;
                }
                Some(b'{') => {
                    self.skip_literal()?;
                }
                Some(b'~') if self.rest().starts_with(b"~{") => {
                    self.skip_literal()?;
                }
                _ => {
                    self.word()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_literal(&mut self) -> Result<(), Odd> {
        match self.literal()? {
            Text::Cut => Err(Odd("a body as BODY[] alone")),
            _ => Ok(()),
        }
    }
}
