//! The tables of a register.

use crate::audit::checkpoints;
use crate::error::CatalogError;
use crate::steps;
use rusqlite::Connection;

/// "WRFR": what the file says it is.
const APPLICATION_ID: i64 = 0x5752_4652;

/// Step i takes a file of format i to format i + 1. Steps are only ever appended.
const STEPS: &[&str] = &[FORMAT_1, checkpoints::TABLE, FORMAT_3];

const FORMAT_1: &str = "
CREATE TABLE bindings (
    link BLOB NOT NULL CHECK (length(link) = 16),
    individual TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 32),
    evidence TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL,
    PRIMARY KEY (link, individual)
) STRICT, WITHOUT ROWID;
CREATE INDEX bindings_by_key ON bindings (key);

CREATE TABLE rebindings (
    link BLOB NOT NULL CHECK (length(link) = 16),
    individual TEXT NOT NULL,
    change BLOB NOT NULL CHECK (length(change) = 16),
    PRIMARY KEY (link, individual, change)
) STRICT, WITHOUT ROWID;

CREATE TABLE owners (
    number INTEGER PRIMARY KEY,
    link BLOB NOT NULL CHECK (length(link) = 16),
    object BLOB NOT NULL CHECK (length(object) = 16),
    individual TEXT NOT NULL,
    is_stored INTEGER NOT NULL,
    UNIQUE (object, link),
    FOREIGN KEY (link, individual) REFERENCES bindings
) STRICT;
CREATE INDEX owners_by_individual ON owners (link, individual);
CREATE INDEX owners_awaited ON owners (link, number) WHERE is_stored = 0;

CREATE TABLE consents_used (
    key BLOB NOT NULL CHECK (length(key) = 32),
    consent BLOB NOT NULL CHECK (length(consent) = 16),
    session BLOB NOT NULL CHECK (length(session) = 16),
    PRIMARY KEY (key, consent)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations (
    key BLOB NOT NULL CHECK (length(key) = 32),
    revocation BLOB NOT NULL CHECK (length(revocation) = 16),
    link BLOB NOT NULL CHECK (length(link) = 16),
    token TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL,
    PRIMARY KEY (key, revocation)
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked (
    key BLOB NOT NULL CHECK (length(key) = 32),
    consent BLOB NOT NULL CHECK (length(consent) = 16),
    PRIMARY KEY (key, consent)
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked_until (
    key BLOB NOT NULL CHECK (length(key) = 32),
    individual TEXT NOT NULL,
    until_unix_s INTEGER NOT NULL,
    PRIMARY KEY (key, individual)
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    link BLOB PRIMARY KEY CHECK (length(link) = 16),
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE silence (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    until_unix_s INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE holds (
    object BLOB NOT NULL CHECK (length(object) = 16),
    link BLOB NOT NULL CHECK (length(link) = 16),
    reason TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL,
    PRIMARY KEY (object, link)
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten (
    object BLOB NOT NULL CHECK (length(object) = 16),
    link BLOB NOT NULL CHECK (length(link) = 16),
    x INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL,
    PRIMARY KEY (object, link, x)
) STRICT, WITHOUT ROWID;

CREATE TABLE brought (
    link BLOB NOT NULL CHECK (length(link) = 16),
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (link, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    line TEXT NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    entries INTEGER NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
";

/// Sites that this one has a link to; which shares of an object lie where; whether what lies here
/// is what was completed first; and which site was ever to get which share.
const FORMAT_3: &str = "
CREATE TABLE neighbours (
    site TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    link BLOB CHECK (length(link) = 16)
) STRICT, WITHOUT ROWID;

CREATE TABLE holders (
    link BLOB NOT NULL CHECK (length(link) = 16),
    object BLOB NOT NULL CHECK (length(object) = 16),
    x INTEGER NOT NULL,
    site TEXT NOT NULL,
    PRIMARY KEY (link, object, x),
    UNIQUE (link, object, site),
    FOREIGN KEY (object, link) REFERENCES owners (object, link) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE firsts (
    link BLOB NOT NULL CHECK (length(link) = 16),
    object BLOB NOT NULL CHECK (length(object) = 16),
    is_there INTEGER NOT NULL,
    PRIMARY KEY (link, object),
    FOREIGN KEY (object, link) REFERENCES owners (object, link) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE targets (
    link BLOB NOT NULL CHECK (length(link) = 16),
    object BLOB NOT NULL CHECK (length(object) = 16),
    site TEXT NOT NULL,
    x INTEGER NOT NULL,
    PRIMARY KEY (link, object, site)
) STRICT, WITHOUT ROWID;
";

/// Makes an empty file a register.
pub(super) fn create(connection: &Connection) -> Result<(), CatalogError> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    steps::take(connection, STEPS)
}

/// Refuses a file that is no register, and brings an older one up to date, whole or not at all.
pub(super) fn recognise(connection: &Connection) -> Result<(), CatalogError> {
    let found: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    match found == APPLICATION_ID && steps::format(connection)? > 0 {
        true => steps::take(connection, STEPS),
        false => Err(CatalogError::damaged("its file is not a register")),
    }
}
