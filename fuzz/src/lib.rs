//! What the targets call: relay's own modules by their path, and a `strike` for each target.
//! A strike panics when a promise does not hold.
#![allow(dead_code, unused_imports)] // Each module is used in part.

#[path = "../../src/config/mod.rs"]
#[allow(missing_docs)]
pub mod config_module;
#[path = "../../src/failpoint.rs"]
pub mod failpoint;
#[path = "../../src/net/proxy/header.rs"]
mod header;
#[path = "../../src/mail/mod.rs"]
pub mod mail;
#[path = "../../src/smtp/data/model.rs"]
mod model;
#[path = "../../src/mover/accounts.rs"]
mod mover_accounts;
#[path = "../../src/spool/rocks/record.rs"]
mod record;
#[path = "../../src/release/reply.rs"]
mod reply;
#[path = "../../src/smtp/mod.rs"]
pub mod smtp;
#[path = "../../src/spool/mod.rs"]
pub mod spool;

pub mod accounts;
pub mod config;
pub mod data;
pub mod imap;
pub mod proxy;
pub mod records;
pub mod replies;
pub mod session;
