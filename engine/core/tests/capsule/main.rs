//! The capsule under attack.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod content;
mod recovery;
mod samples;
