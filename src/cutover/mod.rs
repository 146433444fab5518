//! The guided cutover: which steps a move has, what each does, and how far it is, so that it
//! can be interrupted at any point and gone on with. It carries nothing out: the commands do,
//! led by `relay cutover`.
//!
//! - `plan`: the steps of this move, with what each does here, and why one is left out;
//! - `journal`: the record of the move, held by one process at a time, on stable storage
//!   before and after each step;
//! - `table`: the steps with their times, for the end and for whoever asks.

pub mod journal;
pub mod plan;
pub mod table;
