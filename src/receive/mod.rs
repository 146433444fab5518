//! The receiver: joins a socket, a session and the spool.
//!
//! A message is streamed into a draft of the spool while it comes in; its 250 is made
//! from the [`Receipt`](crate::spool::Receipt) of the commit, and from nothing else. A
//! client that vanishes before its end-of-data leaves nothing behind; one that vanishes
//! after it leaves a whole message. When the server stops, no message that is coming in
//! is cut off before a grace of [`DATA_GRACE`], and no commit goes without its reply.

mod answers;
mod connection;
mod counters;
mod door;
mod intake;
mod log;
mod message;
mod patience;
mod recipients;
mod server;
mod shared;
mod verify;
mod who;

pub use counters::{Counters, Reason};
pub use recipients::RecipientsError;
pub use server::{BindError, DATA_GRACE, Reloader, Server};
pub use verify::{Answer, Asking, Callout, Verdict};
