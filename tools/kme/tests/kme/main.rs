//! The lab's KMEs, called over the network as applications call them.

#![forbid(unsafe_code)]

mod answers;
mod client;
mod faults;
mod independent;
mod keys;
mod process;
mod rate;
mod speed;
mod tls;
