//! Sockets: listeners, TLS, bounded line and chunk I/O, limits on connections. Nothing
//! here knows what the lines say.

mod gate;
mod listener;
mod pair;
mod stream;
mod tls;
mod wire;

pub use gate::{Crowded, Gate, Pass};
pub use listener::{bind, serve};
pub use pair::TlsError;
pub use stream::Stream;
pub use tls::{Certificates, Look, Sources};
pub use wire::{Expect, Line, Wire, WireError};
