//! A message's hash, by which it is known again at the other server.
//!
//! Servers store what they are given in their own way: a bare LF or CR becomes CRLF, and
//! Dovecot stores NUL as 0x80. The hash is taken as if all of that had happened, so that
//! both sides of a copy have the same one.

/// Takes a message in parts, in constant memory.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    inner: blake3::Hasher,
    normal_bytes: u64,
    last: Last,
}

/// What a message is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// BLAKE3 of the normalised bytes.
    pub hash: [u8; 32],
    /// How many those are.
    pub bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Last {
    #[default]
    Other,
    /// A CR whose LF may come with the next part.
    Cr,
}

impl Hasher {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        let mut from = 0;
        for (at, byte) in part.iter().enumerate() {
            let after_cr = std::mem::take(&mut self.last) == Last::Cr;
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
                b'\n' if after_cr => self.put(b"\n"),
                b'\n' => self.put(b"\r\n"),
                _ => self.put(b"\x80"),
            }
        }
        self.put(part.get(from..).unwrap_or_default());
    }

    /// What all parts together are known by.
    #[must_use]
    pub fn finish(mut self) -> Identity {
        if self.last == Last::Cr {
            self.put(b"\n");
        }
        Identity {
            hash: *self.inner.finalize().as_bytes(),
            bytes: self.normal_bytes,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
        self.normal_bytes += bytes.len() as u64;
    }
}

/// What a message in memory is known by.
#[must_use]
pub fn identity(message: &[u8]) -> Identity {
    let mut hasher = Hasher::default();
    hasher.update(message);
    hasher.finish()
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
            (b"a\r\r\nb", b"a\r\n\r\nb"),
            (b"\n\r\n\r", b"\r\n\r\n\r\n"),
            (b"a\0b\r\0", b"a\x80b\r\n\x80"),
            (b"", b""),
        ] {
            assert_eq!(identity(sent), plain(stored), "{}", sent.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn parts_do_not_matter(
            parts in proptest::collection::vec(
                proptest::collection::vec(proptest::sample::select(&b"ab\r\n\0"[..]), 0..6), 0..8)
        ) {
            let mut hasher = Hasher::default();
            parts.iter().for_each(|part| hasher.update(part));
            prop_assert_eq!(hasher.finish(), identity(&parts.concat()));
        }
    }
}
