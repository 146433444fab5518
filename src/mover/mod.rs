//! Copies mailboxes from the old server to the new one over IMAP, in passes, until a pass
//! finds nothing new.
//!
//! - `accounts`: whose mailboxes; `mapping`: which folder becomes which.
//! - `run`: all accounts, in passes; `account`: one of them; `lane`: its folders, over several
//!   connections at once; `pace`: how much in one batch; `folders`: both sides' folders; `source`, `target`: the two ends of a folder over IMAP; `login`: who
//!   logs in where.
//! - `pass`: a folder gone through once; `plan`: what there is to do in it; `flags`: which
//!   flags the target takes; `matching`: what the target had already; `converge`: whether a
//!   pass was the last one.
//! - `preview`: what copying would do, without doing it; `forecast`: what the target will make
//!   of the messages, and how long it takes.
//! - `copy`: messages into a folder, each exactly once whatever is lost on the way; `body`:
//!   their bytes in little memory; `keep`: those that the target does not take, as files; `hash`: how a message is known again at the other server;
//!   `date`: INTERNALDATE.
//! - `state`: what has been copied, on disk; the only place here that knows RocksDB.
//! - `meter`: how far a run is, for those who watch it; `publish`: the same in a file, with who
//!   has converged, for all who need no run to know.
//!
//! Nothing at the source is ever changed, and nothing is added to a message.

pub mod account;
pub mod accounts;
pub mod body;
pub mod converge;
pub mod copy;
pub mod date;
pub mod flags;
pub mod folders;
pub mod forecast;
pub mod hash;
pub mod keep;
pub mod lane;
pub mod login;
pub mod mapping;
pub mod matching;
pub mod meter;
pub mod pace;
pub mod pass;
pub mod plan;
pub mod preview;
pub mod publish;
pub mod run;
pub mod source;
pub mod state;
pub mod target;
