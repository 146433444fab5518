//! What the control socket answers with: the stable, public form of what the spool knows.
//!
//! Each view is one JSON object with snake_case members. Members are added over time and
//! never renamed or removed. Times are milliseconds since 1970 UTC and end in `_ms`;
//! sizes are bytes; a member that does not apply is left out.

mod event;
mod fsck;
mod message;
mod mover;
mod rail;
mod status;

pub use event::{DomainEventView, EventView, LogLine, LoggedView};
pub use fsck::{FsckDomainView, FsckView, RepairView};
pub use message::{MessageView, NULL_SENDER, RecipientView};
pub use mover::{AccountsView, MovedView, MoverView, TroubledView, Whose};
pub use rail::{Mark, RailView};
pub use status::{CanaryView, DomainView, Live, ReleaseView, Speed, StatesView, StatusView};
