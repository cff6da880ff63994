//! Labs of real processes: gateways, site daemons, and the network between them.
//!
//! Everything lives in a temporary folder and every process that is started is ended with the
//! [`Lab`]. What can't be made or run here panics with what to do about it.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a harness of tests: whatever fails must fail the test")]

mod cards;
mod kme;
mod lab;
mod ledgers;
mod persons;
mod process;
mod proxy;
mod samples;
mod servers;

pub use cards::{CardLab, OPENSC, Reader, SOFTHSM, jpki_lacks, pins_given, softhsm_lacks};
pub use kme::Kme;
pub use lab::{
    Backup, Lab, LabShape, NO_CONSENT_INIT, Site, change_settings, set_limit, tree_copy,
};
pub use ledgers::LedgerCheck;
pub use persons::{Gateway, Persons, refused, refused_command};
pub use process::{Done, Running, warifu};
pub use proxy::{Capture, Fault, Flow, Proxy, Strike};
pub use samples::{Dice, sample, seed};
pub use servers::{Bucket, ServerKind};

/// Bytes of the hello by which a site answers (FORMAT.md section 9).
pub const SITE_HELLO_BYTES: usize = 96;
