//! What a site knows of persons, durably: whose card is whose, whose object is whose, which
//! consents are used up or revoked, who was in contact when, and the site's own audit log.
//!
//! Each verb is one transaction, durable when it returns; where it has an event, the event is in
//! the log in that very transaction, so nothing takes effect that the log does not tell. One
//! register may be shared by threads, and its file be open in several processes.
//!
//! Keys are fingerprints and statements are named by their identifiers: no key of anybody is here.

mod bindings;
mod consents;
mod contacts;
mod holds;
mod neighbours;
mod owners;
mod schema;
mod work;

pub use bindings::{Binding, Bindings, NewBinding};
pub use consents::{Admission, NewRevocation, Standing};
pub use contacts::Silence;
pub use holds::{Forgotten, Hold};
pub use neighbours::Neighbour;
pub use owners::{Claim, Owner};
pub use work::{Admitted, Holders, NewHolders};

use crate::audit::{self, AuditEntry, AuditHead, Compared, Event};
use crate::{CatalogError, Sharing, connect, create_file};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A site's register.
pub struct Register {
    connection: Mutex<Connection>,
}

impl Register {
    /// Opens the register at `path`, or makes an empty one there.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] where the file is no sound register,
    /// [`CatalogError::Incompatible`], [`CatalogError::Busy`], [`CatalogError::Full`],
    /// [`CatalogError::Storage`].
    pub fn open_or_create(path: &Path) -> Result<Self, CatalogError> {
        match create_file(path, "register", schema::create) {
            Ok(()) | Err(CatalogError::AlreadyExists { .. }) => Self::open(path),
            Err(error) => Err(error),
        }
    }

    /// Opens the register at `path`.
    ///
    /// # Errors
    /// As [`Register::open_or_create`]; [`CatalogError::NotFound`] where there is no file.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        if !path.try_exists()? {
            let name = path.display().to_string();
            return Err(CatalogError::NotFound { what: "register", name });
        }
        let connection = match connect(path, Sharing::Many) {
            Ok(connection) => connection,
            Err(CatalogError::Full) => connect(path, Sharing::Alone)?,
            Err(error) => return Err(error),
        };
        schema::recognise(&connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// A register that is gone when it is dropped.
    ///
    /// # Errors
    /// [`CatalogError::Storage`].
    pub fn in_memory() -> Result<Self, CatalogError> {
        let connection = Connection::open_in_memory()?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::create(&connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Appends `event` to the site's audit log; durable when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] where the event is no JSON or too long, [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn append_audit(&self, event: &Event<'_>) -> Result<AuditHead, CatalogError> {
        self.write(|writing| audit::append(writing, event))
    }

    /// Checks the whole audit log, and says where it stands.
    ///
    /// # Errors
    /// [`CatalogError::AuditBroken`] with the first entry that was edited, removed, added or moved.
    pub fn verify_audit(&self) -> Result<AuditHead, CatalogError> {
        self.read(audit::verify)
    }

    /// Up to `limit` entries of the audit log from place `from` on.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn audit(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, CatalogError> {
        self.read(|reading| audit::entries(reading, from, limit))
    }

    /// Where the audit log says that it stands.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn audit_head(&self) -> Result<AuditHead, CatalogError> {
        self.read(audit::read_head)
    }

    /// Compares the audit log with where it once stood.
    ///
    /// # Errors
    /// As [`Register::audit_head`].
    pub fn compare_audit(&self, once: &AuditHead) -> Result<Compared, CatalogError> {
        self.read(|reading| audit::checkpoints::compare(reading, &audit::read_head(reading)?, once))
    }

    /// Does `work` in one transaction that may write; it is undone where `work` fails.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let connection = self.lock();
        let writing = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let done = work(&writing)?;
        writing.commit()?;
        Ok(done)
    }

    /// Does `work` in one transaction that sees one state throughout.
    fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let connection = self.lock();
        work(&Transaction::new_unchecked(&connection, TransactionBehavior::Deferred)?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut short was undone when it was dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one more thing that a link brings, of which it may bring so many. False, and nothing is
/// changed, where it has.
fn bring(
    writing: &Transaction<'_>,
    link: &[u8; 16],
    what: &str,
    count_max: i64,
) -> Result<bool, CatalogError> {
    let changed = writing.execute(
        "INSERT INTO brought VALUES (?1, ?2, 1)
         ON CONFLICT DO UPDATE SET count = count + 1 WHERE count < ?3",
        (link, what, count_max),
    )?;
    Ok(changed > 0)
}
