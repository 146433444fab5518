//! The manual for whoever operates relay or carries it on.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("durability.md")]
pub mod durability {}

#[doc = include_str!("admission.md")]
pub mod admission {}

#[doc = include_str!("bounce.md")]
pub mod bounce {}

#[doc = include_str!("check.md")]
pub mod check {}

#[doc = include_str!("decisions.md")]
pub mod decisions {}

#[doc = include_str!("delivery.md")]
pub mod delivery {}

#[doc = include_str!("faults.md")]
pub mod faults {}
#[doc = include_str!("gates.md")]
pub mod gates {}

#[doc = include_str!("hooks.md")]
pub mod hooks {}

#[doc = include_str!("imap.md")]
pub mod imap {}

#[doc = include_str!("measured.md")]
pub mod measured {}

#[doc = include_str!("mover.md")]
pub mod mover {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("receiver.md")]
pub mod receiver {}

#[doc = include_str!("release.md")]
pub mod release {}

#[doc = include_str!("report.md")]
pub mod report {}

#[doc = include_str!("verify.md")]
pub mod verify {}
