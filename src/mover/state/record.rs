//! The records, as postcard writes them behind a byte with their version.

use super::StateError;
use crate::mover::hash::{Identity, Known};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// Of all records; another one is refused, not guessed.
const VERSION: u8 = 3;
/// The one before, which is read too: fields that came since are not known in its records.
const VERSION_BEFORE: u8 = 2;

/// What is kept, by its encoding.
pub trait Record: Serialize + DeserializeOwned {
    /// The fields that came at its end since [`VERSION_BEFORE`], encoded as not known.
    const UNKNOWN_BEFORE: &'static [u8] = &[];
}

impl Record for AccountRecord {}
impl Record for MessageRecord {}
impl Record for NoteRecord {}
impl Record for FolderRecord {
    /// No target's mailbox, no UIDNEXT there, and nothing to be tried again.
    const UNKNOWN_BEFORE: &'static [u8] = &[0, 0, 0];
}

/// Where both sides of a folder stood when a pass had gone through it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FolderRecord {
    /// UIDVALIDITY at the source: with another one the UIDs name other messages.
    pub source_uidvalidity: u32,
    /// UIDNEXT at the source: every message below was looked at.
    pub source_uidnext: u32,
    /// How many messages the source had.
    pub source_messages: u32,
    /// HIGHESTMODSEQ at the source, where it has one: later flags are later changes.
    pub source_highestmodseq: Option<u64>,
    /// The folder at the target, as its server sends the name.
    pub target_name: Vec<u8>,
    /// UIDVALIDITY at the target: with another one the messages' UIDs there are void.
    pub target_uidvalidity: u32,
    /// The target had messages below this UID when the map was begun, which may be copies
    /// from before: until a pass has gone through the folder, each message is looked for
    /// among them before it is sent.
    pub match_below: Option<u32>,
    /// Whose mailbox at which server the target is.
    pub target_mailbox: Option<String>,
    /// UIDNEXT at the target, at least: the folder with the copies never has a lower one.
    pub target_uidnext: Option<u32>,
    /// From this UID at the source on messages without a record are tried again.
    pub retry_from: Option<u32>,
}

impl FolderRecord {
    /// With a copy of this UID at the target, which a pass that came to no end has put there.
    #[must_use]
    pub fn reaching(mut self, copy: Option<u32>) -> Self {
        let behind = copy.map(|copy| copy.saturating_add(1));
        self.target_uidnext = self
            .target_uidnext
            .map(|uidnext| behind.unwrap_or(0).max(uidnext));
        self
    }
}

/// An account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The latest INTERNALDATE at the source, in seconds since 1970.
    pub newest_s: Option<i64>,
}

/// What a person should know of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoteRecord {
    /// What is the matter.
    pub kind: NoteKind,
    /// Its Message-ID, where it has one.
    pub message_id: Option<String>,
    /// Its bytes.
    pub size: u64,
    /// The server's words, or what differs.
    pub why: String,
}

/// What is the matter with a message. Numbers are part of the format: new ones go to the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum NoteKind {
    /// The target does not take it.
    Refused,
    /// The target has it, but not as the source has it.
    Altered,
    /// The source has it and does not give it.
    Unread,
}

/// A message of the source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageRecord {
    /// BLAKE3 of its bytes as servers store them (`crate::mover::hash`).
    pub hash: [u8; 32],
    /// The same with a header in ASCII, where it is another (`crate::mover::hash`).
    pub ascii_head: Option<[u8; 32]>,
    /// Of those bytes.
    pub size: u64,
    /// As the source says it; empty where it says none.
    pub internal_date: String,
    /// As the source had them when the target was given them last.
    pub flags: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Outcome {
    /// The UID of the copy at the target, where there is one and it is known.
    #[must_use]
    pub fn copy(&self) -> Option<u32> {
        match self {
            Self::Copied { target_uid } | Self::Expunged { target_uid } => *target_uid,
            Self::Found { target_uid } => Some(*target_uid),
            Self::Intended { .. } | Self::Refused { .. } | Self::Vanished | Self::Removed => None,
        }
    }
}

impl MessageRecord {
    /// What the message is known by.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            identity: Identity {
                hash: self.hash,
                bytes: self.size,
            },
            ascii_head: self.ascii_head,
            is_odd: self.ascii_head.is_some(),
        }
    }
}

/// What became of a message. Numbers are part of the format: new ones go to the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// An APPEND may be under way, or its reply be lost.
    Intended {
        /// UIDNEXT of the target's folder before it: from there on it is looked for.
        target_uidnext: u32,
    },
    /// The target has it.
    Copied {
        /// Its UID there, where that is known.
        target_uid: Option<u32>,
    },
    /// The target does not take it.
    Refused {
        /// The server's words.
        reply: String,
    },
    /// It was expunged at the source before it could be read.
    Vanished,
    /// It was expunged at the source after it was copied, and is kept.
    Expunged {
        /// Its UID at the target, where that is known.
        target_uid: Option<u32>,
    },
    /// The target had it before it was looked for: not the mover's to remove.
    Found {
        /// Its UID there.
        target_uid: u32,
    },
    /// It was expunged at the source after it was copied, and then removed at the target.
    Removed,
}

/// A record as bytes.
pub fn encode<T: Record>(record: &T) -> Result<Vec<u8>, StateError> {
    postcard::to_extend(record, vec![VERSION]).map_err(|error| StateError::Io {
        doing: "encoding a record".into(),
        detail: error.to_string(),
    })
}

/// A record from its bytes; `what` names it in an error.
pub fn decode<T: Record>(what: impl Fn() -> String, bytes: &[u8]) -> Result<T, StateError> {
    let corrupt = |detail: String| StateError::Corrupt {
        what: what(),
        detail,
    };
    let (&version, fields) = bytes
        .split_first()
        .ok_or_else(|| corrupt("the record is empty".into()))?;
    let fields = match version {
        VERSION => Cow::Borrowed(fields),
        VERSION_BEFORE => Cow::Owned([fields, T::UNKNOWN_BEFORE].concat()),
        _ => {
            return Err(corrupt(format!(
                "is of version {version}; this relay reads versions {VERSION_BEFORE} and {VERSION}"
            )));
        }
    };
    let (record, rest) =
        postcard::take_from_bytes(&fields).map_err(|error| corrupt(error.to_string()))?;
    if !rest.is_empty() {
        return Err(corrupt(format!("{} bytes behind its end", rest.len())));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout that `spool/FORMAT.md` promises.
    #[test]
    fn the_layout_is_the_documented_one() {
        let record = MessageRecord {
            hash: [0xaa; 32],
            ascii_head: None,
            size: 300,
            internal_date: "d".into(),
            flags: vec!["f".into()],
            outcome: Outcome::Copied {
                target_uid: Some(5),
            },
        };
        let mut expected = vec![3];
        expected.extend([0xaa; 32]);
        expected.extend([0, 0xac, 0x02, 1, b'd', 1, 1, b'f', 1, 1, 5]);
        assert_eq!(encode(&record).unwrap(), expected);
    }

    #[test]
    fn damage_and_other_versions_are_named() {
        let account = AccountRecord { newest_s: None };
        let bytes = encode(&account).unwrap();
        let read = |bytes: &[u8]| decode::<AccountRecord>(|| "x".into(), bytes);
        assert_eq!(read(&bytes).unwrap(), account);
        for damaged in [&[][..], &[1, 0], &[4, 0], &[3], &[3, 0, 0], &[3, 99]] {
            assert!(matches!(read(damaged), Err(StateError::Corrupt { .. })));
        }
    }

    #[test]
    fn a_folder_of_the_version_before_does_not_tell_the_targets_mailbox() {
        let bytes = [2, 1, 10, 5, 0, 1, b'I', 3, 0];
        let read = decode::<FolderRecord>(|| "x".into(), &bytes).unwrap();
        let expected = FolderRecord {
            source_uidvalidity: 1,
            source_uidnext: 10,
            source_messages: 5,
            source_highestmodseq: None,
            target_name: b"I".to_vec(),
            target_uidvalidity: 3,
            match_below: None,
            target_mailbox: None,
            target_uidnext: None,
            retry_from: None,
        };
        assert_eq!(read, expected);
        let again = encode(&read).unwrap();
        assert_eq!(
            decode::<FolderRecord>(|| "x".into(), &again).unwrap(),
            expected
        );
    }
}
