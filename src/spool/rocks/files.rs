//! The bodies of large messages: a file each, written once.
//!
//! A body that goes through the database reaches the disk twice, in its log and in a blob
//! file. A file is written once, in constant memory, and synced by its own session, in
//! parallel with others; the record that makes the message exist is committed after that,
//! so a crash leaves at most a file that nobody owns, which is removed at the next start.

use crate::{failpoint::syncs, spool::SpoolError};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The directory `bodies` of a spool.
pub struct Files {
    directory: PathBuf,
    handle: Mutex<File>,
    first: u64,
    next: AtomicU64,
}

impl Files {
    /// Opens or makes the directory. `first` is a number that no file of an earlier run has.
    pub fn open(spool: &Path, first: u64) -> Result<Self, SpoolError> {
        let directory = spool.join("bodies");
        let io = |error: io::Error| failed("opening the directory bodies", &error);
        fs::create_dir_all(&directory).map_err(io)?;
        let handle = File::open(&directory).map_err(io)?;
        Ok(Self {
            directory,
            handle: Mutex::new(handle),
            first,
            next: AtomicU64::new(first),
        })
    }

    /// The number of this run's first file: those below it are from earlier runs.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// A new, empty file.
    pub fn create(&self) -> io::Result<(u64, File)> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let file = File::options()
                .write(true)
                .create_new(true)
                .open(self.path(number));
            match file {
                // A clock that was set back gives numbers of an earlier run again.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return file.map(|file| (number, file)),
            }
        }
    }

    /// Opens a body for reading.
    pub fn read(&self, number: u64) -> io::Result<File> {
        File::open(self.path(number))
    }

    /// Makes the names of new files durable; the files' contents must have been synced.
    pub fn sync_names(&self) -> Result<(), SpoolError> {
        if !syncs() {
            return Ok(());
        }
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        handle
            .sync_all()
            .map_err(|error| failed("syncing the directory bodies", &error))
    }

    /// Takes a new handle of the directory, since one whose sync has failed proves nothing
    /// any more. Numbers go on: a message on its way in keeps its file.
    pub fn reopen(&self) -> Result<(), SpoolError> {
        let opened = File::open(&self.directory);
        let opened = opened.map_err(|error| failed("opening the directory bodies", &error))?;
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(())
    }

    /// Removes a body. A file that is not there is no error: removal is repeated after a
    /// crash.
    pub fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The numbers of all files. Names that are none of ours are left alone.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|hex| u64::from_str_radix(hex, 16).ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:016x}"))
    }
}

/// An I/O error of a body file, a full disk told apart.
pub fn failed(doing: &str, error: &io::Error) -> SpoolError {
    if error.kind() == io::ErrorKind::StorageFull {
        return SpoolError::Full {
            free_bytes: 0,
            needed_bytes: 1,
        };
    }
    SpoolError::Io {
        doing: doing.to_owned(),
        detail: error.to_string(),
    }
}
