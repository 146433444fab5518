//! The receiver from outside: real sockets, the real spool in a temporary directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // A test fails by panicking.

mod chunking;
mod dialogs;
mod lifecycle;
mod limits;
mod messages;
mod proxy;
mod rates;
mod repeated;
mod smuggling;
mod support;
mod tls;
mod verify;
