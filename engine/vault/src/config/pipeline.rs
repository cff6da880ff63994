//! How much of one object is on its way at once.

use serde::{Deserialize, Serialize};
use std::num::NonZero;

/// Depths of the data path. Results don't depend on them, only speed and memory do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pipeline {
    /// Chunks of 1 MiB on their way at once, at most: fewer where memory is short.
    pub window: usize,
    /// Threads that compute the shares of each object on its way; one for each core where absent.
    /// More than the window are not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self { window: 8, workers: None }
    }
}

impl Pipeline {
    /// Threads that compute the shares of one object.
    pub(crate) fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.workers.unwrap_or_else(cores)
    }
}
