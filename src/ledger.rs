//! What the mover tells everybody else: how far it is, account by account, and which of them
//! have converged. It is a file of its own, `mover/status.json` below the spool's path, so
//! that the daemon, a gate, the page and a report read it whether or not a mover is at work.
//!
//! It is written whole and renamed, so that a reader meets the old or the new one, and
//! synced when an account's state has changed: a gate opens on it.

pub mod checked;
pub mod cutover;
pub mod gate;
pub mod verified;

pub use checked::{Checked, Finding, Verdict};
pub use cutover::Cutover;
pub use verified::Verified;

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How the mover stands. Times are milliseconds since 1970.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Moved {
    /// The process that wrote it last.
    pub pid: u32,
    /// Whether it was at work then; false once it has ended in an orderly way.
    pub running: bool,
    /// When this was written.
    pub updated_ms: u64,
    /// Passes begun, this one included.
    pub passes: u64,
    /// When this pass, or the last one, began.
    pub pass_began_ms: u64,
    /// Since when all accounts have converged, if they have.
    pub converged_ms: Option<u64>,
    /// Why they have not, in words.
    pub not_yet: Option<String>,
    /// Messages copied or known to be there, of those at the source.
    pub messages: Part,
    /// The same in bytes.
    pub bytes: Part,
    /// Messages copied a second, over the last seconds.
    pub rate_per_s: f64,
    /// How long the rest of this pass will take at this rate, in seconds.
    pub eta_s: Option<u64>,
    /// What slows it down, in words.
    pub slow: Option<String>,
    /// Every account of the accounts file, in its order.
    pub accounts: Vec<MovedAccount>,
}

/// A part of a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// The part.
    pub done: u64,
    /// The whole, as far as it is known.
    pub total: u64,
}

/// How one account stands.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedAccount {
    /// Its name at the source.
    pub source: String,
    /// Its name at the target.
    pub target: String,
    /// Where it stands.
    pub state: AccountState,
    /// Why it failed, or waits, in words.
    pub reason: Option<String>,
    /// Since when it has converged, if it has.
    pub converged_ms: Option<u64>,
    /// When the last pass that had no failure began.
    pub passed_ms: Option<u64>,
    /// Folders gone through in this pass.
    pub folders: Part,
    /// Messages copied or known to be there.
    pub messages: Part,
    /// The same in bytes.
    pub bytes: Part,
    /// Messages that the target does not take.
    pub refused: u64,
    /// Messages that are another one at the target.
    pub altered: u64,
}

/// Where an account stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// Being copied.
    Copying,
    /// A pass went through; it has not converged yet.
    Copied,
    /// Nothing new is left to copy.
    Converged,
    /// It cannot go on for now: over quota, throttled.
    Paused,
    /// It failed.
    Failed,
}

impl AccountState {
    /// Its name in all outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Copying => "copying",
            Self::Copied => "copied",
            Self::Converged => "converged",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }
}

impl Moved {
    /// Where it is, below the spool's path.
    #[must_use]
    pub fn path(spool: &Path) -> PathBuf {
        spool.join("mover").join("status.json")
    }

    /// Reads it; nothing where no mover has ever run.
    ///
    /// # Errors
    /// A file that is there and cannot be read, or is none of ours.
    pub fn read(spool: &Path) -> io::Result<Option<Self>> {
        match fs::read(Self::path(spool)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The account of a mailbox at the target: by its whole address, or by the part before
    /// the `@` where the target's names have none. Letters' case does not matter.
    #[must_use]
    pub fn account(&self, mailbox: &str) -> Option<&MovedAccount> {
        let user = mailbox.rsplit_once('@').map_or(mailbox, |(user, _)| user);
        let named = |name: &str| {
            let found = |account: &&MovedAccount| account.target.eq_ignore_ascii_case(name);
            self.accounts.iter().find(found)
        };
        named(mailbox).or_else(|| named(user))
    }
}

/// How an account's file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Figures only have moved.
    Renamed,
    /// A state has changed: it must be there after a power cut.
    Synced,
}

impl Moved {
    /// Writes it in the place of the old one.
    ///
    /// # Errors
    /// Those of the file system; then the old one is still there.
    pub fn write(&self, spool: &Path, durability: Durability) -> io::Result<()> {
        let path = Self::path(spool);
        let new = path.with_extension("json.new");
        let mut file = fs::File::create(&new)?;
        serde_json::to_writer(io::BufWriter::new(&mut file), self)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(&new, &path)?;
        if durability == Durability::Synced
            && let Some(directory) = path.parent()
        {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_is_nothing() {
        let spool = tempfile::tempdir().unwrap();
        assert_eq!(Moved::read(spool.path()).unwrap(), None);
        fs::create_dir(spool.path().join("mover")).unwrap();
        let moved = Moved {
            pid: 7,
            accounts: vec![MovedAccount {
                state: AccountState::Converged,
                ..MovedAccount::default()
            }],
            ..Moved::default()
        };
        moved.write(spool.path(), Durability::Synced).unwrap();
        assert_eq!(Moved::read(spool.path()).unwrap(), Some(moved));
        fs::write(Moved::path(spool.path()), "[").unwrap();
        assert!(Moved::read(spool.path()).is_err());
    }

    #[test]
    fn a_mailbox_finds_its_account_by_address_or_by_user() {
        let account = |target: &str| MovedAccount {
            target: target.into(),
            ..MovedAccount::default()
        };
        let moved = Moved {
            accounts: vec![account("bob"), account("Eve@corp.example"), account("eve")],
            ..Moved::default()
        };
        let target = |mailbox| moved.account(mailbox).map(|found| found.target.as_str());
        assert_eq!(target("Bob@corp.example"), Some("bob"));
        assert_eq!(target("eve@corp.example"), Some("Eve@corp.example"));
        assert_eq!(target("eve@other.example"), Some("eve"));
        assert_eq!(target("dan@corp.example"), None);
    }
}
