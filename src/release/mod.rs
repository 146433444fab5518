//! Release: held mail goes to the new server, each mailbox in arrival order, nothing
//! twice, nothing lost, nothing changed.
//!
//! The life of a release:
//!
//! - [`Releaser`] runs one runner for each domain in `release` or `forward` that is not
//!   paused, and passes the spool's news on to it.
//! - [`order`] says which message may go to which of its recipients now.
//! - A job reads the message, takes a kept [`connection`] or opens one, and [`deliver`]s;
//!   to a destination that is far away several go in a row ([`reach`], `train`). The
//!   attempt is on disk before the message's end leaves.
//! - [`outcome`] says what an answer means: for the delivery (there, deferred, parked, in
//!   doubt), and for the destination, whose [`health`] decides how much it is asked to
//!   take, and pauses the domain when it is plainly the wrong one.
//! - The result is on disk before the next message of the mailbox may go.
//!
//! What fails before the end of a message was sent is known not to have arrived and is
//! sent again. What fails behind it, before a reply, is in doubt: it blocks its mailbox
//! until the destination was asked for it, or `release.in_doubt` decides.

mod auth;
mod board;
mod brake;
mod callout;
mod chunk;
pub mod commands;
pub mod connection;
mod content;
pub mod deliver;
#[cfg(test)]
mod dice;
mod doubt;
mod envelope;
mod flight;
pub mod flow;
mod gates;
pub mod health;
mod introduction;
mod job;
mod journal;
pub mod latency;
mod measures;
mod notices;
pub mod order;
pub mod outcome;
pub mod outside;
pub mod pace;
mod parcel;
#[cfg(test)]
mod peer;
mod reach;
pub mod reply;
pub mod retry;
pub mod room;
mod row;
mod runner;
mod settle;
mod status;
pub mod stream;
mod strict;
mod supervisor;
pub mod target;
#[cfg(all(test, feature = "engine"))]
mod tests;
pub mod throttle;
mod timeouts;
mod tls;
mod train;
mod witness;

pub use callout::Finding;
pub use gates::Gates;
pub use measures::Measures;
pub use outside::Outside;
pub use status::{Rate, ReleaseStatus};
pub use supervisor::Releaser;
pub use timeouts::Timeouts;
pub use tls::{TlsClients, TlsError};
pub use witness::{Question, Sighting, Witness};
