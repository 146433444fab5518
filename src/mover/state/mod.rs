//! What has been copied: per account and folder where both sides stood, per message what
//! became of it. It is what makes a pass resume and a message arrive once.
//!
//! - [`State::intend`] is on stable storage before the APPEND that it announces: after a
//!   crash or a lost reply the messages of an intent are looked for at the target, from its
//!   UIDNEXT of that moment on, before any of them is sent again.
//! - [`State::settle`] is not synced: what it loses in a power cut is an intent again, and
//!   found at the target.
//! - No password is ever in it.
//!
//! It is a RocksDB database of its own under the spool's directory, described in
//! `spool/FORMAT.md`; one process at a time has it.

mod key;
mod record;

pub use record::{AccountRecord, FolderRecord, MessageRecord, NoteKind, NoteRecord, Outcome};

use crate::imap::UidSet;
use key::{
    account_key, account_notes, account_prefix, after, folder_and_uid, folder_key, message_key,
    message_prefix, note_key, note_prefix, uid_of,
};
use rocksdb::{BlockBasedOptions, Cache, DB, DBRecoveryMode, Options, WriteBatch, WriteOptions};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Records in memory before they are written out; two of these at most.
const MEMTABLE_BYTES: usize = 4 << 20;
/// Blocks that were read.
const CACHE_BYTES: usize = 4 << 20;

/// The state of all accounts.
#[derive(Debug)]
pub struct State {
    db: DB,
    _lock: File,
}

/// Which folder of which account, by the source's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At<'a> {
    /// The account.
    pub account: &'a str,
    /// The folder's name as the source sends it, byte for byte.
    pub folder: &'a [u8],
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it.
    #[error("{}: `relay move` or `relay verify` is at work there; wait until it ends", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A record cannot be read, or is of another version.
    #[error("{what}: {detail}")]
    Corrupt {
        /// Which.
        what: String,
        /// How.
        detail: String,
    },
    /// The system refused.
    #[error("{doing}: {detail}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why not.
        detail: String,
    },
}

impl State {
    /// Opens the state in this directory, or makes a new one.
    ///
    /// # Errors
    /// [`StateError::InUse`], [`StateError::Io`]; a damaged database too.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let io = |error: std::io::Error| StateError::Io {
            doing: format!("opening {}", directory.display()),
            detail: error.to_string(),
        };
        fs::create_dir_all(directory).map_err(io)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("lock"))
            .map_err(io)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StateError::InUse {
                path: directory.to_owned(),
            });
        }
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_paranoid_checks(true);
        // A torn tail is what a power cut leaves: what was only settled there is an intent
        // again, and an intent that was acknowledged is before it.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_keep_log_file_num(4);
        // The defaults hold 128 MiB of records before they are written out.
        options.set_write_buffer_size(MEMTABLE_BYTES);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        options.set_block_based_table_factory(&table);
        let db = DB::open(&options, directory.join("db"))
            .map_err(|error| failed("opening the mover's state", &error))?;
        Ok(Self { db, _lock: lock })
    }

    /// What is known of an account.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn account(&self, account: &str) -> Result<AccountRecord, StateError> {
        Ok(self.read(&account_key(account))?.unwrap_or_default())
    }

    /// Notes an account.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn put_account(&self, account: &str, record: &AccountRecord) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        batch.put(account_key(account), record::encode(record)?);
        self.write(batch, Durability::Buffered)
    }

    /// What is known of a folder.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn folder(&self, at: At<'_>) -> Result<Option<FolderRecord>, StateError> {
        self.read(&folder_key(at))
    }

    /// Notes where a folder stands after a pass over it. Synced: the next pass skips what
    /// this says is done.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn put_folder(&self, at: At<'_>, record: &FolderRecord) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        batch.put(folder_key(at), record::encode(record)?);
        self.write(batch, Durability::Synced)
    }

    /// What became of a message.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn message(&self, at: At<'_>, uid: u32) -> Result<Option<MessageRecord>, StateError> {
        self.read(&message_key(at, uid))
    }

    /// Announces that these messages will be appended: on return that survives a power cut.
    /// Nothing may be sent before.
    ///
    /// # Errors
    /// [`StateError::Io`]; then nothing may be sent.
    pub fn intend(&self, at: At<'_>, messages: &[(u32, MessageRecord)]) -> Result<(), StateError> {
        self.put_messages(at, messages, Durability::Synced)
    }

    /// Notes what became of messages. It may be lost in a power cut, not in a crash.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn settle(&self, at: At<'_>, messages: &[(u32, MessageRecord)]) -> Result<(), StateError> {
        self.put_messages(at, messages, Durability::Buffered)
    }

    /// Visits all messages of a folder, by rising UID at the source.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn messages(
        &self,
        at: At<'_>,
        mut visit: impl FnMut(u32, MessageRecord),
    ) -> Result<(), StateError> {
        self.walk(&message_prefix(at), |key, value| {
            let uid = uid_of(key).ok_or_else(|| corrupt(key, "its key has no UID"))?;
            visit(uid, record::decode(|| key::shown(key), value)?);
            Ok(())
        })
    }

    /// The messages of a folder of which it is known what became of them: all but those that
    /// are only intended.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn settled(&self, at: At<'_>) -> Result<UidSet, StateError> {
        let mut uids = UidSet::new();
        self.messages(at, |uid, record| {
            if !matches!(record.outcome, Outcome::Intended { .. }) {
                uids.insert(uid);
            }
        })?;
        Ok(uids)
    }

    /// The highest UID of a copy at the target, where there is one.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn highest_copy(&self, at: At<'_>) -> Result<Option<u32>, StateError> {
        let mut highest = None;
        self.messages(at, |_, record| highest = highest.max(record.outcome.copy()))?;
        Ok(highest)
    }

    /// Begins the map of a folder anew: its messages and notes are forgotten, since their
    /// UIDs mean nothing any more, and the folder stands as in `record`. Synced.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn begin(&self, at: At<'_>, record: &FolderRecord) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        for prefix in [message_prefix(at), note_prefix(at)] {
            batch.delete_range(prefix.clone(), after(&prefix));
        }
        batch.put(folder_key(at), record::encode(record)?);
        // One batch: a crash leaves the old map or the new one, never half of both.
        self.write(batch, Durability::Synced)
    }

    /// Notes what a person should know of a message, in the place of what was noted before.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn note(&self, at: At<'_>, uid: u32, note: &NoteRecord) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        batch.put(note_key(at, uid), record::encode(note)?);
        self.write(batch, Durability::Buffered)
    }

    /// Forgets what was noted of a message.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn forget_note(&self, at: At<'_>, uid: u32) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        batch.delete(note_key(at, uid));
        self.write(batch, Durability::Buffered)
    }

    /// Visits the notes of a folder, by rising UID at the source.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn folder_notes(
        &self,
        at: At<'_>,
        mut visit: impl FnMut(u32, NoteRecord),
    ) -> Result<(), StateError> {
        self.walk(&note_prefix(at), |key, value| {
            let uid = uid_of(key).ok_or_else(|| corrupt(key, "its key has no UID"))?;
            visit(uid, record::decode(|| key::shown(key), value)?);
            Ok(())
        })
    }

    /// Forgets the refusal of messages and that they were looked at, so that the next pass
    /// tries them again. Gives the folders that have such messages.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn retry_refused(&self, account: &str) -> Result<Vec<Vec<u8>>, StateError> {
        let mut folders: Vec<Vec<u8>> = Vec::new();
        let mut batch = WriteBatch::default();
        for (folder, uid, note) in self.notes(account)? {
            if note.kind != NoteKind::Refused {
                continue;
            }
            let at = At {
                account,
                folder: &folder,
            };
            batch.delete(note_key(at, uid));
            batch.delete(message_key(at, uid));
            if folders.last() != Some(&folder) {
                if let Some(mut record) = self.folder(at)? {
                    // The lowest: UIDs rise.
                    record.retry_from = Some(record.retry_from.unwrap_or(uid).min(uid));
                    batch.put(folder_key(at), record::encode(&record)?);
                }
                folders.push(folder);
            }
        }
        self.write(batch, Durability::Buffered)?;
        Ok(folders)
    }

    /// The notes of an account: folder, UID at the source, and what is the matter.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn notes(&self, account: &str) -> Result<Vec<(Vec<u8>, u32, NoteRecord)>, StateError> {
        let mut notes = Vec::new();
        let prefix = account_notes(account);
        self.walk(&prefix, |key, value| {
            let (folder, uid) = key
                .get(prefix.len()..)
                .and_then(folder_and_uid)
                .ok_or_else(|| corrupt(key, "its key has no folder and UID"))?;
            let note = record::decode(|| key::shown(key), value)?;
            notes.push((folder.to_vec(), uid, note));
            Ok(())
        })?;
        Ok(notes)
    }

    /// The folders of an account that are known, by the source's raw names.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn folders(&self, account: &str) -> Result<Vec<(Vec<u8>, FolderRecord)>, StateError> {
        let mut folders = Vec::new();
        let prefix = account_prefix(account);
        self.walk(&prefix, |key, value| {
            let name = key.get(prefix.len()..).unwrap_or_default().to_vec();
            folders.push((name, record::decode(|| key::shown(key), value)?));
            Ok(())
        })?;
        Ok(folders)
    }

    fn put_messages(
        &self,
        at: At<'_>,
        messages: &[(u32, MessageRecord)],
        durability: Durability,
    ) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        for (uid, message) in messages {
            batch.put(message_key(at, *uid), record::encode(message)?);
        }
        self.write(batch, durability)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StateError> {
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db
            .write_opt(batch, &options)
            .map_err(|error| failed("writing the mover's state", &error))
    }

    fn read<T: record::Record>(&self, key: &[u8]) -> Result<Option<T>, StateError> {
        let value = self
            .db
            .get_pinned(key)
            .map_err(|error| failed("reading the mover's state", &error))?;
        value
            .map(|bytes| record::decode(|| key::shown(key), &bytes))
            .transpose()
    }

    fn walk(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let mut iterator = self.db.raw_iterator();
        iterator.seek(prefix);
        while let Some((key, value)) = iterator.item().filter(|(key, _)| key.starts_with(prefix)) {
            visit(key, value)?;
            iterator.next();
        }
        iterator
            .status()
            .map_err(|error| failed("reading the mover's state", &error))
    }
}

/// What a write survives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// A power cut.
    Synced,
    /// The death of the process.
    Buffered,
}

fn corrupt(key: &[u8], detail: &str) -> StateError {
    StateError::Corrupt {
        what: key::shown(key),
        detail: detail.to_owned(),
    }
}

fn failed(doing: &str, error: &rocksdb::Error) -> StateError {
    StateError::Io {
        doing: doing.to_owned(),
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
