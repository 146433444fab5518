//! Old server, spool and new server compared, mailbox by mailbox: every message that the old
//! server had or that relay released is in the new server exactly once.
//!
//! - `run`: all accounts; `account`: one of them; `settle`: what it comes to.
//! - `expected`: what the old server had, by the mover's map, or by asking or reading it again;
//!   `spooled`: what relay has released, and what it still keeps.
//! - `found`: what is in the mailbox, every message read once; `reader`: the reading, over IMAP,
//!   through lost connections; `facts`, `header`: what a message is known by.
//! - `matching`: which is which, without any server; `fit`: a released message beside what was
//!   received; `naming`: what a person calls a message.
//!
//! Both servers are only read (EXAMINE, BODY.PEEK), and nothing of a message stays in memory
//! but hashes: some 80 bytes for each message of the accounts under way, and 40 for each
//! delivery of the spool.

pub mod account;
pub mod expected;
pub mod facts;
pub mod fit;
pub mod found;
pub mod header;
pub mod matching;
pub mod naming;
pub mod reader;
pub mod run;
pub mod settle;
pub mod spooled;
