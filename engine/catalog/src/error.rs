//! What can go wrong, by what the caller can do about it.

use rusqlite::{ErrorCode, ffi};
use std::io::ErrorKind;

/// Why the catalog didn't do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// What was asked for isn't there.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Which one.
        name: String,
    },
    /// What was to be added is there already.
    #[error("{what} {name} is there already")]
    AlreadyExists {
        /// What kind of thing.
        what: &'static str,
        /// Which one.
        name: String,
    },
    /// A value that the catalog doesn't take; nothing was changed.
    #[error("{what} is refused: {why}")]
    Invalid {
        /// The value.
        what: &'static str,
        /// The rule that it breaks.
        why: String,
    },
    /// The file isn't a sound catalog.
    #[error("the catalog is damaged: {why}; rebuild it from the sites' capsules or a copy")]
    Damaged {
        /// What was found.
        why: String,
        /// What the storage engine said, if it was the one to notice.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The audit log was edited or cut.
    #[error("the audit log is broken at entry {sequence}: {why}")]
    AuditBroken {
        /// The first entry that doesn't hold.
        sequence: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another process kept the catalog locked for too long.
    #[error("another process keeps the catalog locked; try again")]
    Busy,
    /// The file system that holds the catalog is full; nothing was changed.
    #[error("the file system that holds the catalog is full")]
    Full,
    /// A later release made the file.
    #[error("the catalog has format {found}, and this release knows up to {supported}; update it")]
    Incompatible {
        /// The file's format.
        found: i64,
        /// The latest format known here.
        supported: i64,
    },
    /// The storage below failed; what was asked may not have happened.
    #[error("the catalog's storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CatalogError {
    pub(crate) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged { why: why.into(), source: None }
    }
}

impl From<std::io::Error> for CatalogError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Storage(Box::new(error)),
        }
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        let unreadable = matches!(
            error,
            Sql::InvalidColumnType(..)
                | Sql::FromSqlConversionFailure(..)
                | Sql::IntegralValueOutOfRange(..)
                | Sql::Utf8Error(..)
        );
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            _ if is_without_index(&error) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                let why = "its file can't be read as one".to_owned();
                Self::Damaged { why, source: Some(Box::new(error)) }
            }
            _ if unreadable => {
                let why = "a row holds what no release writes".to_owned();
                Self::Damaged { why, source: Some(Box::new(error)) }
            }
            _ => Self::Storage(Box::new(error)),
        }
    }
}

/// Whether there is no room for the index of the log, which a full disk is told as.
fn is_without_index(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| [ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMMAP].contains(&code))
}
