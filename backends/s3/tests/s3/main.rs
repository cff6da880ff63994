//! S3 stores against servers: one in this process that lies on demand, and real ones where
//! `tools/test` has installed them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod fake;
mod hostile;
