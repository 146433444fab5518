//! Tells whether a file has changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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

    /// Whether nobody has written to the file for so long. A time that is still to come says
    /// nothing, and is no reason to wait for it.
    #[must_use]
    pub fn has_rested(&self, time: Duration) -> bool {
        let seconds = u64::try_from(self.modified_s).unwrap_or(0);
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        let age = SystemTime::now().duration_since(modified);
        // The fraction of a second is left out, so that one second more is a whole one.
        age.map_or(true, |age| age >= time + Duration::from_secs(1))
    }
}
