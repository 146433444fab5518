//! Messages and how their bodies go in and out.

use std::{fmt, future::Future, io};

/// A flag or keyword, verbatim: `\Seen`, `$Forwarded`, and what else servers keep.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flag(Vec<u8>);

impl Flag {
    /// From bytes as they are on the wire.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// As on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it begins with a backslash.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.starts_with(b"\\")
    }

    /// Whether it is this one; flags have no case (RFC 9051 §2.3.2).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether it can be sent: an atom, perhaps behind a backslash.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        let atom = self.0.strip_prefix(b"\\").unwrap_or(&self.0);
        !atom.is_empty()
            && (atom.iter()).all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(byte))
    }
}

impl From<&str> for Flag {
    fn from(name: &str) -> Self {
        Self::new(name.as_bytes())
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What FETCH tells of a message, without its body. Nothing where the server tells nothing,
/// or NIL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// UID.
    pub uid: u32,
    /// All flags but `\Recent`, which belongs to the session.
    pub flags: Vec<Flag>,
    /// INTERNALDATE, verbatim without its quotes: ` 1-Jan-2026 00:00:00 +0000`.
    pub internaldate: Option<String>,
    /// RFC822.SIZE in bytes: a promise that some servers break by a few.
    pub size: Option<u64>,
    /// MODSEQ.
    pub modseq: Option<u64>,
}

/// A body that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// UID.
    pub uid: u32,
    /// How many bytes will follow, exactly.
    pub bytes: u64,
}

/// Takes bodies as they come. An error ends the session.
pub trait BodySink: Send {
    /// A body begins.
    fn begin(&mut self, body: Fetched) -> impl Future<Output = io::Result<()>> + Send;
    /// A part of it, at most 128 KiB.
    fn chunk(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// It is whole, and this is what the same response told beside it.
    fn end(&mut self, meta: Meta) -> impl Future<Output = io::Result<()>> + Send;
}

/// Gives a body.
pub trait BodySource: Send {
    /// The next part; nothing at the end. It must give exactly the announced number of
    /// bytes, or the session ends, and with it the APPEND.
    fn chunk(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> + Send;
}

/// A body in memory.
#[derive(Debug, Clone)]
pub struct Whole(Option<Vec<u8>>);

impl Whole {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Some(bytes))
    }
}

impl BodySource for Whole {
    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.take())
    }
}

/// A message to append.
#[derive(Debug, Clone)]
pub struct Append<B> {
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its date, as [`Meta::internaldate`] has it; nothing: now.
    pub internaldate: Option<String>,
    /// Its length in bytes.
    pub size: u64,
    /// Where its bytes come from.
    pub body: B,
}

/// A message that the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its UID and the UIDVALIDITY of its folder, where the server tells (UIDPLUS).
    pub uid: Option<u32>,
    /// See `uid`.
    pub uidvalidity: Option<u32>,
}
