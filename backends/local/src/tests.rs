//! Tests that need the inside of the store.
//!
//! `disk` and `queued` run on the real file system, `below` on real ones that are full or fail,
//! `faults` and `power` on `model`, one in memory that fails where it is told to and forgets what
//! was not synced.

mod below;
mod disk;
mod faults;
mod model;
mod power;
mod queued;
