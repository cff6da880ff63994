//! Arrivals of key: how much a pool had taken in all, and when that was seen.
//!
//! A sample is written when a direction of a pool is found to have grown. From a row of them the
//! rate of arrival follows, whatever the source. They are thinned out as they come: one an hour,
//! and of what is older than [`KEPT_DAYS`] the last one alone, as the base of what came since.

use crate::{Catalog, CatalogError, rows};
use warifu_core::{Direction, PoolId};

/// How long samples are kept, in days: longer than any window a rate is taken over.
pub const KEPT_DAYS: u64 = 100;

const DAY_S: u64 = 86_400;

/// Samples closer together than this are one, in seconds.
const STEP_S: u64 = 3_600;

/// What a direction of a pool was seen to have taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// Bytes that arrived since the pool was made.
    pub bytes_total: u64,
}

impl Catalog {
    /// The samples of a direction of a pool, the oldest first.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn arrivals(
        &self,
        pool: PoolId,
        direction: Direction,
    ) -> Result<Vec<Arrival>, CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT unix_s, bytes_total FROM arrivals WHERE pool = ?1 AND direction = ?2
             ORDER BY unix_s",
        )?;
        let found = query.query_and_then((pool.bytes(), direction.to_byte()), |row| {
            let unix_s = rows::count(row, "unix_s")?;
            Ok(Arrival { unix_s, bytes_total: rows::count(row, "bytes_total")? })
        })?;
        found.collect()
    }

    /// Notes what a direction of a pool has taken in by `seen.unix_s`. Where that is no more than
    /// was noted before, nothing is written. A clock that was set back does not reorder samples.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn note_arrival(
        &self,
        pool: PoolId,
        direction: Direction,
        seen: Arrival,
    ) -> Result<(), CatalogError> {
        let grown =
            |known: &[Arrival]| known.last().is_none_or(|last| last.bytes_total < seen.bytes_total);
        if !grown(&self.arrivals(pool, direction)?) {
            return Ok(());
        }
        let writing = self.writing()?;
        // Somebody else may have seen it in between.
        let known = self.arrivals(pool, direction)?;
        if !grown(&known) {
            return Ok(());
        }
        // What was there first is the base of all that comes: never put another in its place.
        let unix_s = known.last().map_or(seen.unix_s, |last| seen.unix_s.max(last.unix_s + 1));
        let (id, way) = (pool.bytes(), direction.to_byte());
        if let [.., before, last] = known[..]
            && last.unix_s.saturating_sub(before.unix_s) < STEP_S
        {
            let forget = "DELETE FROM arrivals WHERE pool = ?1 AND direction = ?2 AND unix_s = ?3";
            writing.execute(forget, (id, way, rows::stored(last.unix_s)?))?;
        }
        writing.execute(
            "INSERT INTO arrivals VALUES (?1, ?2, ?3, ?4)",
            (id, way, rows::stored(unix_s)?, rows::stored(seen.bytes_total)?),
        )?;
        let kept_from = rows::stored(unix_s.saturating_sub(KEPT_DAYS * DAY_S))?;
        writing.execute(
            "DELETE FROM arrivals WHERE pool = ?1 AND direction = ?2 AND unix_s <
             (SELECT max(unix_s) FROM arrivals
              WHERE pool = ?1 AND direction = ?2 AND unix_s <= ?3)",
            (id, way, kept_from),
        )?;
        Ok(writing.commit()?)
    }
}
