//! Checkpoints of others' audit logs, held for them: who later shows another log is found out.
//!
//! A checkpoint covers all entries before it. So old ones are worth more than new ones, and stay: a
//! vault that rewrites its log can't wash them away by showing many more, as only the last of a
//! day's gives way to a later one.

use super::AuditHead;
use crate::{CatalogError, rows};
use rusqlite::{OptionalExtension, Row, Transaction};
use warifu_core::LinkId;

/// The table, in catalogs and registers alike.
pub(crate) const TABLE: &str = "
CREATE TABLE checkpoints (
    number INTEGER PRIMARY KEY,
    link BLOB NOT NULL CHECK (length(link) = 16),
    entries INTEGER NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    at_unix_s INTEGER NOT NULL,
    signature BLOB NOT NULL CHECK (length(signature) = 64),
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    received_day INTEGER NOT NULL,
    UNIQUE (link, public_key, entries, chain)
) STRICT;
CREATE INDEX checkpoints_by_day ON checkpoints (link, received_day);
";

/// Most checkpoints of one link that are held of one day.
const OF_DAY_MAX: i64 = 64;

const DAY_S: u64 = 86_400;

/// The head of another party's audit log as it signed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointRow {
    /// Over which link it came.
    pub link: LinkId,
    /// Entries of the log.
    pub entries: u64,
    /// The chain over all of them.
    pub chain: [u8; 32],
    /// When, in seconds since 1970 UTC.
    pub at_unix_s: u64,
    /// The signature.
    pub signature: [u8; 64],
    /// The key that signed.
    pub public_key: [u8; 32],
}

/// How a checkpoint fits those that are held of the same link. It is held in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// It goes on from them, or is the first.
    Onward,
    /// It was held before.
    Before,
    /// The log is shorter than it was: its end was cut off, or it is an older copy.
    Shorter {
        /// Entries that it had.
        entries: u64,
    },
    /// Of as many entries another log was shown.
    Forked,
    /// Another key signs than did before.
    OtherKey,
}

impl Shown {
    /// Whether it says that a log is not what it was.
    #[must_use]
    pub fn is_conflict(self) -> bool {
        !matches!(self, Self::Onward | Self::Before)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Onward => "onward",
            Self::Before => "before",
            Self::Shorter { .. } => "shorter",
            Self::Forked => "forked",
            Self::OtherKey => "other-key",
        }
    }
}

impl CheckpointRow {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            link: LinkId::from_bytes(rows::array(row, "link")?),
            entries: rows::count(row, "entries")?,
            chain: rows::array(row, "chain")?,
            at_unix_s: rows::count(row, "at_unix_s")?,
            signature: rows::array(row, "signature")?,
            public_key: rows::array(row, "public_key")?,
        })
    }
}

/// Holds a checkpoint, received at `now_unix_s`.
pub(crate) fn keep(
    writing: &Transaction<'_>,
    shown: &CheckpointRow,
    now_unix_s: u64,
) -> Result<Shown, CatalogError> {
    if !shown.is_genuine() {
        let why = "it is not signed by the key in it".to_owned();
        return Err(CatalogError::Invalid { what: "a checkpoint", why });
    }
    let link = shown.link.bytes();
    let known = "SELECT 1 FROM checkpoints
                 WHERE link = ?1 AND public_key = ?2 AND entries = ?3 AND chain = ?4";
    let entries = rows::stored(shown.entries)?;
    if rows::any(writing, known, (link, &shown.public_key, entries, &shown.chain))? {
        return Ok(Shown::Before);
    }
    let fits = judge(writing, shown)?;
    let day = rows::stored(now_unix_s / DAY_S)?;
    let of_day = "SELECT count(*) FROM checkpoints WHERE link = ?1 AND received_day = ?2";
    let held: i64 = writing.query_row(of_day, (link, day), |row| row.get(0))?;
    if held >= OF_DAY_MAX {
        let last = "DELETE FROM checkpoints WHERE number = (
                        SELECT max(number) FROM checkpoints WHERE link = ?1 AND received_day = ?2)";
        writing.execute(last, (link, day))?;
    }
    writing.execute(
        "INSERT INTO checkpoints
             (link, entries, chain, at_unix_s, signature, public_key, received_day)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            link,
            entries,
            &shown.chain,
            rows::stored(shown.at_unix_s)?,
            &shown.signature,
            &shown.public_key,
            day,
        ),
    )?;
    Ok(fits)
}

fn judge(reading: &Transaction<'_>, shown: &CheckpointRow) -> Result<Shown, CatalogError> {
    let query = "SELECT public_key FROM checkpoints WHERE link = ?1 ORDER BY number LIMIT 1";
    let first: Option<Vec<u8>> =
        reading.query_row(query, [shown.link.bytes()], |row| row.get(0)).optional()?;
    if first.is_some_and(|key| key != shown.public_key) {
        return Ok(Shown::OtherKey);
    }
    let query = "SELECT max(entries) FROM checkpoints WHERE link = ?1 AND public_key = ?2";
    let longest: Option<i64> =
        reading.query_row(query, (shown.link.bytes(), &shown.public_key), |row| row.get(0))?;
    let same = "SELECT 1 FROM checkpoints WHERE link = ?1 AND public_key = ?2 AND entries = ?3";
    let entries = rows::stored(shown.entries)?;
    if rows::any(reading, same, (shown.link.bytes(), &shown.public_key, entries))? {
        return Ok(Shown::Forked);
    }
    Ok(match longest.and_then(|longest| u64::try_from(longest).ok()) {
        Some(longest) if longest > shown.entries => Shown::Shorter { entries: longest },
        _ => Shown::Onward,
    })
}

/// The checkpoints of a link, or of all, the oldest first.
pub(crate) fn held(
    reading: &Transaction<'_>,
    link: Option<LinkId>,
) -> Result<Vec<CheckpointRow>, CatalogError> {
    let link = link.map(|link| *link.bytes());
    let mut query = reading.prepare_cached(
        "SELECT * FROM checkpoints WHERE ?1 IS NULL OR link = ?1 ORDER BY link, number",
    )?;
    query.query_and_then([link], CheckpointRow::read)?.collect()
}

/// What a checkpoint of a log says of the log as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compared {
    /// The log went on from there.
    Same,
    /// The log is shorter: entries are gone from its end.
    CutOff {
        /// Entries that it had.
        entries: u64,
    },
    /// An entry before the checkpoint is not what it was.
    Rewritten {
        /// Entries that are concerned: one of the first so many.
        entries: u64,
    },
}

/// Compares the log with where it once stood.
pub(crate) fn compare(
    reading: &Transaction<'_>,
    now: &AuditHead,
    once: &AuditHead,
) -> Result<Compared, CatalogError> {
    let entries = once.entries;
    if entries > now.entries {
        return Ok(Compared::CutOff { entries });
    }
    let chain = match entries.checked_sub(1) {
        None => [0; 32],
        Some(last) => {
            let mut query =
                reading.prepare_cached("SELECT chain FROM audit WHERE sequence = ?1")?;
            let found = query
                .query_and_then([rows::stored(last)?], |row| rows::array(row, "chain"))?
                .next();
            found.unwrap_or_else(|| Err(CatalogError::damaged("the audit log has a gap")))?
        }
    };
    Ok(if chain == once.chain { Compared::Same } else { Compared::Rewritten { entries } })
}
