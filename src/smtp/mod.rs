//! The protocol: commands, replies, the session's state machine and the data codec.
//!
//! Nothing here does I/O or knows a clock: bytes and decisions go in, replies and
//! actions come out, so that every path can be tested with plain values.

mod command;
pub mod data;
mod offer;
mod parameter;
mod path;
mod reply;
mod session;
mod verb;

pub use command::{Chunk, ChunkPlace, Command, CommandError, ForwardPath, Mail, Rcpt};
pub use offer::Offer;
pub use reply::Reply;
pub use session::{Action, Session, SessionLimits, Tls, Transaction};
pub use verb::{Verb, VerbCounts};

/// The longest command line that is read, in bytes with its CRLF. RFC 5321 §4.5.3.1.4 asks
/// for 512, and the extensions offered here for 26 (SIZE), 16 (BODY), 10 (SMTPUTF8), 108
/// (ENVID), 9 (RET), 500 (ORCPT) and 28 (NOTIFY) more.
pub const COMMAND_BYTES_MAX: usize = 4096;
