//! The watermark: the number of the last commit that was acknowledged, in a small
//! preallocated file beside the database.
//!
//! It is overwritten and synced after each synced batch and before anybody is answered.
//! So after a crash the database must hold at least that commit; if it does, nothing
//! acknowledged is missing, whatever had to be cut off the end of its log. Two slots in
//! two sectors are written in turn: a write that is torn by a power cut leaves the other
//! one, and the torn one had not been acknowledged.

use crate::{failpoint::syncs, spool::SpoolError};
use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

const MAGIC: &[u8; 8] = b"RLYMARK1";
const SLOT_BYTES: usize = 32;
/// Far enough apart to be in two sectors of any disk.
const SLOT_DISTANCE: u64 = 4096;

/// The open file.
pub struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens the watermark of a spool, or makes one that acknowledges nothing. Returns it
    /// with what it acknowledges: `None` when there was no file or no slot of it is whole.
    pub fn open(directory: &Path) -> Result<(Self, Option<u64>), SpoolError> {
        let path = directory.join("watermark");
        let io = |error: io::Error| SpoolError::Io {
            doing: format!("opening {}", path.display()),
            detail: error.to_string(),
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        let acknowledged = [0, SLOT_DISTANCE]
            .into_iter()
            .filter_map(|offset| read_slot(&file, offset))
            .max();
        if acknowledged.is_none() {
            // Written out once, so that a later write changes no metadata.
            file.write_all_at(&[0; 2 * SLOT_DISTANCE as usize], 0)
                .map_err(io)?;
            file.sync_all().map_err(io)?;
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(io)?;
        }
        Ok((Self { file }, acknowledged))
    }

    /// Reads what a spool acknowledges without changing anything.
    pub fn read(directory: &Path) -> Option<u64> {
        let file = File::open(directory.join("watermark")).ok()?;
        [0, SLOT_DISTANCE]
            .into_iter()
            .filter_map(|offset| read_slot(&file, offset))
            .max()
    }

    /// Acknowledges everything up to `commit`; on return it is on stable storage.
    pub fn acknowledge(&self, commit: u64) -> io::Result<()> {
        let mut slot = [0; SLOT_BYTES];
        let (content, checksum) = slot.split_at_mut(16);
        let (magic, number) = content.split_at_mut(8);
        magic.copy_from_slice(MAGIC);
        number.copy_from_slice(&commit.to_le_bytes());
        checksum.copy_from_slice(&checksum_of(content));
        self.file
            .write_all_at(&slot, (commit % 2) * SLOT_DISTANCE)?;
        if syncs() {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

fn read_slot(file: &File, offset: u64) -> Option<u64> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, offset).ok()?;
    let (content, checksum) = slot.split_at(16);
    let number = content.strip_prefix(MAGIC.as_slice())?;
    (checksum == checksum_of(content)).then_some(())?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

fn checksum_of(content: &[u8]) -> [u8; 16] {
    let mut checksum = [0; 16];
    let mut hasher = blake3::Hasher::new();
    hasher.update(content);
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_highest_and_survives_a_torn_slot() {
        let directory = tempfile::tempdir().unwrap();
        let (mark, before) = Watermark::open(directory.path()).unwrap();
        assert_eq!(before, None);
        for commit in 1..=5 {
            mark.acknowledge(commit).unwrap();
        }
        drop(mark);
        let (mark, before) = Watermark::open(directory.path()).unwrap();
        assert_eq!(before, Some(5));
        // Commit 6 goes to the first slot; tear it.
        mark.acknowledge(6).unwrap();
        mark.file.write_all_at(&[0xff; 10], 8).unwrap();
        drop(mark);
        assert_eq!(Watermark::open(directory.path()).unwrap().1, Some(5));
        assert_eq!(Watermark::read(directory.path()), Some(5));
    }
}
