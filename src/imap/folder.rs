//! Folders and what is known of them.

use super::{message::Flag, name::Name};

/// A folder of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its whole name, with its separators.
    pub name: Name,
    /// Between the parts of its name; nothing for a flat one.
    pub separator: Option<u8>,
    /// Attributes, verbatim: `\Noselect`, `\HasChildren`, ...
    pub attributes: Vec<String>,
    /// What it is for (RFC 6154), from its attributes.
    pub special_use: Option<SpecialUse>,
    /// Whether the user is subscribed to it.
    pub subscribed: bool,
    /// Its figures; nothing for one that cannot be selected, or whose STATUS was refused.
    pub status: Option<Status>,
}

impl Folder {
    /// Whether it holds messages, as opposed to being only a part of names.
    #[must_use]
    pub fn is_selectable(&self) -> bool {
        !self.attributes.iter().any(|attribute| {
            attribute.eq_ignore_ascii_case("\\Noselect")
                || attribute.eq_ignore_ascii_case("\\NonExistent")
        })
    }
}

/// What a folder is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// All messages, a view of others.
    All,
    /// Archive.
    Archive,
    /// Drafts.
    Drafts,
    /// Flagged messages, a view of others.
    Flagged,
    /// Junk.
    Junk,
    /// Sent.
    Sent,
    /// Trash.
    Trash,
}

impl SpecialUse {
    /// From an attribute of LIST.
    #[must_use]
    pub fn of(attribute: &str) -> Option<Self> {
        Some(match attribute.to_ascii_lowercase().as_str() {
            "\\all" => Self::All,
            "\\archive" => Self::Archive,
            "\\drafts" => Self::Drafts,
            "\\flagged" => Self::Flagged,
            // Before RFC 6154 Gmail said `\Spam`.
            "\\junk" | "\\spam" => Self::Junk,
            "\\sent" => Self::Sent,
            "\\trash" => Self::Trash,
            _ => return None,
        })
    }
}

/// What STATUS tells. Nothing where the server does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// MESSAGES.
    pub messages: Option<u32>,
    /// UIDNEXT.
    pub uidnext: Option<u32>,
    /// UIDVALIDITY.
    pub uidvalidity: Option<u32>,
    /// HIGHESTMODSEQ.
    pub highestmodseq: Option<u64>,
    /// SIZE in bytes (RFC 8438).
    pub size: Option<u64>,
}

/// What is asked of each folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// All that [`Status`] has.
    All,
    /// UIDVALIDITY and UIDNEXT alone: the others can cost a server the opening of each folder.
    Validity,
}

/// What SELECT and EXAMINE tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// How many messages.
    pub exists: u32,
    /// UIDVALIDITY; nothing from servers without persistent UIDs.
    pub uidvalidity: Option<u32>,
    /// UIDNEXT.
    pub uidnext: Option<u32>,
    /// HIGHESTMODSEQ; nothing for a folder without.
    pub highestmodseq: Option<u64>,
    /// FLAGS: those that are in use.
    pub flags: Vec<Flag>,
    /// PERMANENTFLAGS; nothing: all (RFC 9051 §7.1).
    pub permanent_flags: Option<Vec<Flag>>,
    /// READ-ONLY.
    pub read_only: bool,
}

/// A part of the hierarchy (RFC 2342).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// In front of the names in it, for example `INBOX.`.
    pub prefix: Vec<u8>,
    /// Between the parts of names.
    pub separator: Option<u8>,
}

/// All namespaces of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Of the user's own folders.
    pub personal: Vec<Namespace>,
    /// Of other users'.
    pub other_users: Vec<Namespace>,
    /// Shared ones.
    pub shared: Vec<Namespace>,
}

/// A resource of a quota root (RFC 9208).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// `STORAGE`, `MESSAGE`, ...
    pub resource: String,
    /// In KiB for STORAGE.
    pub usage: u64,
    /// In KiB for STORAGE.
    pub limit: u64,
}
