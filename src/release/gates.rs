//! What a release asks, of which each mailbox waits for a gate of its own
//! ([`Gate::Mailbox`](crate::spool::Gate::Mailbox)).

use crate::mail::Lane;

/// Says which mailboxes may get their mail. Answered from memory: it is asked for every
/// mailbox each time that its turn comes. Whoever implements it calls
/// [`Releaser::gates_moved`](super::Releaser::gates_moved) when an answer has changed.
pub trait Gates: Send + Sync + 'static {
    /// Whether this mailbox of the domain may. With `release.order = "strict"` there is one
    /// lane for the whole domain, `Lane(0)`.
    fn is_open(&self, domain: &str, lane: Lane) -> bool;
}

/// Until somebody else is asked, all gates are closed, and only a command opens them.
pub(super) struct Closed;

impl Gates for Closed {
    fn is_open(&self, _: &str, _: Lane) -> bool {
        false
    }
}
