//! IMAP from the client's side: the wire under the mover.
//!
//! async-imap connects, negotiates TLS and logs in; from there on this module has its own
//! framing over the stream. Lines and literals are read as they come, so that a message of
//! any size streams through in constant memory, commands are pipelined, and no failure is
//! mistaken for success: each tagged reply is matched to its command, and NO, BAD, BYE, the
//! end of the stream and a time-out are all an [`Error`], whatever data came before.
//!
//! A leaf: it knows no configuration, no spool and no mover. Nothing here changes what is
//! on a server but [`Session::create`], [`Session::subscribe`], [`Session::store_flags`]
//! and [`Session::append`]; bodies are fetched by BODY.PEEK alone.
//!
//! A session whose command failed half way, or whose future was dropped, refuses every
//! later command with [`Error::Lost`]: connect again.

mod append;
mod code;
mod connect;
mod cursor;
mod endpoint;
mod error;
mod folder;
mod frame;
mod message;
mod name;
mod response;
mod session;
mod tap;
mod tls;
mod uid_set;
mod wire;

#[cfg(test)]
mod tests;

pub use crate::trust::Trust;
pub use append::AppendWay;
pub use code::Code;
pub use connect::connect;
pub use endpoint::{Endpoint, Limits, Login, Tls};
pub use error::Error;
pub use folder::{Figures, Folder, Namespace, Namespaces, Quota, Selected, SpecialUse, Status};
pub use message::{Append, Appended, BodySink, BodySource, Fetched, Flag, Meta, Whole};
pub use name::Name;
pub use session::{Capabilities, Session};
pub use uid_set::UidSet;
