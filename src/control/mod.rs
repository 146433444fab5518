//! The control socket: HTTP/1.1 and JSON on a Unix socket of mode 0600, so that only the
//! daemon's user and root reach it. `relay status`, `list`, `release` and the others are
//! clients of it, and so is curl:
//!
//! ```text
//! curl --unix-socket /run/relay/control.sock http://relay/v1/status
//! curl --unix-socket /run/relay/control.sock -X POST http://relay/v1/domains/corp.example/release
//! curl --unix-socket /run/relay/control.sock -d '{"ids":["01KAR6Q8ZJ5V:bob@corp.example"]}' \
//!      http://relay/v1/deliveries/retry
//! ```
//!
//! # Calls
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/status` | [`StatusView`](view::StatusView): every domain |
//! | `GET /v1/mover` | [`MovedView`](view::MovedView): every account of the mover; `null` where none has run |
//! | `GET /v1/checks` | [`Checked`](crate::ledger::Checked): the last result of each check; `null` where none was made |
//! | `GET /v1/domains/{name}` | [`DomainView`](view::DomainView) |
//! | `GET /v1/domains/{name}/events` | JSON lines of [`DomainEventView`](view::DomainEventView), oldest first |
//! | `POST /v1/domains/{name}/hold` | back to `hold`; [`DomainView`](view::DomainView) afterwards |
//! | `POST /v1/domains/{name}/release` | releases; body [`ReleaseOrder`], may be left out |
//! | `GET /v1/domains/{name}/canary` | JSON lines of [`MessageView`](view::MessageView): what its release sent first |
//! | `POST /v1/domains/{name}/rewind` | one step of putting back what was delivered; body [`RewindOrder`], answer [`Rewound`] |
//! | `POST /v1/domains/{name}/open` | opens the gate that its release waits for |
//! | `POST /v1/domains/{name}/pause` | pauses; body [`PauseOrder`], may be left out |
//! | `POST /v1/domains/{name}/resume` | goes on |
//! | `GET /v1/domains/{name}/load` | [`LoadView`]: the limits of its destination |
//! | `PUT /v1/domains/{name}/load` | changes them while it runs; body [`LoadOrder`] |
//! | `GET /v1/messages` | JSON lines of [`MessageView`](view::MessageView) in arrival order; the query is a [`Filter`] |
//! | `GET /v1/log` | JSON lines of [`LogLine`](view::LogLine): every message in arrival order, finished ones too, with its history |
//! | `GET /v1/messages/{id}` | one [`MessageView`](view::MessageView) with all deliveries |
//! | `GET /v1/messages/{id}/events` | JSON lines of [`EventView`](view::EventView), oldest first |
//! | `GET /v1/messages/{id}/raw` | the exact bytes that the sender sent |
//! | `POST /v1/deliveries/retry` | sends (again); body [`Ids`], answer [`Decided`] |
//! | `POST /v1/deliveries/park` | keeps for a person; likewise |
//! | `POST /v1/deliveries/drop` | gives up, without asking again; likewise |
//! | `POST /v1/deliveries/bounce` | gives up, and reports to the sender (RFC 3464), without asking again; body [`Ids`], answer [`Bounced`] |
//! | `GET /v1/fsck` | [`FsckView`](view::FsckView): a full recount with all digests; takes its time |
//! | `POST /v1/fsck/repair` | [`RepairView`](view::RepairView): puts right what can be |
//!
//! Bodies are read as JSON whatever their content type. Everything a call answers is on
//! stable storage. An order on deliveries is carried out for all of them or for none.
//!
//! # Errors
//!
//! Every other answer than 200 is an [`ApiError`]: `{"error": "unknown_domain", "detail":
//! "the domain x.example is not configured"}`. [`ErrorKind`] lists the words with their
//! status codes. A stream that fails on its way (a damaged record, a body whose digest
//! differs) is broken off without its last chunk, which HTTP clients report.
//!
//! # Stability
//!
//! Below `/v1`, calls and members are added, never renamed or removed.

mod api;
mod bounce;
mod canary;
mod decision;
mod delay;
mod error;
mod facts;
mod filter;
#[cfg(test)]
pub(crate) mod fixture;
mod listing;
mod load;
mod log;
mod next;
mod orders;
mod rail;
mod rewind;
mod server;
mod socket;
mod speed;
mod stream;
mod veto;
pub mod view;

pub use bounce::{BOUNCES_MAX, Bounced, Reported};
pub use decision::{Decided, Decision, IDS_MAX, Ids, decide};
pub use delay::warn_late;
pub use error::{ApiError, ErrorKind};
pub use facts::{Facts, Known};
pub use filter::{Filter, FilterError, StateFilter};
pub use listing::Listing;
pub use load::{LimitsView, LoadOrder, LoadView, SetView};
pub use log::Log;
pub use next::SILENCE_MS;
pub use orders::{PauseOrder, ReleaseOrder};
pub use rail::rail;
pub use rewind::{RewindOrder, Rewound};
pub use server::{Api, LiveRelease, Loads, Server};
pub use socket::SocketError;
pub use veto::Veto;
