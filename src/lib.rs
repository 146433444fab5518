//! `relay` holds a domain's mail durably while its server is being replaced, then
//! releases it to the new server in the order in which it arrived.
//!
//! Data flows one way: `net` -> `smtp` -> `receive` -> [`spool`] -> `release`
//! -> `net`. [`mail`] and `smtp` are leaves that know no socket, no clock and no
//! storage; [`spool`] knows neither SMTP nor the network; `release` does not know
//! `receive`. `tests/arrows.rs` checks these arrows.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

#[cfg(feature = "engine")]
pub mod check;
#[cfg(feature = "engine")]
pub mod cli;
pub mod config;
pub mod control;
pub mod cutover;
pub mod dns;
pub mod failpoint;
pub mod gates;
pub mod hooks;
pub mod imap;
pub mod ledger;
pub mod log;
pub mod mail;
pub mod manual;
#[cfg(feature = "engine")]
pub mod mover;
pub mod net;
pub mod receive;
pub mod release;
pub mod report;
pub mod smtp;
pub mod spool;
pub mod token;
pub mod trust;
#[cfg(feature = "engine")]
pub mod verify;
pub mod web;
#[cfg(feature = "engine")]
pub mod witness;
