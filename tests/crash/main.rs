//! What a crash leaves behind. A client that writes down every reply as it is received has
//! the truth; after each crash the spool is compared with it.
//!
//! - `kill`: `kill -9`, which takes the process and leaves the page cache.
//! - `power`: a power cut on a real file system, which takes all that was not synced; at
//!   random, at every named step, and in the recovery from the cut before.
//! - `moving`: both, under the mover.
//! - `client`: the recording client and the comparison.
//!
//! `make crash N=1000` runs each for so many crashes.

mod client;
mod kill;
mod moving;
mod power;
#[path = "../support/mod.rs"]
mod support;
