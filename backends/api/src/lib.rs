//! `ShareStore` and `Transport`: what a place that keeps shares, and a way to reach it, must do.
//!
//! A store sees names and bytes, never what they mean: no key, no plaintext, no other site's
//! share. Its errors are sorted by what the caller can do about them. [`MemoryStore`] is the
//! model that the others are compared with, [`FaultStore`] makes any store fail on demand,
//! [`SpooledStore`] makes one of [`Objects`], which are put whole, and [`conformance`] (feature
//! `conformance`) is the suite that every store runs.

#![forbid(unsafe_code)]

#[cfg(test)]
mod canary;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod fault;
mod memory;
mod name;
mod objects;
mod spooled;
mod store;
mod transport;

pub use error::Error;
pub use fault::{Fault, FaultStore};
pub use memory::MemoryStore;
pub use name::{NAME_BYTES_MAX, NameError, ShareName};
pub use objects::{Contents, Objects, ObjectsCapability};
pub use spooled::SpooledStore;
pub use store::{Capability, Entry, ShareStore, Upload};
pub use transport::{
    MEMORY_CAPACITY_BYTES, MemoryTransport, Transport, TransportError, memory_pair,
};
