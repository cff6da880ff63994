//! Who was in contact when, what heads of audit logs were shown, and accepted silence.

use super::Register;
use crate::audit::checkpoints::{self, CheckpointRow, Shown};
use crate::audit::{self, Event};
use crate::{CatalogError, rows};
use rusqlite::{OptionalExtension, Row};
use warifu_core::LinkId;

/// Silence of all others that the operator accepts for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silence {
    /// Until when, in seconds since 1970 UTC.
    pub until_unix_s: u64,
    /// Why, in the operator's words.
    pub reason: String,
}

impl Register {
    /// Whoever is at the other end of `link` has told all that they know, just now.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn contact(&self, link: LinkId, at_unix_s: u64) -> Result<(), CatalogError> {
        let at = rows::stored(at_unix_s)?;
        self.write(|writing| {
            let query = "INSERT INTO contacts VALUES (?1, ?2)
                         ON CONFLICT DO UPDATE SET at_unix_s = excluded.at_unix_s";
            writing.execute(query, (link.bytes(), at))?;
            Ok(())
        })
    }

    /// All contacts: the link, and when, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn contacts(&self) -> Result<Vec<(LinkId, u64)>, CatalogError> {
        self.read(|reading| {
            let mut query = reading.prepare_cached("SELECT * FROM contacts ORDER BY link")?;
            let contact = |row: &Row<'_>| -> Result<_, CatalogError> {
                let link = LinkId::from_bytes(rows::array(row, "link")?);
                Ok((link, rows::count(row, "at_unix_s")?))
            };
            query.query_and_then([], contact)?.collect()
        })
    }

    /// Holds another party's checkpoint, received at `now_unix_s`, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// As [`Register::contact`]; [`CatalogError::Invalid`] where its signature is wrong.
    pub fn keep_checkpoint(
        &self,
        shown: &CheckpointRow,
        now_unix_s: u64,
    ) -> Result<Shown, CatalogError> {
        self.write(|writing| checkpoints::keep(writing, shown, now_unix_s))
    }

    /// The checkpoints that are held of a link, or of all, the oldest first.
    ///
    /// # Errors
    /// As [`Register::contacts`].
    pub fn checkpoints(&self, link: Option<LinkId>) -> Result<Vec<CheckpointRow>, CatalogError> {
        self.read(|reading| checkpoints::held(reading, link))
    }

    /// The operator accepts that nobody was in contact, for a while and by name.
    ///
    /// # Errors
    /// As [`Register::contact`].
    pub fn accept_silence(&self, silence: &Silence, event: &Event<'_>) -> Result<(), CatalogError> {
        let until = rows::stored(silence.until_unix_s)?;
        self.write(|writing| {
            audit::append(writing, event)?;
            let query = "INSERT OR REPLACE INTO silence VALUES (1, ?1, ?2)";
            writing.execute(query, (until, &silence.reason))?;
            Ok(())
        })
    }

    /// The silence that was last accepted, over or not.
    ///
    /// # Errors
    /// As [`Register::contacts`].
    pub fn silence(&self) -> Result<Option<Silence>, CatalogError> {
        self.read(|reading| {
            let query = "SELECT until_unix_s, reason FROM silence";
            let row = reading.query_row(query, [], |row| {
                Ok((row.get::<_, i64>("until_unix_s")?, row.get("reason")?))
            });
            let Some((until, reason)) = row.optional()? else { return Ok(None) };
            let until_unix_s = u64::try_from(until).map_err(|_| rows::odd("until_unix_s"))?;
            Ok(Some(Silence { until_unix_s, reason }))
        })
    }
}
