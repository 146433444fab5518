//! Tells whether a file has changed.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    /// That of the file at `path`, symbolic links followed.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        })
    }
}
