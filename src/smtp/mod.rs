//! The protocol: commands, replies, the session's state machine and the data codec.
//!
//! Nothing here does I/O or knows a clock: bytes and decisions go in, replies and
//! actions come out, so that every path can be tested with plain values.

pub mod data;
