//! The bytes of a message between the two servers: in memory while they are few, in a file
//! without a name while they are many, so that an account takes little memory whatever it
//! holds. A file of a process that was killed is gone with it.

use super::hash::{Hasher, Identity, Known};
use crate::imap::{BodySink, BodySource, Fetched, Meta, UidSet};
use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A longer message goes to a file.
const MEMORY_BYTES_MAX: u64 = 1 << 20;
/// All messages of a batch that are in memory; what comes then goes to files.
const BATCH_MEMORY_BYTES_MAX: u64 = 5 << 20;
/// What is read from a file at once.
const PART_BYTES: usize = 128 << 10;
/// Of a message's head, to find its Message-ID in.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// The bytes of a message.
#[derive(Clone, Debug)]
pub enum Body {
    /// Few.
    Memory(Arc<Vec<u8>>),
    /// Many.
    File {
        /// Where they are, from its beginning.
        file: Arc<File>,
        /// How many.
        bytes: u64,
    },
}

impl Body {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self::Memory(Arc::new(bytes))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives them to an APPEND.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            body: self.clone(),
            at: 0,
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub async fn write_to(&self, file: &mut File) -> io::Result<()> {
        let mut reader = self.reader();
        while let Some(part) = reader.chunk().await? {
            file.write_all(&part)?;
        }
        Ok(())
    }

    /// BLAKE3 of the very bytes; none when they cannot be read back.
    pub async fn digest(&self) -> Option<[u8; 32]> {
        let (mut hasher, mut reader) = (blake3::Hasher::new(), self.reader());
        while let Some(part) = reader.chunk().await.ok()? {
            hasher.update(&part);
        }
        Some(*hasher.finalize().as_bytes())
    }

    /// The Message-ID, as it stands in the header.
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        let mut head = Vec::new();
        let head = match self {
            Self::Memory(bytes) => bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes),
            Self::File { file, .. } => {
                head.resize(HEAD_BYTES_MAX, 0);
                file.read_exact_at(&mut head, 0).ok()?;
                &head[..]
            }
        };
        message_id(head)
    }
}

fn message_id(head: &[u8]) -> Option<String> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let mut field = None;
    for line in lines.by_ref() {
        if line.is_empty() {
            return None;
        }
        match line.split_at_checked(11) {
            Some((name, value)) if name.eq_ignore_ascii_case(b"message-id:") => {
                field = Some(value.trim_ascii());
                break;
            }
            _ => {}
        }
    }
    // RFC 5322 §2.2.3: the value may stand in the next line, behind a space.
    let value = field.map(|value| match value {
        [] => lines.next().unwrap_or_default().trim_ascii(),
        value => value,
    })?;
    let text = String::from_utf8_lossy(value);
    (!text.is_empty()).then(|| text.chars().take(998).collect())
}

/// A body on its way to the target.
#[derive(Debug)]
pub struct Reader {
    body: Body,
    at: u64,
}

impl BodySource for Reader {
    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let left = self.body.len().saturating_sub(self.at);
        let part = usize::try_from(left).map_or(PART_BYTES, |left| left.min(PART_BYTES));
        if part == 0 {
            return Ok(None);
        }
        let bytes = match &self.body {
            Body::Memory(bytes) => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                rest.get(..part).unwrap_or(rest).to_vec()
            }
            Body::File { file, .. } => {
                let mut bytes = vec![0; part];
                file.read_exact_at(&mut bytes, self.at)?;
                bytes
            }
        };
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// A message that was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// UID.
    pub uid: u32,
    /// What it is known by.
    pub known: Known,
    /// Its bytes.
    pub body: Body,
}

/// Takes messages as they come from the source.
#[derive(Debug)]
pub struct Collector {
    directory: PathBuf,
    now: Option<Growing>,
    memory_bytes: u64,
    done: Vec<Read>,
}

#[derive(Debug)]
struct Growing {
    uid: u32,
    hasher: Hasher,
    bytes: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(File),
}

impl Collector {
    /// Puts long messages into files in this directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            now: None,
            memory_bytes: 0,
            done: Vec::new(),
        }
    }

    /// The UIDs of what came whole so far.
    #[must_use]
    pub fn uids(&self) -> UidSet {
        self.done.iter().map(|read| read.uid).collect()
    }

    /// What came whole, in the order in which it came.
    #[must_use]
    pub fn finish(self) -> Vec<Read> {
        self.done
    }
}

impl BodySink for Collector {
    async fn begin(&mut self, body: Fetched) -> io::Result<()> {
        let few = body.bytes <= MEMORY_BYTES_MAX
            && self.memory_bytes + body.bytes <= BATCH_MEMORY_BYTES_MAX;
        let place = if few {
            self.memory_bytes += body.bytes;
            Place::Memory(Vec::with_capacity(
                usize::try_from(body.bytes).unwrap_or_default(),
            ))
        } else {
            Place::File(tempfile::tempfile_in(&self.directory)?)
        };
        self.now = Some(Growing {
            uid: body.uid,
            hasher: Hasher::default(),
            bytes: 0,
            place,
        });
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = self.now.as_mut().ok_or_else(out_of_turn)?;
        now.hasher.update(bytes);
        now.bytes += bytes.len() as u64;
        match &mut now.place {
            Place::Memory(all) => all.extend_from_slice(bytes),
            Place::File(file) => file.write_all(bytes)?,
        }
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        let now = self.now.take().ok_or_else(out_of_turn)?;
        let uid = if meta.uid == 0 { now.uid } else { meta.uid };
        let body = match now.place {
            Place::Memory(bytes) => Body::new(bytes),
            Place::File(file) => Body::File {
                file: Arc::new(file),
                bytes: now.bytes,
            },
        };
        self.done.push(Read {
            uid,
            known: now.hasher.known(),
            body,
        });
        Ok(())
    }
}

/// Takes messages only for the digest of their very bytes.
#[derive(Debug, Default)]
pub struct Digests {
    now: Option<(u32, blake3::Hasher)>,
    /// UID and BLAKE3, in the order in which they came.
    pub done: Vec<(u32, [u8; 32])>,
}

impl BodySink for Digests {
    async fn begin(&mut self, body: Fetched) -> io::Result<()> {
        self.now = Some((body.uid, blake3::Hasher::new()));
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (_, hasher) = self.now.as_mut().ok_or_else(out_of_turn)?;
        hasher.update(bytes);
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        let (uid, hasher) = self.now.take().ok_or_else(out_of_turn)?;
        let uid = if meta.uid == 0 { uid } else { meta.uid };
        self.done.push((uid, *hasher.finalize().as_bytes()));
        Ok(())
    }
}

/// Takes messages only for what they are known by.
#[derive(Debug, Default)]
pub struct Identities {
    now: Option<(u32, Hasher)>,
    /// UID and identity, in the order in which they came.
    pub done: Vec<(u32, Identity)>,
}

impl BodySink for Identities {
    async fn begin(&mut self, body: Fetched) -> io::Result<()> {
        self.now = Some((body.uid, Hasher::default()));
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (_, hasher) = self.now.as_mut().ok_or_else(out_of_turn)?;
        hasher.update(bytes);
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        let (uid, hasher) = self.now.take().ok_or_else(out_of_turn)?;
        let uid = if meta.uid == 0 { uid } else { meta.uid };
        self.done.push((uid, hasher.finish()));
        Ok(())
    }
}

fn out_of_turn() -> io::Error {
    io::Error::other("a body has no beginning")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::hash::known;

    async fn collected(messages: &[&[u8]]) -> Vec<Read> {
        let directory = tempfile::tempdir().unwrap();
        let mut collector = Collector::new(directory.path());
        for (uid, message) in (1..).zip(messages) {
            let bytes = message.len() as u64;
            collector.begin(Fetched { uid, bytes }).await.unwrap();
            for part in message.chunks(100_000) {
                collector.chunk(part).await.unwrap();
            }
            let meta = Meta {
                uid,
                ..Meta::default()
            };
            collector.end(meta).await.unwrap();
        }
        collector.finish()
    }

    #[tokio::test]
    async fn long_messages_and_full_batches_go_to_files() {
        let long = vec![b'x'; (1 << 20) + 1];
        let short = vec![b'y'; 1 << 20];
        let mut messages: Vec<&[u8]> = vec![&long, b"", b"a\r\n"];
        messages.extend(std::iter::repeat_n(&short[..], 9));
        let reads = collected(&messages).await;
        assert_eq!(reads.len(), messages.len());
        for (read, message) in reads.iter().zip(&messages) {
            assert_eq!(read.known, known(message));
            assert_eq!(read.body.len(), message.len() as u64);
            let mut reader = read.body.reader();
            let mut again = Vec::new();
            while let Some(part) = reader.chunk().await.unwrap() {
                again.extend(part);
            }
            assert!(again == *message);
        }
        let in_files = reads.iter().map(|r| matches!(r.body, Body::File { .. }));
        let in_files: Vec<usize> = (0..)
            .zip(in_files)
            .filter(|(_, f)| *f)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(in_files, [0, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn the_message_id_is_found() {
        for (head, id) in [
            (&b"A: b\r\nMessage-ID: <x@y>\r\n\r\n"[..], Some("<x@y>")),
            (b"message-id:\r\n <x@y>\r\n\r\n", Some("<x@y>")),
            (b"A: b\r\n\r\nMessage-ID: <x@y>\r\n", None),
            (b"Message-ID:\r\n\r\n", None),
            (b"", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(message_id(head).as_deref(), id);
        }
    }
}
