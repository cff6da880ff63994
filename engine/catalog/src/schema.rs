//! The tables, and how an older file becomes a present one.
//!
//! Nothing derived from plaintext has a column: no file name, no digest, no true length. What an
//! object is worth to a thief is its padded length, its times, its individual's pseudonym and the
//! label that the operator declared public.

use crate::audit::checkpoints;
use crate::error::CatalogError;
use crate::steps;
use rusqlite::Connection;

/// "WRFU": what the file says it is.
pub(crate) const APPLICATION_ID: i64 = 0x5752_4655;

/// Step i takes a file of format i to format i + 1. Steps are only ever appended.
const STEPS: &[&str] = &[FORMAT_1, FORMAT_2, PERSONS, checkpoints::TABLE, HOLDS, USED];

const FORMAT_1: &str = "
CREATE TABLE individuals (
    individual TEXT PRIMARY KEY,
    created_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sites (
    site TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    zone TEXT NOT NULL,
    domain TEXT NOT NULL,
    channel INTEGER NOT NULL,
    link BLOB UNIQUE CHECK (length(link) = 16),
    drained INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE objects (
    number INTEGER PRIMARY KEY,
    object BLOB NOT NULL UNIQUE CHECK (length(object) = 16),
    individual TEXT NOT NULL REFERENCES individuals,
    k INTEGER NOT NULL,
    n INTEGER NOT NULL,
    class INTEGER NOT NULL,
    label TEXT,
    created_unix_s INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL,
    random_bytes INTEGER NOT NULL,
    holder BLOB NOT NULL CHECK (length(holder) = 16),
    holder_pid INTEGER NOT NULL,
    committed_unix_s INTEGER,
    stored_bytes INTEGER,
    masks INTEGER,
    capsule_head_bytes INTEGER,
    capsule_verdict_bytes INTEGER
) STRICT;
CREATE INDEX objects_by_individual ON objects (individual);
CREATE INDEX objects_begun ON objects (number) WHERE committed_unix_s IS NULL;

CREATE TABLE shares (
    object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
    x INTEGER NOT NULL,
    site TEXT NOT NULL REFERENCES sites,
    role INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    zone TEXT NOT NULL,
    domain TEXT NOT NULL,
    link BLOB CHECK (length(link) = 16),
    planned_to_site_bytes INTEGER NOT NULL,
    planned_from_site_bytes INTEGER NOT NULL,
    reserve_to_site_bytes INTEGER NOT NULL DEFAULT 0,
    reserve_from_site_bytes INTEGER NOT NULL DEFAULT 0,
    sent_bytes INTEGER,
    key_bytes INTEGER,
    receipt_unix_s INTEGER,
    state INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (object, x),
    UNIQUE (object, site)
) STRICT;
CREATE INDEX shares_by_site ON shares (site, reserve_to_site_bytes, reserve_from_site_bytes);

CREATE TABLE verdicts (
    object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
    x INTEGER NOT NULL,
    r BLOB NOT NULL CHECK (length(r) = 16),
    mask_hashes BLOB NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (object, x)
) STRICT;

CREATE TABLE attempts (
    object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
    chunk INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (object, chunk)
) STRICT, WITHOUT ROWID;

CREATE TABLE overrides (
    object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (object, rule)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
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

const FORMAT_2: &str = "
CREATE TABLE arrivals (
    pool BLOB NOT NULL CHECK (length(pool) = 16),
    direction INTEGER NOT NULL,
    unix_s INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL,
    PRIMARY KEY (pool, direction, unix_s)
) STRICT, WITHOUT ROWID;
";

/// What must stay, and what is on its way to be gone for good.
const HOLDS: &str = "
CREATE TABLE holds (
    object BLOB PRIMARY KEY CHECK (length(object) = 16),
    reason TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE forgettings (
    object BLOB PRIMARY KEY CHECK (length(object) = 16),
    reason TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten_shares (
    object BLOB NOT NULL REFERENCES forgettings ON DELETE CASCADE,
    x INTEGER NOT NULL,
    at_unix_s INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (object, x)
) STRICT, WITHOUT ROWID;
";

/// Persons' cards, and what they agreed to.
const PERSONS: &str = "
CREATE TABLE cards (
    individual TEXT PRIMARY KEY REFERENCES individuals,
    key BLOB NOT NULL CHECK (length(key) = 32),
    evidence TEXT NOT NULL,
    is_software INTEGER NOT NULL,
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cards_held (
    site TEXT NOT NULL REFERENCES sites ON DELETE CASCADE,
    individual TEXT NOT NULL REFERENCES individuals,
    key BLOB NOT NULL CHECK (length(key) = 32),
    PRIMARY KEY (site, individual)
) STRICT, WITHOUT ROWID;

CREATE TABLE consents (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    individual TEXT NOT NULL,
    token TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    individual TEXT NOT NULL,
    token TEXT NOT NULL,
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations_told (
    revocation BLOB NOT NULL REFERENCES revocations,
    site TEXT NOT NULL REFERENCES sites ON DELETE CASCADE,
    PRIMARY KEY (revocation, site)
) STRICT, WITHOUT ROWID;
";

/// Consents that serve once, and have.
const USED: &str = "
CREATE TABLE consents_used (
    consent BLOB PRIMARY KEY CHECK (length(consent) = 16),
    session BLOB NOT NULL CHECK (length(session) = 16),
    at_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Makes an empty file a catalog.
pub(crate) fn create(connection: &Connection) -> Result<(), CatalogError> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(connection)
}

/// Brings a catalog up to the present format; one that is there already stays as it is.
pub(crate) fn migrate(connection: &Connection) -> Result<(), CatalogError> {
    steps::take(connection, STEPS)
}

/// Whether the file says that it is a catalog.
pub(crate) fn recognise(connection: &Connection) -> Result<(), CatalogError> {
    let found: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let named = found == APPLICATION_ID && steps::format(connection)? > 0;
    if named { Ok(()) } else { Err(CatalogError::damaged("its file is not a catalog")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::format;

    fn empty() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn tables(connection: &Connection) -> i64 {
        let query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        connection.query_row(query, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_are_taken_once() {
        let connection = empty();
        create(&connection).unwrap();
        let made = tables(&connection);
        assert!(made > 5);
        connection.execute("INSERT INTO individuals VALUES ('P1', 0)", []).unwrap();
        migrate(&connection).unwrap();
        recognise(&connection).unwrap();
        let supported = STEPS.len() as i64;
        assert_eq!((tables(&connection), format(&connection).unwrap()), (made, supported));
        let kept = "SELECT count(*) FROM individuals";
        assert_eq!(connection.query_row(kept, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }

    #[test]
    fn a_file_of_any_earlier_format_is_brought_up_to_date_with_all_that_it_holds() {
        for done in 1..STEPS.len() {
            let connection = empty();
            for step in &STEPS[..done] {
                connection.execute_batch(step).unwrap();
            }
            connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            connection.pragma_update(None, "user_version", done as i64).unwrap();
            connection.execute("INSERT INTO individuals VALUES ('P1', 7)", []).unwrap();
            recognise(&connection).unwrap();
            migrate(&connection).unwrap();
            assert_eq!(format(&connection).unwrap(), STEPS.len() as i64);
            let kept = "SELECT created_unix_s FROM individuals";
            assert_eq!(connection.query_row(kept, [], |row| row.get::<_, i64>(0)).unwrap(), 7);
            assert!(connection.prepare("SELECT * FROM arrivals").is_ok());
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let connection = empty();
        connection.execute_batch("CREATE TABLE settings (other)").unwrap();
        assert!(migrate(&connection).is_err());
        assert_eq!((tables(&connection), format(&connection).unwrap()), (1, 0));
    }
}
