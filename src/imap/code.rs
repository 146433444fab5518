//! Response codes (RFC 9051 §7.1).

use super::{message::Flag, uid_set::UidSet};

/// What stands in brackets at the head of a status response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// The messages of an APPEND (RFC 4315 §3), in the order of the command.
    AppendUid {
        /// Of the folder.
        uidvalidity: u32,
        /// One for each message, rising.
        uids: UidSet,
    },
    /// UIDVALIDITY.
    UidValidity(u32),
    /// UIDNEXT.
    UidNext(u32),
    /// HIGHESTMODSEQ.
    HighestModSeq(u64),
    /// NOMODSEQ: the folder keeps none.
    NoModSeq,
    /// PERMANENTFLAGS; `\*` among them lets new keywords be made.
    PermanentFlags(Vec<Flag>),
    /// READ-ONLY.
    ReadOnly,
    /// READ-WRITE.
    ReadWrite,
    /// CAPABILITY.
    Capability(Vec<String>),
    /// TRYCREATE: the folder is missing.
    TryCreate,
    /// OVERQUOTA.
    OverQuota,
    /// LIMIT: too much, too many, too often.
    Limit,
    /// TOOBIG, as several servers say for a message over their size limit (RFC 4469).
    TooBig,
    /// ALREADYEXISTS.
    AlreadyExists,
    /// NONEXISTENT.
    NonExistent,
    /// NOPERM.
    NoPerm,
    /// CANNOT: never, for example a name that the server does not take.
    Cannot,
    /// AUTHENTICATIONFAILED.
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED.
    AuthorizationFailed,
    /// UNAVAILABLE, for now.
    Unavailable,
    /// INUSE, for now.
    InUse,
    /// SERVERBUG.
    ServerBug,
    /// ALERT: its text is for a person.
    Alert,
    /// Another, verbatim.
    Other(String),
}
