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
}

impl LocalConfig {
    /// A store in `folder` that may fill its file system.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), spared_bytes: 0 }
    }
}
