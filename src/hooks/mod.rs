//! Tells other programs what happens, and asks one before a release.
//!
//! - `event`: what is told; `watch`: notices it; `teller`: tells it, one event after another.
//! - `veto`: asks before a release. Whoever cannot be asked has not agreed.
//! - `command`, `webhook`: the two ways.
//!
//! A hook never keeps mail waiting: it is told from a queue of its own, in bounded time, and
//! what fails is logged. When the queue is full the event is logged in its place.

mod command;
mod event;
mod teller;
mod veto;
mod watch;
mod webhook;

pub use event::{Event, Kind};
pub use veto::Question;
pub use watch::Watcher;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4096;

/// What a hook answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    /// Exit status 0, or 2xx.
    is_yes: bool,
    /// The exit status, or the status line.
    status: String,
    /// Its words, cut.
    text: String,
}

impl Said {
    /// For a person: its words, or its status where it said nothing.
    fn reason(&self) -> String {
        match self.text.trim() {
            "" => self.status.clone(),
            text => text.to_owned(),
        }
    }
}
