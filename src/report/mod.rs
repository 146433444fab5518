//! The account of a cutover: what came, where it is, what went wrong and what was done about
//! it, and a chain of hashes over all events, by which it can be checked later that none was
//! removed or changed.
//!
//! - `model`: the report as data, which is its JSON form.
//! - `gather`: makes it, from a walk over all messages, in bounded memory.
//! - `chain`: the hashes; `check`: a report's chain in itself, and beside the spool.
//! - `speed`: how fast it went.
//!
//! How it is shown is for the command to say (`crate::cli`).

pub mod chain;
pub mod check;
pub mod gather;
pub mod model;
pub mod speed;
