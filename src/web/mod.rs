//! The page to watch a cutover on, and the figures for monitoring, over plain HTTP/1.1 on
//! an address that should be a loopback one.
//!
//! | path | who | what |
//! |---|---|---|
//! | `/` | logged in | the page; without a login it leads to `/login` |
//! | `/live` | logged in | server-sent events: `status` with what `GET /v1/status` says, when it changes |
//! | `/history` | logged in | the counters of the last hour, of the domains and of the mover, for the plots |
//! | `/v1/...` | logged in | the calls of the [control socket](crate::control) |
//! | `/metrics` | anybody | Prometheus; the [names](metrics) are fixed |
//! | `/healthz` | anybody | 200 while the process answers |
//! | `/readyz` | anybody | 200 when a real write with its sync succeeded just now, else 503 |
//!
//! # Who may act
//!
//! There are two tokens: an operator's, and one for those who only look. A browser gives
//! one once and gets a session: a cookie that scripts cannot read and that no other site's
//! request carries (`HttpOnly`, `SameSite=Strict`). A call that changes something needs an
//! operator's session, the session's own secret in a header, and the page's own origin. A
//! script sends `Authorization: Bearer TOKEN` instead. Sessions end after 12 hours, and with
//! the daemon.

mod access;
mod guard;
mod history;
mod live;
mod login;
pub mod metrics;
mod page;
mod server;

pub use access::TokenError;
pub use server::{BindError, Server};
