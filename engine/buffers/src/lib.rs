//! Page-aligned memory for key, shares and plaintext, overwritten with zeros when it is let go.
//!
//! A [`Block`] has a fixed memory for its whole life, so a secret is never left behind by a
//! growing vector. It is neither `Clone` nor `Debug` nor comparable. Blocks of about a chunk come
//! from a pool of slots whose memory is never given back to the system: nothing is allocated for
//! each chunk, and a ring may register a slot once ([`slot_of`]).
//!
//! The crate also keeps the process's books of memory: [`reserve`] before a job starts, [`stats`]
//! of what is out, and [`copied_bytes`] of what was copied from one buffer to another where it
//! should have been handed on.

#![forbid(unsafe_code)]

mod account;
mod block;
mod pool;

pub use account::{Reservation, Stats, copied_bytes, copy_payload, reserve, set_limit, stats};
pub use block::Block;
pub use bytes::Bytes;
pub use pool::{SLOT_BYTES, SLOT_PITCH_BYTES, SLOTS_MAX, Slot, slot_of};

/// Alignment of every [`Block`], in bytes: one page, what `O_DIRECT` asks for.
pub const ALIGNMENT: usize = 4096;
