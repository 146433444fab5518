//! Sockets: listeners, TLS, bounded line and chunk I/O, headers of load balancers, limits
//! on connections and rates. Nothing here knows what the lines say.

mod gate;
mod listener;
mod pair;
mod proxy;
mod rate;
mod stream;
mod tls;
mod wire;

pub use gate::{Crowded, Gate, Pass};
pub use listener::{bind, serve};
pub use pair::TlsError;
pub use proxy::{HeaderError, ProxyError, proxied};
pub use rate::{Rate, Rates};
pub use stream::Stream;
pub use tls::{Certificates, Look, Sources};
pub use wire::{Expect, Line, Wire, WireError};
