//! Release.
pub mod order;
