//! Tests that need the inside of the store.
//!
//! `disk` runs on the real file system, `faults` and `power` on `model`, a file system in memory
//! that fails where it is told to and forgets what was not synced.

mod disk;
mod faults;
mod model;
mod power;
