//! Loads plugins that keep shares.
//!
//! `plugins/abi/ABI.md` says what a plugin is. [`About::read`] reads what one says of itself
//! without running it; [`Trusted`] runs one in this process, [`Apart`] in a process of its own,
//! which [`serve`] is the other end of. Both are [`warifu_backend::Objects`], of which
//! [`warifu_backend::SpooledStore`] makes a store of shares.
//!
//! The host believes nothing that a plugin answers: statuses, counts, names and their order are
//! checked, and a call that takes too long is given up with an unknown outcome, its buffers kept
//! for it until it returns.

#![deny(unsafe_code)]

mod about;
mod apart;
mod config;
mod library;
mod serve;
mod trusted;
mod wire;
mod workers;

pub use about::{About, AboutError};
pub use apart::Apart;
pub use config::{ConfigError, PluginConfig};
pub use serve::serve;
pub use trusted::Trusted;
