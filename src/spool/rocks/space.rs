//! Free space: mail is refused while there is still room to finish what was accepted.

use crate::spool::SpoolError;
use std::path::{Path, PathBuf};

/// The file system of a spool.
pub struct Space {
    directory: PathBuf,
    min_free_bytes: u64,
}

impl Space {
    /// The file system that a directory is on, of which `min_free_bytes` are to stay free.
    pub fn new(directory: &Path, min_free_bytes: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            min_free_bytes,
        }
    }

    /// Whether `bytes` more may be taken.
    ///
    /// # Errors
    /// [`SpoolError::Full`].
    pub fn admit(&self, bytes: u64) -> Result<(), SpoolError> {
        let needed_bytes = self.min_free_bytes.saturating_add(bytes);
        let free_bytes = self.free_bytes()?;
        if free_bytes < needed_bytes {
            return Err(SpoolError::Full {
                free_bytes,
                needed_bytes,
            });
        }
        Ok(())
    }

    /// Whether it will soon be too full to take mail.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn is_short(&self) -> Result<bool, SpoolError> {
        // So that what is given up makes room before anybody is refused.
        let wanted_bytes = self.min_free_bytes.saturating_add(self.min_free_bytes / 8);
        Ok(self.free_bytes()? < wanted_bytes)
    }

    /// Bytes that an unprivileged process can still write.
    pub fn free_bytes(&self) -> Result<u64, SpoolError> {
        let space = rustix::fs::statvfs(&self.directory).map_err(|error| SpoolError::Io {
            doing: format!("asking for the free space of {}", self.directory.display()),
            detail: error.to_string(),
        })?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}
