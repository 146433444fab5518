//! A message that is being received: in memory as long as it is small, then in a file.

use super::{
    commit::{Handle, in_time},
    files::{Files, failed},
    request::{Accept, Bytes, Once},
    unconfirmed::Fingerprint,
};
use crate::{
    failpoint::{Failpoint, syncs},
    mail::{Digester, Envelope},
    spool::{Answer, Draft, Receipt, SpoolError},
};
use std::{fs::File, io::Write, sync::Arc, time::Duration};

/// Longer messages go to a file. Below it a message reaches the disk twice (log and blob)
/// but costs no sync of its own, which is faster; above it once.
pub const INLINE_BYTES_MAX: usize = 128 * 1024;
/// What is gathered for one write to a file.
const WRITE_BYTES: usize = 64 * 1024;
/// How much of a message in a file [`Draft::head`] still shows.
const HEAD_BYTES: usize = 16 * 1024;

/// A message on its way in.
pub struct RocksDraft {
    /// Nothing when the spool is open for reading only.
    handle: Option<Handle>,
    files: Arc<Files>,
    digester: Digester,
    size: u64,
    content: Content,
}

enum Content {
    Memory(Vec<u8>),
    File {
        body: BodyFile,
        head: Vec<u8>,
        pending: Vec<u8>,
    },
    /// A write failed or was abandoned half-way: nothing can be committed any more.
    Broken,
}

/// A file that disappears unless a record comes to own it.
pub struct BodyFile {
    number: u64,
    file: File,
    files: Arc<Files>,
    owned: bool,
}

impl BodyFile {
    /// Hands the file over to a record that is about to be written; from here on only the
    /// record, or the next start, decides about it.
    pub fn hand_over(&mut self) -> u64 {
        self.owned = true;
        self.number
    }

    fn sync(self) -> std::io::Result<Self> {
        Failpoint::BodyWritten.pass();
        if syncs() {
            self.file.sync_all()?;
        }
        Failpoint::BodySynced.pass();
        Ok(self)
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        if !self.owned {
            // What cannot be removed now is removed at the next start.
            let _ = self.files.remove(self.number);
        }
    }
}

impl RocksDraft {
    pub(super) fn new(handle: Option<Handle>, files: Arc<Files>) -> Self {
        Self {
            handle,
            files,
            digester: Digester::default(),
            size: 0,
            content: Content::Memory(Vec::new()),
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.digester.update(bytes);
        self.size += bytes.len() as u64;
        let mut rest = bytes;
        if let Content::Memory(memory) = &mut self.content {
            if memory.len() + bytes.len() <= INLINE_BYTES_MAX {
                memory.extend_from_slice(bytes);
                return Ok(());
            }
            let mut memory = std::mem::take(memory);
            let missing = HEAD_BYTES.saturating_sub(memory.len());
            let (head, behind) = bytes.split_at(missing.min(bytes.len()));
            memory.extend_from_slice(head);
            rest = behind;
            self.content = Content::Broken;
            self.content = spill(&self.files, memory).await?;
        }
        while !rest.is_empty() {
            let Content::File { pending, .. } = &mut self.content else {
                return Err(broken());
            };
            // Never beyond its capacity: it would double, in every session.
            let room = WRITE_BYTES.saturating_sub(pending.len());
            let (fitting, behind) = rest.split_at(room.min(rest.len()));
            pending.extend_from_slice(fitting);
            rest = behind;
            if pending.len() >= WRITE_BYTES {
                self.write_pending().await?;
            }
        }
        Ok(())
    }

    /// Writes what was gathered. The content is broken while that is under way, so that a
    /// future that is dropped in the middle cannot lead to a commit.
    async fn write_pending(&mut self) -> Result<(), SpoolError> {
        let content = std::mem::replace(&mut self.content, Content::Broken);
        let Content::File {
            mut body,
            head,
            mut pending,
        } = content
        else {
            return Err(broken());
        };
        let (body, pending) = blocking(move || {
            body.file.write_all(&pending)?;
            pending.clear();
            Ok((body, pending))
        })
        .await?;
        self.content = Content::File {
            body,
            head,
            pending,
        };
        Ok(())
    }

    async fn finish(mut self, envelope: Envelope, window: Duration) -> Result<Receipt, SpoolError> {
        let (size, digest) = (self.size, self.digester.digest());
        let once = match window {
            Duration::ZERO => None,
            window => Some(Once {
                fingerprint: Fingerprint::of(&envelope, digest)?,
                window_ms: super::millis(window),
            }),
        };
        if matches!(self.content, Content::File { .. }) {
            self.write_pending().await?;
        }
        let bytes = match self.content {
            Content::Memory(memory) => Bytes::Memory(memory),
            Content::File { body, .. } => Bytes::File(blocking(move || body.sync()).await?),
            Content::Broken => return Err(broken()),
        };
        let handle = self.handle.ok_or(SpoolError::Closed)?;
        handle
            .accept(Accept {
                envelope,
                size,
                digest,
                bytes,
                once,
                account: None,
            })
            .await
    }
}

impl Draft for RocksDraft {
    fn append<'a>(&'a mut self, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(self.take(bytes))
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn head(&self) -> &[u8] {
        match &self.content {
            Content::Memory(memory) => memory,
            Content::File { head, .. } => head,
            Content::Broken => &[],
        }
    }

    fn commit_once(
        self: Box<Self>,
        envelope: Envelope,
        window: Duration,
    ) -> Answer<'static, Receipt> {
        Box::pin(in_time(self.finish(envelope, window)))
    }
}

async fn spill(files: &Arc<Files>, memory: Vec<u8>) -> Result<Content, SpoolError> {
    let files = files.clone();
    let (body, memory) = blocking(move || {
        let (number, file) = files.create()?;
        let mut body = BodyFile {
            number,
            file,
            files,
            owned: false,
        };
        body.file.write_all(&memory)?;
        Ok((body, memory))
    })
    .await?;
    let head = memory.get(..HEAD_BYTES).unwrap_or(&memory).to_vec();
    Ok(Content::File {
        body,
        head,
        pending: Vec::with_capacity(WRITE_BYTES),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, SpoolError> {
    in_time(async {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done.map_err(|error| failed("writing a message to its file", &error)),
            Err(_) => Err(SpoolError::Closed),
        }
    })
    .await
}

fn broken() -> SpoolError {
    SpoolError::Io {
        doing: "receiving a message".into(),
        detail: "an earlier write of it failed".into(),
    }
}
