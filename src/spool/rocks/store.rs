//! The RocksDB database: its options, and the few calls that the rest is made of. No
//! RocksDB type is named outside of this file and `recover.rs`.

use super::{
    layout::{BODIES, Key, Kind, body_key},
    record::{decode, encode},
};
use crate::{failpoint::syncs, mail::QueueId, spool::SpoolError};
use rocksdb::{
    BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Options,
    ReadOptions, Snapshot, WriteBatch, WriteOptions,
};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

const MIB: usize = 1024 * 1024;

/// The open database.
pub struct Store {
    db: DB,
}

impl Store {
    /// Opens or creates it for writing.
    pub fn open(path: &Path, mode: DBRecoveryMode) -> Result<Self, rocksdb::Error> {
        let mut options = options(mode);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        DB::open_cf_descriptors(&options, path, families()).map(|db| Self { db })
    }

    /// Opens it without changing a byte.
    pub fn open_read_only(path: &Path) -> Result<Self, rocksdb::Error> {
        let options = options(DBRecoveryMode::AbsoluteConsistency);
        DB::open_cf_descriptors_read_only(&options, path, families(), false).map(|db| Self { db })
    }

    /// Reading the latest state; what is written meanwhile may be seen in part.
    pub fn view(&self) -> View<'_> {
        View {
            db: &self.db,
            snapshot: None,
        }
    }

    /// Reading one moment's state, whatever is written meanwhile.
    pub fn snapshot(&self) -> View<'_> {
        View {
            db: &self.db,
            snapshot: Some(self.db.snapshot()),
        }
    }

    /// [`View::get`] of the latest state.
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, SpoolError> {
        self.view().get(key)
    }

    /// [`View::walk`] over the latest state.
    pub fn walk(
        &self,
        from: &[u8],
        until: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<Walk, SpoolError>,
    ) -> Result<(), SpoolError> {
        self.view().walk(from, until, visit)
    }

    /// Writes a batch and syncs the log: on return it survives a power cut, whole.
    pub fn write_synced(&self, batch: Batch) -> Result<(), SpoolError> {
        let mut options = WriteOptions::default();
        options.set_sync(syncs());
        self.db
            .write_opt(batch.0, &options)
            .map_err(|e| failed("writing to the spool", &e))
    }

    /// Adds a small body to a batch.
    pub fn put_body(&self, batch: &mut Batch, id: QueueId, bytes: &[u8]) -> Result<(), SpoolError> {
        batch.0.put_cf(bodies(&self.db)?, body_key(id), bytes);
        Ok(())
    }

    /// Removes a small body with a batch.
    pub fn delete_body(&self, batch: &mut Batch, id: QueueId) -> Result<(), SpoolError> {
        batch.0.delete_cf(bodies(&self.db)?, body_key(id));
        Ok(())
    }
}

/// What only maintenance does.
impl Store {
    /// Gives the space of removed small bodies back to the file system. It takes its time;
    /// reading and writing go on meanwhile.
    pub fn reclaim_bodies(&self) -> Result<(), SpoolError> {
        let all: Option<&[u8]> = None;
        self.db.compact_range_cf(bodies(&self.db)?, all, all);
        Ok(())
    }
}

/// The database as of a moment, or as it is.
pub struct View<'a> {
    db: &'a DB,
    snapshot: Option<Snapshot<'a>>,
}

impl View<'_> {
    /// The record under a key.
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, SpoolError> {
        let value = self
            .db
            .get_pinned_opt(key, &self.read_options())
            .map_err(|e| failed("reading a record", &e))?;
        value
            .map(|bytes| decode(|| name(key.as_ref()), &bytes))
            .transpose()
    }

    /// Whether there is a record under a key.
    pub fn has(&self, key: &Key) -> Result<bool, SpoolError> {
        let value = self
            .db
            .get_pinned_opt(key, &self.read_options())
            .map_err(|e| failed("reading a record", &e))?;
        Ok(value.is_some())
    }

    /// The bytes of a small message.
    pub fn body(&self, id: QueueId) -> Result<Option<Vec<u8>>, SpoolError> {
        let family = bodies(self.db)?;
        self.db
            .get_cf_opt(family, body_key(id), &self.read_options())
            .map_err(|e| failed(&format!("reading the body of {id}"), &e))
    }

    /// Walks over the keys of all records of a kind.
    pub fn walk_kind(&self, kind: Kind, mut visit: impl FnMut(&[u8])) -> Result<(), SpoolError> {
        let prefix = Key::of(kind);
        self.walk(prefix.as_ref(), &prefix.after_prefix(), |key, _| {
            visit(key);
            Ok(Walk::On)
        })
    }

    /// Walks over the ids of all small bodies.
    pub fn walk_bodies(
        &self,
        mut visit: impl FnMut(QueueId) -> Result<(), SpoolError>,
    ) -> Result<(), SpoolError> {
        let mut iterator = self
            .db
            .raw_iterator_cf_opt(bodies(self.db)?, self.read_options());
        iterator.seek_to_first();
        while let Some(key) = iterator.key() {
            let number = key.try_into().ok().map(u64::from_be_bytes);
            if let Some(id) = number.and_then(QueueId::new) {
                visit(id)?;
            }
            iterator.next();
        }
        iterator
            .status()
            .map_err(|e| failed("walking over the bodies", &e))
    }

    /// Walks over keys from `from` to before `until`, in order, as long as `visit` says
    /// [`Walk::On`].
    pub fn walk(
        &self,
        from: &[u8],
        until: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<Walk, SpoolError>,
    ) -> Result<(), SpoolError> {
        let mut bounds = self.read_options();
        bounds.set_iterate_upper_bound(until);
        let mut iterator = self.db.raw_iterator_opt(bounds);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            if visit(key, value)? == Walk::Stop {
                return Ok(());
            }
            iterator.next();
        }
        iterator
            .status()
            .map_err(|e| failed("walking over records", &e))
    }

    /// The last record before `until` that is not before `from`.
    pub fn last<T: DeserializeOwned>(
        &self,
        from: &[u8],
        until: &[u8],
    ) -> Result<Option<T>, SpoolError> {
        let mut bounds = self.read_options();
        bounds.set_iterate_lower_bound(from);
        let mut iterator = self.db.raw_iterator_opt(bounds);
        iterator.seek_for_prev(until);
        if let Some((key, value)) = iterator.item()
            && key >= from
        {
            return decode(|| name(key), value).map(Some);
        }
        iterator
            .status()
            .map_err(|e| failed("reading a record", &e))?;
        Ok(None)
    }

    fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = &self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }
}

fn bodies(db: &DB) -> Result<&rocksdb::ColumnFamily, SpoolError> {
    db.cf_handle(BODIES).ok_or_else(|| SpoolError::Corrupt {
        what: "the database".into(),
        detail: format!("it has no column family {BODIES}"),
    })
}

/// Whether a walk goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walk {
    /// To the next record.
    On,
    /// No further.
    Stop,
}

/// Changes that become durable together or not at all.
#[derive(Default)]
pub struct Batch(WriteBatch);

impl Batch {
    /// Writes a record.
    pub fn put<T: Serialize>(&mut self, key: &Key, record: &T) -> Result<(), SpoolError> {
        self.0.put(key, encode(record)?);
        Ok(())
    }

    /// Writes a key that says everything by being there.
    pub fn mark(&mut self, key: &Key) {
        self.0.put(key, []);
    }

    /// [`Batch::mark`] by the bytes of the key.
    pub fn mark_raw(&mut self, key: &[u8]) {
        self.0.put(key, []);
    }

    /// Removes a record.
    pub fn delete(&mut self, key: &Key) {
        self.0.delete(key);
    }

    /// Removes a record by the bytes of its key.
    pub fn delete_raw(&mut self, key: &[u8]) {
        self.0.delete(key);
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.0.size_in_bytes()
    }
}

fn options(mode: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.set_wal_recovery_mode(mode);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_background_jobs(2);
    options.set_max_total_wal_size(512 * MIB as u64);
    options.set_bytes_per_sync(MIB as u64);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    options
}

fn families() -> Vec<ColumnFamilyDescriptor> {
    let mut records = Options::default();
    records.set_write_buffer_size(32 * MIB);
    records.set_compression_type(DBCompressionType::Lz4);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    records.set_block_based_table_factory(&blocks);

    // The values go to blob files at flush and stay there: compaction moves keys only.
    let mut bodies = Options::default();
    bodies.set_write_buffer_size(64 * MIB);
    bodies.set_enable_blob_files(true);
    bodies.set_min_blob_size(0);
    bodies.set_blob_file_size(256 * MIB as u64);
    bodies.set_enable_blob_gc(true);
    vec![
        ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, records),
        ColumnFamilyDescriptor::new(BODIES, bodies),
    ]
}

fn failed(doing: &str, error: &rocksdb::Error) -> SpoolError {
    let detail = error.to_string();
    match error.kind() {
        rocksdb::ErrorKind::Corruption => SpoolError::Corrupt {
            what: "the database".into(),
            detail: format!("{doing}: {detail}"),
        },
        _ => SpoolError::Io {
            doing: doing.to_owned(),
            detail,
        },
    }
}

/// A key for people: its kind and its numbers.
fn name(key: &[u8]) -> String {
    let kind = key.first().copied().map_or('?', char::from);
    let rest: String = key
        .iter()
        .skip(1)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("record {kind}:{rest}")
}
