//! How a backup ends: the commit, once every share is durable at its site.

use crate::intents::read_places;
use crate::objects::no_object;
use crate::{Catalog, CatalogError, KeyBytes, rows};
use rusqlite::Transaction;
use warifu_core::capsule::Verdict;
use warifu_core::share_file::CapsuleShape;
use warifu_core::{Geometry, KeyClass, ObjectId, XCoord};

/// What a finished backup adds to its intent.
pub struct CommitRecord {
    /// The payload as stored.
    pub geometry: Geometry,
    /// Masks of each share.
    pub masks: u32,
    /// The lengths of the capsule's parts.
    pub capsule: CapsuleShape,
    /// The worst class of the key that it was made with.
    pub class: KeyClass,
    /// Bytes that lie at all sites together.
    pub stored_bytes: u64,
    /// Bytes taken from the `random` pool.
    pub random_bytes: u64,
    /// When it was committed, seconds since 1970 UTC.
    pub committed_unix_s: u64,
    /// Chunks whose attempt isn't 0, ascending; mask m counts as chunk N + m.
    pub attempts: Vec<(u64, u32)>,
    /// Every share of the intent, once, in any order.
    pub shares: Vec<CommittedShare>,
}

/// What a finished backup knows of one share.
pub struct CommittedShare {
    /// Its x-coordinate, its secret `r` and its hashes.
    pub verdict: Verdict,
    /// Bytes sent to its site, frames and all.
    pub sent_bytes: u64,
    /// Link key that it took, both directions.
    pub key_bytes: u64,
    /// Key to be kept for one restore of it.
    pub reserve: KeyBytes,
    /// When its site said that it is durable, seconds since 1970 UTC.
    pub receipt_unix_s: u64,
}

impl Catalog {
    /// Makes a begun object listed, with all that a restore needs, in one step.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where no such intent is open (another process may have abandoned
    /// it), [`CatalogError::Invalid`] where the record doesn't match the intent or itself. Nothing
    /// is changed then.
    pub fn commit(&self, object: &ObjectId, record: &CommitRecord) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        let (number, class) = open_intent(&writing, object)?;
        check_record(&writing, number, record)?;
        writing.execute(
            "UPDATE objects SET class = ?2, payload_bytes = ?3, random_bytes = ?4,
                 committed_unix_s = ?5, stored_bytes = ?6, masks = ?7, capsule_head_bytes = ?8,
                 capsule_verdict_bytes = ?9
             WHERE number = ?1",
            (
                number,
                class.max(record.class).to_byte(),
                rows::stored(record.geometry.payload_bytes())?,
                rows::stored(record.random_bytes)?,
                rows::stored(record.committed_unix_s)?,
                rows::stored(record.stored_bytes)?,
                record.masks,
                record.capsule.head_bytes,
                record.capsule.verdict_bytes,
            ),
        )?;
        for share in &record.shares {
            commit_share(&writing, number, share)?;
        }
        for (chunk, attempt) in &record.attempts {
            writing.execute(
                "INSERT INTO attempts VALUES (?1, ?2, ?3)",
                (number, rows::stored(*chunk)?, attempt),
            )?;
        }
        Ok(writing.commit()?)
    }
}

/// Row number and class of an open intent.
fn open_intent(
    writing: &Transaction<'_>,
    object: &ObjectId,
) -> Result<(i64, KeyClass), CatalogError> {
    let mut query = writing.prepare_cached(
        "SELECT number, class FROM objects WHERE object = ?1 AND committed_unix_s IS NULL",
    )?;
    let found = query
        .query_and_then([object.bytes()], |row| {
            Ok((row.get("number")?, rows::byte(row, "class", KeyClass::from_byte)?))
        })?
        .next();
    found.unwrap_or_else(|| Err(no_object("unfinished object", object)))
}

/// Holds a record against its intent and against itself.
fn check_record(
    writing: &Transaction<'_>,
    number: i64,
    record: &CommitRecord,
) -> Result<(), CatalogError> {
    let refused = |why: &str| CatalogError::Invalid { what: "the commit", why: why.to_owned() };
    let planned: Vec<XCoord> = read_places(writing, number)?.into_iter().map(|(x, ..)| x).collect();
    let mut given: Vec<XCoord> = record.shares.iter().map(|share| share.verdict.x).collect();
    given.sort_unstable();
    if planned != given {
        return Err(refused("its shares are not those that were begun"));
    }
    let chunks = record.geometry.chunk_count();
    let counted = |share: &CommittedShare| {
        let (hashes, masks) = (share.verdict.hashes.len(), share.verdict.masks.len());
        hashes as u64 == chunks && masks as u64 == u64::from(record.masks)
    };
    if !record.shares.iter().all(counted) {
        return Err(refused("a share has not one hash for each chunk and mask"));
    }
    let ascending = record.attempts.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let slots = chunks + u64::from(record.masks);
    let sound = |(chunk, attempt): &(u64, u32)| *chunk < slots && *attempt > 0;
    match ascending && record.attempts.iter().all(sound) {
        true => Ok(()),
        false => Err(refused("its attempts are not ascending chunks with attempts above 0")),
    }
}

fn commit_share(
    writing: &Transaction<'_>,
    number: i64,
    share: &CommittedShare,
) -> Result<(), CatalogError> {
    let x = share.verdict.x.get();
    writing.execute(
        "UPDATE shares SET planned_to_site_bytes = 0, planned_from_site_bytes = 0,
             reserve_to_site_bytes = ?3, reserve_from_site_bytes = ?4, sent_bytes = ?5,
             key_bytes = ?6, receipt_unix_s = ?7
         WHERE object = ?1 AND x = ?2",
        (
            number,
            x,
            rows::stored(share.reserve.to_site_bytes)?,
            rows::stored(share.reserve.from_site_bytes)?,
            rows::stored(share.sent_bytes)?,
            rows::stored(share.key_bytes)?,
            rows::stored(share.receipt_unix_s)?,
        ),
    )?;
    let verdict = &share.verdict;
    writing.execute(
        "INSERT INTO verdicts (object, x, r, mask_hashes, hashes) VALUES (?1, ?2, ?3, ?4, ?5)",
        (number, x, &verdict.r, verdict.masks.as_flattened(), verdict.hashes.as_flattened()),
    )?;
    Ok(())
}
