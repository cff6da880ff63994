//! Frames over TCP to a site daemon.
//!
//! Nothing here rests on TCP for secrecy or genuineness: what is sent is sealed before it comes
//! here. [`TcpTransport`] moves bytes, with a limit on every wait; [`Listener`] takes
//! connections until it is stopped.

#![forbid(unsafe_code)]

mod config;
mod error;
mod listener;
mod transport;

pub use config::Timeouts;
pub use listener::{Listener, Stopper};
pub use transport::TcpTransport;
