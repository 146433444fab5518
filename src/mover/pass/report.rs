//! What a pass did.

use std::collections::BTreeSet;

/// What a pass did in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Messages that it copied.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that were found at the target already.
    pub adopted: u64,
    /// Messages whose flags it changed.
    pub flagged: u64,
    /// Messages that the source has no more, and that are kept at the target.
    pub expunged: u64,
    /// Messages that the source has no more, and that were removed at the target.
    pub removed: u64,
    /// Messages that the target did not take.
    pub refused: u64,
    /// Messages that the target has otherwise than the source.
    pub altered: u64,
    /// Messages that the source does not give, and that the pass before did not meet with.
    pub unread: u64,
    /// Flags and keywords that the target does not take.
    pub lost_flags: BTreeSet<String>,
    /// The latest INTERNALDATE of those that were new, in seconds since 1970.
    pub newest_s: Option<i64>,
}

impl Report {
    /// What was new: nothing in the last pass.
    #[must_use]
    pub fn found_new(&self) -> u64 {
        self.copied + self.adopted + self.flagged
    }

    /// Adds what was done in another folder.
    pub fn add(&mut self, other: Self) {
        self.copied += other.copied;
        self.bytes += other.bytes;
        self.adopted += other.adopted;
        self.flagged += other.flagged;
        self.expunged += other.expunged;
        self.removed += other.removed;
        self.refused += other.refused;
        self.altered += other.altered;
        self.unread += other.unread;
        self.lost_flags.extend(other.lost_flags);
        self.newest_s = self.newest_s.max(other.newest_s);
    }
}
