//! Copies mailboxes from the old server to the new one over IMAP, in passes, until a pass
//! finds nothing new.
//!
//! - `accounts`: whose mailboxes; `mapping`: which folder becomes which.
//! - `pass`: a folder gone through once; `plan`: what there is to do in it; `flags`: which flags the target takes;
//!   `converge`: whether a pass was the last one.
//! - `hash`: how a message is known again at the other server.
//! - `state`: what has been copied, on disk; the only place here that knows RocksDB.
//! - `copy`: messages into a folder, each exactly once whatever is lost on the way.
//!
//! The engine asks servers through the traits `pass::Source`, `pass::Folder` and
//! `copy::Target`; no command drives it over a real connection yet.
//!
//! Nothing at the source is ever changed, and nothing is added to a message.

pub mod accounts;
pub mod converge;
pub mod copy;
pub mod flags;
pub mod hash;
pub mod mapping;
pub mod pass;
pub mod plan;
pub mod state;
