//! Plain values that every other module speaks of: addresses, envelopes, queue ids,
//! digests, the trace header and delivery reports. Nothing here does I/O or reads a clock.

mod address;
mod digest;
mod envelope;
mod hops;
mod queue_id;
pub mod report;
mod trace;

pub use address::{Address, AddressError, Lane, ReversePath};
pub use digest::{Digest, Digester};
pub use envelope::{BodyKind, Client, DeliveryId, Envelope, Protocol, Recipient, Ret};
pub use hops::{Hops, Loop};
pub use queue_id::{QueueId, QueueIdError};
pub use report::REPORTS_DOMAIN;
pub use trace::received;
