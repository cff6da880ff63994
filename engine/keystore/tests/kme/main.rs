//! The client of ETSI GS QKD 014 against KMEs that do everything wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod hostile;
mod probing;
mod server;
mod speed;
