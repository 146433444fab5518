//! One process a spool: a lock file that tells the second one who the first is.

use crate::spool::SpoolError;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::Path,
};

/// Held as long as it lives; the kernel lets go of it when the process ends.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the spool.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] with what the holder wrote about itself.
    pub fn acquire(directory: &Path) -> Result<Self, SpoolError> {
        let path = directory.join("lock");
        let io = |error: std::io::Error| SpoolError::Io {
            doing: format!("locking {}", path.display()),
            detail: error.to_string(),
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = (&mut file).take(512).read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(SpoolError::InUse {
                path: directory.to_owned(),
                holder: if holder.is_empty() {
                    "another process".into()
                } else {
                    holder.into()
                },
            });
        }
        let command: Vec<String> = std::env::args().take(4).collect();
        let holder = format!("process {} ({})\n", std::process::id(), command.join(" "));
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::acquire(directory.path()).unwrap();
        match Lock::acquire(directory.path()).map(|_| ()) {
            Err(SpoolError::InUse { holder, .. }) => {
                let pid = std::process::id().to_string();
                assert!(holder.contains(&pid), "{holder}");
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::acquire(directory.path()).unwrap();
    }
}
