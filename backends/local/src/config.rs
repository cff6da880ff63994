//! Where a store is.

use std::path::PathBuf;

/// What it takes to open a [`crate::LocalStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalConfig {
    /// The directory. It is made, readable by its owner alone, if its parent exists.
    pub folder: PathBuf,
    /// Bytes of the file system that are left to others: `room_bytes` doesn't count them.
    /// It is advice to planners; a write may still use them.
    pub spared_bytes: u64,
    /// How bytes get to files and back.
    pub engine: Engine,
}

/// How bytes get to files and back. What is then on the disk is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The ring where the system has it, else plain calls.
    #[default]
    Auto,
    /// `io_uring` and `O_DIRECT`; a file that can't be read and written past the system's cache
    /// is used plainly all the same.
    Ring,
    /// `pread` and `pwrite` through the system's cache.
    Plain,
}

impl LocalConfig {
    /// A store in `folder` that may fill its file system.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), spared_bytes: 0, engine: Engine::Auto }
    }
}
