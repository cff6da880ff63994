//! What an operation can't foretell: disks, clocks, randomness, the network, and who is faster.
//!
//! Everything of the kind that a gateway's operations meet comes through a [`World`]. The real one
//! is the default; the simulation has another, in which one seed decides all of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use warifu_backend::{Error as StoreError, ShareStore, Transport, TransportError};
use warifu_backend_local::{LocalConfig, LocalStore};
use warifu_keystore::{Directory, Entropy, Medium, OsEntropy};
use warifu_pipeline::clock::{Clock, SystemClock};
use warifu_pipeline::driver::Driver;
use warifu_remote::{TcpTransport, Timeouts};

/// Limits of single steps on a connection. Deadlines of whole messages are below these.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(600),
    write: Duration::from_secs(600),
};

/// Where a vault's operations take place. Its catalog and settings are files in any world.
pub trait World: Send + Sync {
    /// The medium of the key store whose folder is `dir`.
    fn key_medium(&self, dir: &Path) -> Arc<dyn Medium>;

    /// The medium of the journals of the vault in `dir`, which lie in a folder of it.
    fn journal_medium(&self, dir: &Path) -> Arc<dyn Medium>;

    /// Randomness.
    fn entropy(&self) -> Arc<dyn Entropy>;

    /// The time.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Who decides in which order several sites are served.
    fn driver(&self) -> Driver;

    /// Connects to the site daemon at `address`, `HOST:PORT`.
    ///
    /// # Errors
    /// Where nobody answers there.
    fn connect(&self, address: &str) -> Result<Box<dyn Transport>, TransportError>;

    /// Opens the store of shares in `folder`.
    ///
    /// # Errors
    /// What the store says.
    fn open_store(&self, folder: &Path) -> Result<Arc<dyn ShareStore>, StoreError>;
}

/// This machine: its disks, its clock, its network, a thread for each site.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl World for ThisMachine {
    fn key_medium(&self, dir: &Path) -> Arc<dyn Medium> {
        Arc::new(Directory::new(dir))
    }

    fn journal_medium(&self, dir: &Path) -> Arc<dyn Medium> {
        Arc::new(Directory::new(dir))
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::new(OsEntropy)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    fn driver(&self) -> Driver {
        Driver::Threads
    }

    fn connect(&self, address: &str) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(TcpTransport::connect(address, TIMEOUTS)?))
    }

    fn open_store(&self, folder: &Path) -> Result<Arc<dyn ShareStore>, StoreError> {
        Ok(Arc::new(LocalStore::open(&LocalConfig::new(folder))?))
    }
}
