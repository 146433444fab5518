//! Copies mailboxes from the old server to the new one over IMAP, in passes, until a pass
//! finds nothing new.

pub mod accounts;
