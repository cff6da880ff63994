//! Shares in a directory, create-only and durable.
//!
//! `FOLDER/shares/NAME` is a committed share, `FOLDER/unfinished/NAME` an upload. Committing
//! syncs the file, gives it its second name by `link`, which never replaces anything, syncs
//! `shares`, and only then takes the first name away. So:
//!
//! - a file under `shares` is whole and synced, always;
//! - while its twin under `unfinished` remains, nobody knows yet that the new name survives a
//!   loss of power, and the share counts as not committed;
//! - whoever next asks for the share, lists or resumes finds the twin and settles it forward,
//!   giving the second name anew so that the sync after it counts.
//!
//! The owner of an upload holds an exclusive lock (`flock`) on its file, so several processes
//! may use one directory. A sync that failed is never tried again: an upload whose file could not
//! be synced is thrown away, and after a folder could not be, nothing is committed or deleted
//! until the store is opened anew. Everything goes through the private trait `Files`, so that the
//! tests can fail any step or cut the power between any two.
//!
//! `Files` is implemented twice for real disks: by plain calls, and by `io_uring` with `O_DIRECT`
//! where the memory, the place and the length of a write allow it. Both leave the same bytes.

#![deny(unsafe_code)]

mod config;
mod error;
mod files;
mod queued;
mod ring;
mod shelf;
mod store;
mod upload;

#[cfg(test)]
mod tests;

pub use config::{Engine, LocalConfig};
pub use store::LocalStore;
