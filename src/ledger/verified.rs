//! What the last `relay verify` found: `verify.json` below the spool's path, for reports,
//! the guided cutover and whoever asks later. Written whole, synced and renamed.

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Exceptions that the file keeps; the others are counted.
pub const EXCEPTIONS_MAX: usize = 10_000;

/// A verification. Times are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// When it began.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// The domains that it was asked for; none: all.
    pub domains: Vec<String>,
    /// How the source was looked at.
    pub source: SourceReach,
    /// Bytes that were read.
    pub bytes: u64,
    /// All mailboxes together.
    pub totals: Counts,
    /// Each mailbox, in the order of the accounts file.
    pub mailboxes: Vec<VerifiedMailbox>,
    /// What is not `=`, by name: the first [`EXCEPTIONS_MAX`].
    pub exceptions: Vec<Exception>,
    /// How many more there were.
    pub exceptions_more: u64,
}

/// How the old server was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceReach {
    /// Not at all: the mover's map alone tells what it had.
    Map,
    /// It told which messages it has; the mover's map tells what they are.
    #[default]
    Listed,
    /// Every message was read again.
    Read,
}

/// One mailbox at the new server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifiedMailbox {
    /// Its name at the new server; that of a recipient without an account.
    pub mailbox: String,
    /// How many are what.
    pub counts: Counts,
    /// What could not be looked at as asked, in words.
    pub remarks: Vec<String>,
}

/// How many messages are what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Messages that should be there, copied ones.
    pub copied: u64,
    /// Deliveries that should be there, released ones.
    pub released: u64,
    /// `=`: there, once, as they were.
    pub there: u64,
    /// `-`: should be there and are not.
    pub missing: u64,
    /// `*`: there, but not as they were.
    pub differs: u64,
    /// `+`: there, and neither the old server nor relay knows why.
    pub extra: u64,
    /// `+`: there once more than they should be.
    pub doubled: u64,
    /// `+`: came both ways, to the old server and to relay.
    pub split: u64,
    /// `!`: could not be read.
    pub unreadable: u64,
    /// Deliveries that relay still has: held, queued, deferred, in doubt, parked.
    pub waiting: u64,
    /// Of `there`: in another folder than the one that they were put into.
    pub elsewhere: u64,
    /// Of `there`: the new server added header fields of its own.
    pub with_fields: u64,
}

impl Counts {
    /// Adds those of another mailbox.
    pub fn add(&mut self, other: &Self) {
        self.copied += other.copied;
        self.released += other.released;
        self.there += other.there;
        self.missing += other.missing;
        self.differs += other.differs;
        self.extra += other.extra;
        self.doubled += other.doubled;
        self.split += other.split;
        self.unreadable += other.unreadable;
        self.waiting += other.waiting;
        self.elsewhere += other.elsewhere;
        self.with_fields += other.with_fields;
    }

    /// Counts an exception.
    pub fn count(&mut self, kind: Kind) {
        *match kind {
            Kind::MissingCopy | Kind::MissingDelivery => &mut self.missing,
            Kind::Altered => &mut self.differs,
            Kind::Doubled => &mut self.doubled,
            Kind::Split => &mut self.split,
            Kind::Unknown => &mut self.extra,
            Kind::Unreadable => &mut self.unreadable,
        } += 1;
    }

    /// Whether everything that should be there is, once: what came both ways, and what is
    /// there beside, are for a person to look at and no fault.
    #[must_use]
    pub fn all_there(&self) -> bool {
        self.missing == 0 && self.differs == 0 && self.doubled == 0 && self.unreadable == 0
    }
}

/// What is the matter with a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The old server had it; the new one has not.
    MissingCopy,
    /// The new server took it from relay and has it not.
    MissingDelivery,
    /// It is there with other bytes, or another date.
    Altered,
    /// It is there once more than it should be.
    Doubled,
    /// It came to the old server and to relay.
    Split,
    /// Neither the old server nor relay had it.
    Unknown,
    /// It could not be read.
    Unreadable,
}

impl Kind {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::MissingCopy | Self::MissingDelivery => "missing",
            Self::Altered => "altered",
            Self::Doubled => "doubled",
            Self::Split => "came both ways",
            Self::Unknown => "from elsewhere",
            Self::Unreadable => "unreadable",
        }
    }

    /// As `rclone check` marks it.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::MissingCopy | Self::MissingDelivery => '-',
            Self::Altered => '*',
            Self::Doubled | Self::Split | Self::Unknown => '+',
            Self::Unreadable => '!',
        }
    }
}

/// A message that is not `=`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exception {
    /// The mailbox at the new server.
    pub mailbox: String,
    /// What is the matter.
    pub kind: Kind,
    /// The folder at the new server, with `/` between its parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Its UID there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The folder at the old server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_folder: Option<String>,
    /// Its UID there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_uid: Option<u32>,
    /// Its queue id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    /// Its Message-ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How that is known, and what to do.
    pub reason: String,
}

impl Exception {
    /// Of a mailbox, with nothing told yet but the reason.
    #[must_use]
    pub fn new(mailbox: &str, kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            mailbox: mailbox.to_owned(),
            kind,
            folder: None,
            uid: None,
            source_folder: None,
            source_uid: None,
            queue_id: None,
            message_id: None,
            subject: None,
            size: None,
            reason: reason.into(),
        }
    }

    /// The message by all of its names, for a person: `INBOX 7 <a@b> "Hello"`.
    #[must_use]
    pub fn named(&self) -> String {
        let place = |folder: &Option<String>, uid: Option<u32>| {
            let uid = uid.map_or(String::new(), |uid| format!(" UID {uid}"));
            folder.as_ref().map(|folder| format!("{folder}{uid}"))
        };
        let source = place(&self.source_folder, self.source_uid).map(|at| format!("old: {at}"));
        let parts = [
            place(&self.folder, self.uid),
            source.filter(|_| self.folder.is_none()),
            self.queue_id.clone(),
            self.message_id.clone(),
            self.subject.as_ref().map(|text| format!("\"{text}\"")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join("  ")
    }
}

impl Verified {
    /// Where it is, below the spool's path.
    #[must_use]
    pub fn path(spool: &Path) -> PathBuf {
        spool.join("verify.json")
    }

    /// Takes a mailbox with its exceptions.
    pub fn add(&mut self, mailbox: VerifiedMailbox, exceptions: Vec<Exception>) {
        self.totals.add(&mailbox.counts);
        self.mailboxes.push(mailbox);
        for exception in exceptions {
            if self.exceptions.len() < EXCEPTIONS_MAX {
                self.exceptions.push(exception);
            } else {
                self.exceptions_more += 1;
            }
        }
    }

    /// Reads the last one; nothing where there was none.
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

    /// Writes it in the place of the one before.
    ///
    /// # Errors
    /// Those of the file system; then the one before is still there.
    pub fn write(&self, spool: &Path) -> io::Result<()> {
        let path = Self::path(spool);
        let new = path.with_extension("json.new");
        let mut file = fs::File::create(&new)?;
        serde_json::to_writer(io::BufWriter::new(&mut file), self)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        fs::File::open(spool)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_counts_what_it_does_not_keep() {
        let spool = tempfile::tempdir().unwrap();
        assert_eq!(Verified::read(spool.path()).unwrap(), None);
        let exception = Exception::new("bob", Kind::Doubled, "twice");
        let mut verified = Verified::default();
        let mut mailbox = VerifiedMailbox::default();
        for _ in 0..=EXCEPTIONS_MAX {
            mailbox.counts.count(exception.kind);
        }
        verified.add(mailbox, vec![exception; EXCEPTIONS_MAX + 1]);
        verified.write(spool.path()).unwrap();
        let again = Verified::read(spool.path()).unwrap().unwrap();
        assert_eq!(again, verified);
        assert_eq!(again.exceptions_more, 1);
        assert_eq!(again.totals.doubled, EXCEPTIONS_MAX as u64 + 1);
        assert!(!again.totals.all_there());
    }
}
