//! The audit log: one line of JSON for each event, each chained to all before it.
//!
//! `chain = BLAKE3(chain before || line)`, the first before being 32 zeros. A line is
//! `{"at":SECONDS,"event":...,"kind":"...","sequence":N}`, keys sorted, without spaces. The head of
//! the chain stands beside the lines, so that cutting the end off is seen too. Who can rewrite the
//! whole file can make a new chain; against him a copy of [`AuditHead`] is kept elsewhere.

pub(crate) mod checkpoints;
mod export;
mod signing;

pub use checkpoints::{CheckpointRow, Compared, Shown};
pub use export::{
    ExportError, Exported, checkpoint_line, from_hex, hex, read_checkpoint_line, verify_export,
};
pub use signing::{AuditKey, is_head_signed, is_report_signed};

use crate::{Catalog, CatalogError, rows};
use rusqlite::{Connection, Row, Transaction};
use serde_json::{Value, json};
use warifu_core::LinkId;

/// The longest event, in bytes of JSON.
const EVENT_BYTES_MAX: usize = 65_536;
/// The longest kind, in bytes.
const KIND_BYTES_MAX: usize = 64;

/// Where the audit log stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditHead {
    /// Entries so far.
    pub entries: u64,
    /// The chain over all of them.
    pub chain: [u8; 32],
}

/// One entry of the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Its place, from 0.
    pub sequence: u64,
    /// The line as it is chained: one JSON document.
    pub line: String,
    /// The chain up to and with it.
    pub chain: [u8; 32],
}

impl AuditEntry {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            sequence: rows::count(row, "sequence")?,
            line: row.get("line")?,
            chain: rows::array(row, "chain")?,
        })
    }

    /// Whether this is entry `head.entries`, chained to the ones before.
    fn follows(&self, head: &AuditHead) -> Result<(), CatalogError> {
        let sequence = head.entries;
        let broken = |why| Err(CatalogError::AuditBroken { sequence, why });
        if self.sequence != sequence {
            return broken("it is gone");
        }
        if self.chain != chained(&head.chain, &self.line) {
            return broken("it is not what was written");
        }
        let line: Result<Value, _> = serde_json::from_str(&self.line);
        match line.ok().and_then(|line| line.get("sequence")?.as_u64()) {
            Some(named) if named == sequence => Ok(()),
            _ => broken("its line names another place"),
        }
    }
}

impl Catalog {
    /// Appends an event of a kind such as `backup`; `event` is a JSON document, at most 64 KiB.
    /// Nothing derived from plaintext belongs into it.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] where `event` is no JSON or too long, [`CatalogError::Busy`],
    /// [`CatalogError::Storage`].
    pub fn append_audit(
        &self,
        kind: &str,
        event: &str,
        at_unix_s: u64,
    ) -> Result<AuditHead, CatalogError> {
        let writing = self.writing()?;
        let next = append(&writing, &Event { kind, json: event, at_unix_s })?;
        writing.commit()?;
        Ok(next)
    }

    /// Checks the whole log, and says where it stands.
    ///
    /// # Errors
    /// [`CatalogError::AuditBroken`] with the first entry that was edited, removed, added or moved.
    pub fn verify_audit(&self) -> Result<AuditHead, CatalogError> {
        verify(&self.reading()?)
    }

    /// Up to `limit` entries from place `from` on.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn audit(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, CatalogError> {
        entries(&self.connection, from, limit)
    }

    /// Where the log says that it stands.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn audit_head(&self) -> Result<AuditHead, CatalogError> {
        read_head(&self.reading()?)
    }

    /// Compares the log with where it once stood.
    ///
    /// # Errors
    /// As [`Catalog::audit_head`].
    pub fn compare_audit(&self, once: &AuditHead) -> Result<Compared, CatalogError> {
        let reading = self.reading()?;
        checkpoints::compare(&reading, &read_head(&reading)?, once)
    }

    /// Holds another party's checkpoint, received at `now_unix_s`, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] where its signature is wrong; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn keep_checkpoint(
        &self,
        shown: &CheckpointRow,
        now_unix_s: u64,
    ) -> Result<Shown, CatalogError> {
        let writing = self.writing()?;
        let fits = checkpoints::keep(&writing, shown, now_unix_s)?;
        writing.commit()?;
        Ok(fits)
    }

    /// The checkpoints that are held of a link, or of all, the oldest first.
    ///
    /// # Errors
    /// As [`Catalog::audit_head`].
    pub fn checkpoints(&self, link: Option<LinkId>) -> Result<Vec<CheckpointRow>, CatalogError> {
        checkpoints::held(&self.reading()?, link)
    }
}

/// Something to be appended to an audit log.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its kind, such as `backup`.
    pub kind: &'a str,
    /// What happened: a JSON document, at most 64 KiB.
    pub json: &'a str,
    /// When, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// Appends `event` within a transaction: it is in the log where that is committed.
pub(crate) fn append(
    writing: &Transaction<'_>,
    event: &Event<'_>,
) -> Result<AuditHead, CatalogError> {
    let refused = |why: String| CatalogError::Invalid { what: "an audit event", why };
    if event.json.len() > EVENT_BYTES_MAX || event.kind.len() > KIND_BYTES_MAX {
        let why = format!("at most {EVENT_BYTES_MAX} bytes, its kind {KIND_BYTES_MAX}");
        return Err(refused(why));
    }
    let told: Value =
        serde_json::from_str(event.json).map_err(|error| refused(format!("no JSON: {error}")))?;
    let head = read_head(writing)?;
    let sequence = head.entries;
    let (at, kind) = (event.at_unix_s, event.kind);
    let line = json!({"at": at, "event": told, "kind": kind, "sequence": sequence});
    let line = line.to_string();
    let next = AuditHead { entries: sequence + 1, chain: chained(&head.chain, &line) };
    writing.execute(
        "INSERT INTO audit VALUES (?1, ?2, ?3)",
        (rows::stored(sequence)?, &line, &next.chain),
    )?;
    writing.execute(
        "UPDATE audit_head SET entries = ?1, chain = ?2",
        (rows::stored(next.entries)?, &next.chain),
    )?;
    Ok(next)
}

/// Checks the whole log, and says where it stands.
pub(crate) fn verify(reading: &Transaction<'_>) -> Result<AuditHead, CatalogError> {
    let mut at = AuditHead { entries: 0, chain: [0; 32] };
    let mut query = reading.prepare_cached("SELECT * FROM audit ORDER BY sequence")?;
    for entry in query.query_and_then([], AuditEntry::read)? {
        let entry = entry?;
        entry.follows(&at)?;
        at = AuditHead { entries: at.entries + 1, chain: entry.chain };
    }
    match read_head(reading)? == at {
        true => Ok(at),
        false => Err(CatalogError::AuditBroken {
            sequence: at.entries,
            why: "the log ends elsewhere than its head says",
        }),
    }
}

/// Up to `limit` entries from place `from` on.
pub(crate) fn entries(
    connection: &Connection,
    from: u64,
    limit: u32,
) -> Result<Vec<AuditEntry>, CatalogError> {
    let mut query = connection
        .prepare_cached("SELECT * FROM audit WHERE sequence >= ?1 ORDER BY 1 LIMIT ?2")?;
    query.query_and_then((rows::stored(from)?, limit), AuditEntry::read)?.collect()
}

pub(crate) fn read_head(reading: &Transaction<'_>) -> Result<AuditHead, CatalogError> {
    let mut query = reading.prepare_cached("SELECT entries, chain FROM audit_head")?;
    let found = query
        .query_and_then([], |row| {
            Ok(AuditHead {
                entries: rows::count(row, "entries")?,
                chain: rows::array(row, "chain")?,
            })
        })?
        .next();
    found.unwrap_or_else(|| Err(CatalogError::damaged("the audit log has no head")))
}

fn chained(before: &[u8; 32], line: &str) -> [u8; 32] {
    *blake3::Hasher::new().update(before).update(line.as_bytes()).finalize().as_bytes()
}
