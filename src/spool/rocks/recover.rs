//! Opening after anything may have happened.
//!
//! No recovery mode of RocksDB is right alone. The strict one refuses a log whose tail a
//! power cut has torn, which is ordinary; point-in-time recovery takes that, but after a
//! flipped bit in the middle it silently drops everything behind it. So: open strictly.
//! If that is refused, recover a copy to the last whole point, and take the copy only if
//! the watermark proves that it holds everything that was ever acknowledged. Otherwise
//! stop, say so, and leave the files as they are. And even a database that opens strictly
//! must hold what the watermark acknowledges: a log that is missing as a whole, or that
//! ends early at the border of a record, looks flawless to RocksDB.

use super::{
    layout::{Key, Kind},
    record::Head,
    store::Store,
};
use crate::{failpoint::Failpoint, spool::SpoolError};
use rocksdb::DBRecoveryMode;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Opens the database of a spool for writing.
///
/// # Errors
/// [`SpoolError::Lost`] when an acknowledged commit is missing; [`SpoolError::Corrupt`]
/// when it is damaged and nothing proves that no more than a torn tail is gone.
pub fn open(directory: &Path, acknowledged: Option<u64>) -> Result<Store, SpoolError> {
    let path = directory.join("db");
    finish_swap(directory, &path)?;
    let refusal = match Store::open(&path, DBRecoveryMode::AbsoluteConsistency) {
        Ok(store) => {
            check(directory, &store, acknowledged)?;
            return Ok(store);
        }
        Err(error) => error,
    };
    let damaged = |detail: String| SpoolError::Corrupt {
        what: format!("the database {}", path.display()),
        detail,
    };
    if refusal.kind() != rocksdb::ErrorKind::Corruption {
        return Err(SpoolError::Io {
            doing: format!("opening {}", path.display()),
            detail: refusal.to_string(),
        });
    }
    if acknowledged.is_none() {
        return Err(damaged(format!(
            "{refusal}; there is no watermark that would tell what was acknowledged"
        )));
    }
    tracing::warn!("the database was not closed cleanly ({refusal}); recovering a copy");
    let copy = directory.join("db.recovering");
    let copied = copy_database(&path, &copy);
    copied.map_err(|error| io_error("copying the database", &error))?;
    Failpoint::RecoverCopied.pass();
    let recovered = Store::open(&copy, DBRecoveryMode::PointInTime)
        .map_err(|error| damaged(format!("{refusal}; and a copy does not recover: {error}")))?;
    if let Err(lost) = check(directory, &recovered, acknowledged) {
        drop(recovered);
        remove_if_there(&copy).map_err(|error| io_error("removing the copy", &error))?;
        return Err(lost);
    }
    drop(recovered);
    Failpoint::RecoverChecked.pass();
    let kept = swap(directory, &path, &copy)
        .map_err(|error| io_error("exchanging the databases", &error))?;
    tracing::warn!(
        "recovered: everything acknowledged is there; the damaged log is kept in {}",
        kept.display()
    );
    Store::open(&path, DBRecoveryMode::AbsoluteConsistency)
        .map_err(|error| damaged(format!("even after recovery: {error}")))
}

/// That the database holds every acknowledged commit.
pub fn check(directory: &Path, store: &Store, acknowledged: Option<u64>) -> Result<(), SpoolError> {
    let head: Option<Head> = store.get(&Key::of(Kind::Head))?;
    let found = head.map_or(0, |head| head.commit);
    match acknowledged {
        Some(acknowledged) if found < acknowledged => Err(SpoolError::Lost {
            path: directory.to_owned(),
            found,
            acknowledged,
        }),
        _ => Ok(()),
    }
}

/// Copies what a recovery may change and links what is never changed: tables and blobs.
fn copy_database(from: &Path, to: &Path) -> io::Result<()> {
    remove_if_there(to)?;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let target = to.join(&name);
        let extension = Path::new(&name).extension().and_then(|text| text.to_str());
        match extension {
            Some("sst" | "blob") => fs::hard_link(entry.path(), target)?,
            _ if name == "LOCK" => {}
            _ => {
                fs::copy(entry.path(), &target)?;
                fs::File::open(&target)?.sync_all()?;
            }
        }
    }
    sync_directory(to)
}

/// Puts the copy in the place of the damaged database, which is kept under a new name
/// without the files that both share. A crash between the two renames is mended by
/// [`finish_swap`].
fn swap(directory: &Path, path: &Path, copy: &Path) -> io::Result<PathBuf> {
    let number = (1..).find(|number| !damaged_path(directory, *number).exists());
    let kept = damaged_path(directory, number.unwrap_or(0));
    fs::rename(path, &kept)?;
    sync_directory(directory)?;
    Failpoint::SwapAside.pass();
    fs::rename(copy, path)?;
    sync_directory(directory)?;
    Failpoint::SwapPlaced.pass();
    for entry in fs::read_dir(&kept)? {
        let file = entry?.path();
        if file
            .extension()
            .is_some_and(|end| end == "sst" || end == "blob")
        {
            fs::remove_file(file)?;
        }
    }
    Failpoint::SwapCleared.pass();
    Ok(kept)
}

/// A crash in [`swap`] leaves the recovered copy and no database: the copy is complete.
fn finish_swap(directory: &Path, path: &Path) -> Result<(), SpoolError> {
    let copy = directory.join("db.recovering");
    if !copy.exists() {
        return Ok(());
    }
    let mended = if path.exists() {
        remove_if_there(&copy)
    } else {
        fs::rename(&copy, path).and_then(|()| sync_directory(directory))
    };
    mended.map_err(|error| io_error("finishing an interrupted recovery", &error))
}

fn damaged_path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("db.damaged.{number}"))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn io_error(doing: &str, error: &io::Error) -> SpoolError {
    SpoolError::Io {
        doing: doing.to_owned(),
        detail: error.to_string(),
    }
}
