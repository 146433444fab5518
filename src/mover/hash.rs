//! A message's hash, by which it is known again at the other server.
//!
//! Servers store what they are given in their own way: a bare LF or CR becomes CRLF, Courier
//! ends the last line, and Dovecot stores NUL as 0x80. The hash is taken as if all of that had
//! happened, so that both sides of a copy have the same one. Cyrus may also put an `X` in the
//! place of each byte of a header above 127; a message with such bytes has a second hash.

/// Takes a message in parts, in constant memory.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    inner: blake3::Hasher,
    /// Of the same with a header in ASCII; begun at the first byte that makes it differ.
    ascii: Option<Box<blake3::Hasher>>,
    head: Head,
    normal_bytes: u64,
    last: Last,
    has_nul: bool,
}

/// What a message is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// BLAKE3 of the normalised bytes.
    pub hash: [u8; 32],
    /// How many those are.
    pub bytes: u64,
}

/// A message of the source: what it is known by, and what a server may make of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// As most servers store it.
    pub identity: Identity,
    /// The hash with every header byte above 127 as `X`, where there is one. It has the same
    /// number of bytes.
    pub ascii_head: Option<[u8; 32]>,
    /// Whether it has NUL, or header bytes above 127: a server may store others in their
    /// place and say OK, and its size does not tell.
    pub is_odd: bool,
}

impl Known {
    /// The other form in which a server may have it.
    #[must_use]
    pub fn other(&self) -> Option<Identity> {
        let hash = self.ascii_head?;
        let bytes = self.identity.bytes;
        Some(Identity { hash, bytes })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Head {
    /// At the beginning of a line: if it is empty, the header is over.
    #[default]
    LineStart,
    Line,
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Last {
    /// The beginning of the message or of a line.
    #[default]
    LineEnd,
    Other,
    /// A CR whose LF may come with the next part.
    Cr,
}

impl Hasher {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        let mut from = 0;
        for (at, byte) in part.iter().enumerate() {
            let after_cr = std::mem::replace(&mut self.last, Last::Other) == Last::Cr;
            let special = matches!(byte, b'\r' | b'\n' | 0);
            if after_cr && *byte != b'\n' {
                self.put(part.get(from..at).unwrap_or_default());
                self.put(b"\n");
                from = at;
            }
            if !special {
                continue;
            }
            self.put(part.get(from..at).unwrap_or_default());
            from = at + 1;
            match byte {
                b'\r' => {
                    self.put(b"\r");
                    self.last = Last::Cr;
                }
                b'\n' => {
                    self.put(if after_cr { b"\n" } else { b"\r\n" });
                    self.last = Last::LineEnd;
                }
                _ => {
                    self.has_nul = true;
                    self.put(b"\x80");
                }
            }
        }
        self.put(part.get(from..).unwrap_or_default());
    }

    /// What all parts together are known by.
    #[must_use]
    pub fn finish(self) -> Identity {
        self.known().identity
    }

    /// The same, with what servers may make of it.
    #[must_use]
    pub fn known(mut self) -> Known {
        match self.last {
            Last::LineEnd => {}
            Last::Cr => self.put(b"\n"),
            Last::Other => self.put(b"\r\n"),
        }
        let ascii = self.ascii.map(|ascii| *ascii.finalize().as_bytes());
        Known {
            identity: Identity {
                hash: *self.inner.finalize().as_bytes(),
                bytes: self.normal_bytes,
            },
            ascii_head: ascii,
            is_odd: self.has_nul || ascii.is_some(),
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let head = match self.head {
            Head::Over => 0,
            _ => self.head_bytes(bytes),
        };
        let (head, body) = bytes.split_at_checked(head).unwrap_or((bytes, &[]));
        if !head.is_ascii() && self.ascii.is_none() {
            self.ascii = Some(Box::new(self.inner.clone()));
        }
        if let Some(ascii) = &mut self.ascii {
            let replaced = |byte: &u8| if byte.is_ascii() { *byte } else { b'X' };
            let head: Vec<u8> = head.iter().map(replaced).collect();
            ascii.update(&head);
            ascii.update(body);
        }
        self.inner.update(bytes);
        self.normal_bytes += bytes.len() as u64;
    }

    /// How many of these bytes, whose line ends are CRLF, are of the header.
    fn head_bytes(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            self.head = match (byte, self.head) {
                (b'\n', Head::LineStart) => {
                    self.head = Head::Over;
                    return at + 1;
                }
                (b'\n', _) => Head::LineStart,
                (b'\r', head) => head,
                _ => Head::Line,
            };
        }
        bytes.len()
    }
}

/// What a message in memory is known by.
#[must_use]
pub fn identity(message: &[u8]) -> Identity {
    known(message).identity
}

/// The same, with what servers may make of it.
#[must_use]
pub fn known(message: &[u8]) -> Known {
    let mut hasher = Hasher::default();
    hasher.update(message);
    hasher.known()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(bytes: &[u8]) -> Identity {
        Identity {
            hash: *blake3::hash(bytes).as_bytes(),
            bytes: bytes.len() as u64,
        }
    }

    #[test]
    fn line_ends_and_nul_are_as_servers_store_them() {
        for (sent, stored) in [
            (&b"a\r\nb\r\n"[..], &b"a\r\nb\r\n"[..]),
            (b"a\nb\n", b"a\r\nb\r\n"),
            (b"a\rb\r", b"a\r\nb\r\n"),
            (b"a\r\r\nb", b"a\r\n\r\nb\r\n"),
            (b"\n\r\n\r", b"\r\n\r\n\r\n"),
            (b"a\0b\r\0", b"a\x80b\r\n\x80\r\n"),
            (b"a\r\n\r\nno end", b"a\r\n\r\nno end\r\n"),
            (b"", b""),
        ] {
            assert_eq!(identity(sent), plain(stored), "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn a_header_in_8_bit_has_a_second_form() {
        for (sent, ascii) in [
            (
                &b"A: \xe4\xf6\r\n b\xe4\r\n\r\n\xe4\r\n"[..],
                Some(&b"A: XX\r\n bX\r\n\r\n\xe4\r\n"[..]),
            ),
            (b"A: \xe4", Some(b"A: X\r\n")),
            (b"A: a\n\n\xe4", None),
            (b"\n\xe4", None),
            (b"", None),
        ] {
            let known = known(sent);
            assert_eq!(known.other(), ascii.map(plain), "{}", sent.escape_ascii());
            assert_eq!(known.is_odd, ascii.is_some());
        }
        assert!(known(b"A: b\r\n\r\n\0").is_odd);
    }

    proptest! {
        #[test]
        fn parts_do_not_matter(
            parts in proptest::collection::vec(
                proptest::collection::vec(proptest::sample::select(&b"ab\r\n\0\xe4"[..]), 0..6), 0..8)
        ) {
            let mut hasher = Hasher::default();
            parts.iter().for_each(|part| hasher.update(part));
            prop_assert_eq!(hasher.known(), known(&parts.concat()));
        }
    }
}
