//! Key-management entities (KMEs) for labs and tests: the delivery API of ETSI GS QKD 014 V1.1.1.
//!
//! One process serves a pair or a mesh of KMEs that share generated key, each at an address of its
//! own, with TLS and certificates on both sides from an authority that lies in the same folder.
//! **Not for production:** key is a generator's, seeded by the operating system, so that its
//! secrecy is computational; and both ends of every link are in one process.
//!
//! [`Lab::open`] makes the folder what a lab needs, [`Lab::start`] serves it, [`Ready`] says where
//! everything is, and [`set_faults`] makes a KME misbehave.

#![forbid(unsafe_code)]

mod api;
mod body;
mod certificates;
mod clock;
mod faults;
mod folder;
mod keys;
mod lab;
mod limits;
mod mesh;
mod refusal;
mod request;
mod server;
mod setup;
mod stock;

pub use clock::{Clock, SystemClock};
pub use faults::{Call, FAULTS_MAX, Fault, FaultError, FaultKind, faults, set_faults};
pub use lab::{Lab, LabError, Ready, ReadyNode, ReadySae, Running, remembered};
pub use limits::{
    ANSWER_MAX_BYTES, KEY_COUNT_MAX, KEY_SIZE_MAX_BITS, KEYS_PER_REQUEST_MAX, Limits, LimitsError,
};
pub use refusal::{
    EXTENSION_UNKNOWN, EXTENSION_UNMET, KEYS_NOT_FOUND, SIZE_NOT_BYTES, TOO_LITTLE_KEY,
    UNAUTHORIZED,
};
pub use request::{KEY_CLASS, KEY_CLASS_EXTENSION};
pub use setup::{
    Changes, LabSetup, NAME_CHARS_MAX, NODES_MAX, NodeSetup, SAES_MAX, SaeSetup, SetupError,
};
