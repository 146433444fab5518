//! The receiver from outside: real sockets, the real spool in a temporary directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // A test fails by panicking.

mod chunking;
mod dialogs;
mod differential;
#[path = "../support/dns.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod dns;
mod lifecycle;
mod limits;
mod messages;
mod names;
#[path = "../support/peers.rs"]
#[allow(dead_code)] // Others start the rest of them.
mod peers;
mod proxy;
#[path = "../support/random.rs"]
mod random;
mod rates;
mod repeated;
#[path = "../support/sequences.rs"]
mod sequences;
mod smuggling;
mod states;
mod support;
mod tls;
mod verify;
