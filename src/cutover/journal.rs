//! The record of a cutover, while it is gone through: one process holds it, and each change
//! is on stable storage before anything follows from it.

use crate::ledger::{Cutover, cutover::Step};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Why there is no record to go on with.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another `relay cutover` is at work.
    #[error("another `relay cutover` is at work (it holds {file:?}); `relay status` shows it")]
    InUse {
        /// The lock.
        file: PathBuf,
    },
    /// Another move is not finished.
    #[error(
        "a cutover of {} is under way since {began}; go on with `relay cutover {}`, or give it \
         up with --again",
        .domains.join(", "),
        .domains.join(" ")
    )]
    Another {
        /// Whose.
        domains: Vec<String>,
        /// When it began.
        began: String,
    },
    /// The files below the spool's path.
    #[error("cannot keep the cutover's record in {directory:?}: {source}")]
    Io {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a cutover is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Goes on with the one that there is, or begins one.
    GoOn,
    /// Begins anew; the old record stays beside, under another name.
    Anew,
}

/// A cutover that this process carries out.
#[derive(Debug)]
pub struct Journal {
    spool: PathBuf,
    record: Cutover,
    /// Held as long as this lives; the kernel lets go of it when the process ends.
    _lock: File,
}

impl Journal {
    /// Opens the record of the move of `domains`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(
        spool: &Path,
        domains: Vec<String>,
        start: Start,
        now_ms: u64,
    ) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io {
            directory: spool.to_owned(),
            source,
        };
        let lock = lock(spool)?;
        let found = Cutover::read(spool).map_err(failed)?;
        let record = match found {
            Some(old) if start == Start::Anew => {
                put_aside(spool, &old).map_err(failed)?;
                Cutover::new(domains, now_ms)
            }
            Some(old) if old.domains == domains => old.completed(),
            Some(old) if old.next().is_none() => {
                put_aside(spool, &old).map_err(failed)?;
                Cutover::new(domains, now_ms)
            }
            Some(old) => {
                return Err(JournalError::Another {
                    began: shown(old.began_ms),
                    domains: old.domains,
                });
            }
            None => Cutover::new(domains, now_ms),
        };
        record.write(spool).map_err(failed)?;
        Ok(Self {
            spool: spool.to_owned(),
            record,
            _lock: lock,
        })
    }

    /// The record as it stands.
    #[must_use]
    pub fn record(&self) -> &Cutover {
        &self.record
    }

    /// A step begins, or begins again.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn begin(&mut self, step: Step, now_ms: u64) -> Result<(), JournalError> {
        self.record.begin(step, now_ms);
        self.write()
    }

    /// A step is over.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn finish(
        &mut self,
        step: Step,
        note: Option<String>,
        now_ms: u64,
    ) -> Result<(), JournalError> {
        self.record.finish(step, note, now_ms);
        self.write()
    }

    /// A step is left out.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn skip(&mut self, step: Step, why: &str) -> Result<(), JournalError> {
        self.record.skip(step, why.to_owned());
        self.write()
    }

    fn write(&self) -> Result<(), JournalError> {
        let written = self.record.write(&self.spool);
        written.map_err(|source| JournalError::Io {
            directory: self.spool.clone(),
            source,
        })
    }
}

fn lock(spool: &Path) -> Result<File, JournalError> {
    let path = spool.join("cutover.lock");
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = opened.map_err(|source| JournalError::Io {
        directory: spool.to_owned(),
        source,
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(JournalError::InUse { file: path }),
    }
}

/// Under the time of its beginning.
fn put_aside(spool: &Path, old: &Cutover) -> io::Result<()> {
    let aside = spool.join(format!("cutover-{}.json", old.began_ms));
    fs::rename(Cutover::path(spool), aside)
}

fn shown(unix_ms: u64) -> String {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(String::new, |time| time.strftime("%F %T UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(spool: &Path, domain: &str, start: Start) -> Result<Journal, JournalError> {
        Journal::open(spool, vec![domain.into()], start, 1_000)
    }

    #[test]
    fn it_goes_on_where_it_was_and_only_one_does() {
        let spool = tempfile::tempdir().unwrap();
        let mut journal = open(spool.path(), "a.example", Start::GoOn).unwrap();
        journal.begin(Step::Check, 1_000).unwrap();
        journal.finish(Step::Check, None, 2_000).unwrap();
        journal.begin(Step::FirstPass, 2_000).unwrap();
        let second = open(spool.path(), "a.example", Start::GoOn);
        assert!(matches!(second, Err(JournalError::InUse { .. })));
        drop(journal);
        let journal = open(spool.path(), "a.example", Start::GoOn).unwrap();
        assert_eq!(journal.record().next(), Some(Step::FirstPass));
    }

    #[test]
    fn another_move_waits_until_this_one_is_over_or_given_up() {
        let spool = tempfile::tempdir().unwrap();
        let journal = open(spool.path(), "a.example", Start::GoOn).unwrap();
        drop(journal);
        let other = open(spool.path(), "b.example", Start::GoOn).unwrap_err();
        assert_eq!(
            other.to_string(),
            "a cutover of a.example is under way since 1970-01-01 00:00:01 UTC; go on with \
             `relay cutover a.example`, or give it up with --again"
        );
        let mut journal = open(spool.path(), "b.example", Start::Anew).unwrap();
        assert!(spool.path().join("cutover-1000.json").exists());
        for step in Step::ALL {
            journal.skip(step, "a test").unwrap();
        }
        drop(journal);
        let journal = open(spool.path(), "a.example", Start::GoOn).unwrap();
        assert_eq!(journal.record().next(), Some(Step::Check));
    }
}
