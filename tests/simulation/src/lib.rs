//! The engine in a world that one seed decides. See `README.md` beside this crate.

#![forbid(unsafe_code)]

mod backups;
mod campaign;
mod delivery;
mod dice;
mod fuse;
mod gateway;
mod ground;
mod judge;
mod making;
mod medium;
mod network;
mod oracle;
mod scenario;
mod site;
mod store;

pub use campaign::Campaign;
pub use ground::{Canary, Counters};
pub use scenario::{Order, Outcome, Scenario, SetupError};
