//! The lab's KMEs, called over the network as applications call them.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "whatever fails in a helper of a test must fail the test")]

mod answers;
mod client;
mod faults;
mod independent;
mod keys;
mod process;
mod rate;
mod speed;
mod tls;
