//! What is stored where, durably: individuals, sites, objects and their shares, settings and the
//! audit log of one vault.
//!
//! [`Catalog`] speaks the domain's verbs; that there is SQLite beneath is nobody else's business.
//! Several processes may have one catalog open. Each verb is one transaction, durable when it
//! returns. Backups go through an intent: [`Catalog::begin`] records what is about to be done and
//! which process does it, [`Catalog::commit`] makes the object listed, whole or not at all, and
//! what a dead process left is found by [`Catalog::intents`] and dropped by [`Catalog::abandon`].
//!
//! The file holds each share's secret `r` and its hashes: who has them and no share learns nothing
//! of the content, but could forge a share that he also rewrites. So it is readable by its owner
//! alone.

#![forbid(unsafe_code)]

mod arrivals;
mod audit;
mod commits;
mod error;
mod find;
mod forgettings;
mod individuals;
mod intents;
mod objects;
mod persons;
mod register;
mod rows;
mod schema;
mod settings;
mod sites;
mod steps;

pub use arrivals::{Arrival, KEPT_DAYS};
pub use audit::{
    AuditEntry, AuditHead, AuditKey, CheckpointRow, Compared, Event, ExportError, Exported, Shown,
    checkpoint_line, from_hex, hex, is_head_signed, is_report_signed, read_checkpoint_line,
    verify_export,
};
pub use commits::{CommitRecord, CommittedShare};
pub use error::CatalogError;
pub use find::{ObjectPrefix, PlannedObject, PrefixError, Resolved, Search};
pub use forgettings::{Begun, Forgetting, GoneShare, HeldObject};
pub use individuals::Individual;
pub use intents::{Holder, Intent, NewObject, NewShare, REASON_BYTES_MAX};
pub use objects::{Object, ShareState, StoredShare};
pub use persons::{EnrolledCard, KnownConsent, KnownRevocation};
pub use register::{
    Admission, Admitted, Binding, Bindings, Claim, Forgotten, Hold, Holders, Neighbour, NewBinding,
    NewHolders, NewRevocation, Owner, Register, Silence, Standing,
};
pub use sites::{KeyBytes, NewSite, Site};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a verb waits for another process before it says [`CatalogError::Busy`].
const BUSY_WAIT: Duration = Duration::from_secs(20);

/// One open catalog. It may move between threads; each thread that wants one opens its own.
pub struct Catalog {
    connection: Connection,
}

impl Catalog {
    /// Makes a new, empty catalog file at `path` and opens it.
    ///
    /// The name appears once the file is complete and on stable storage.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where `path` is taken, [`CatalogError::Storage`] where it
    /// can't be written.
    pub fn create(path: &Path) -> Result<Self, CatalogError> {
        create_file(path, "catalog", schema::create)?;
        Self::open(path)
    }

    /// Opens the catalog at `path`, bringing an older format up to date. Where its disk is so full
    /// that it can't be shared, this process has it alone until it closes it: reading works then.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where there is no file, [`CatalogError::Damaged`] where it is no
    /// sound catalog, [`CatalogError::Incompatible`] where a later release made it,
    /// [`CatalogError::Busy`], and [`CatalogError::Storage`].
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        if !path.try_exists()? {
            return Err(CatalogError::NotFound {
                what: "catalog",
                name: path.display().to_string(),
            });
        }
        match Self::open_as(path, Sharing::Many) {
            Err(CatalogError::Full) => Self::open_as(path, Sharing::Alone),
            opened => opened,
        }
    }

    fn open_as(path: &Path, sharing: Sharing) -> Result<Self, CatalogError> {
        let connection = connect(path, sharing)?;
        schema::recognise(&connection)?;
        schema::migrate(&connection)?;
        Ok(Self { connection })
    }

    /// Reads the whole file and checks that its structure holds.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] with the first finding.
    pub fn check(&self) -> Result<(), CatalogError> {
        let found: String =
            self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(CatalogError::damaged(found));
        }
        let mut dangling = self.connection.prepare("PRAGMA foreign_key_check")?;
        match dangling.exists([])? {
            true => Err(CatalogError::damaged("a row refers to one that is gone")),
            false => Ok(()),
        }
    }

    /// Opens a transaction that may write. It is undone where it is dropped.
    fn writing(&self) -> Result<Transaction<'_>, CatalogError> {
        Ok(Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?)
    }

    /// Opens a transaction that sees one state throughout.
    fn reading(&self) -> Result<Transaction<'_>, CatalogError> {
        Ok(Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?)
    }
}

/// Who may have the file open at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Any number of processes, by an index of the log that is a file.
    Many,
    /// This connection alone: the index is in its memory and takes no room.
    Alone,
}

/// Makes an empty file at `path`, has `make` lay out its tables, and gives it its name when it is
/// complete and on stable storage.
fn create_file(
    path: &Path,
    what: &'static str,
    make: impl FnOnce(&Connection) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    let taken = || CatalogError::AlreadyExists { what, name: path.display().to_string() };
    if path.try_exists()? {
        return Err(taken());
    }
    let draft = Draft::new(path)?;
    let connection = connect(&draft.path, Sharing::Many)?;
    make(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(&draft.path)?.sync_all()?;
    fs::hard_link(&draft.path, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        _ => error.into(),
    })?;
    drop(draft);
    Ok(File::open(folder_of(path))?.sync_all()?)
}

fn connect(path: &Path, sharing: Sharing) -> Result<Connection, CatalogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    if sharing == Sharing::Alone {
        connection.pragma_update(None, "locking_mode", "exclusive")?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file under a passing name, gone when this is dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn new(target: &Path) -> Result<Self, CatalogError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = folder_of(target).join(name);
        let _ = fs::remove_file(&path);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_it_reads_what_others_wrote_and_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let individual = "P1".parse().unwrap();
        let catalog = Catalog::create(&path).unwrap();
        catalog.enroll(&individual, 7).unwrap();
        // Its log stays, as after a kill.
        let killed = folder.path().join("killed.db");
        fs::copy(&path, &killed).unwrap();
        fs::copy(folder.path().join("catalog.db-wal"), folder.path().join("killed.db-wal"))
            .unwrap();
        let alone = Catalog::open_as(&killed, Sharing::Alone).unwrap();
        assert_eq!(alone.individuals().unwrap().len(), 1);
        assert!(!folder.path().join("killed.db-shm").exists());
        drop(alone);
        assert_eq!(Catalog::open(&killed).unwrap().individuals().unwrap().len(), 1);
    }

    #[test]
    fn a_commit_waits_for_the_medium() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::create(&folder.path().join("catalog.db")).unwrap();
        let pragma = |name: &str| -> String {
            let query = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            catalog.connection.query_row(&query, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal");
        for (name, value) in [("synchronous", "2"), ("foreign_keys", "1"), ("secure_delete", "1")] {
            assert_eq!(pragma(name), value, "{name}");
        }
    }
}
