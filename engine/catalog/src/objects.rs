//! Stored objects: listing, showing, what a restore needs, what it saw.

use crate::{Catalog, CatalogError, KeyBytes, rows};
use rusqlite::{Params, Row, Transaction};
use warifu_core::capsule::Verdict;
use warifu_core::plan::Override;
use warifu_core::share_file::CapsuleShape;
use warifu_core::{
    Channel, Geometry, IndividualId, KeyClass, LinkId, ObjectId, Role, SiteName, Threshold, XCoord,
};

/// A stored object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// The object.
    pub object: ObjectId,
    /// Whose it is.
    pub individual: IndividualId,
    /// The scheme.
    pub threshold: Threshold,
    /// What is claimed of the key it was made with.
    pub class: KeyClass,
    /// The operator's public label.
    pub label: Option<String>,
    /// When it was begun, seconds since 1970 UTC.
    pub created_unix_s: u64,
    /// When it was committed, seconds since 1970 UTC.
    pub committed_unix_s: u64,
    /// Its payload: the padded length is the only one that the catalog knows.
    pub geometry: Geometry,
    /// Masks of each share.
    pub masks: u32,
    /// The lengths of the capsule's parts.
    pub capsule: CapsuleShape,
    /// Bytes that lie at all sites together.
    pub stored_bytes: u64,
    /// Bytes that it took from the `random` pool.
    pub random_bytes: u64,
    /// Chunks whose attempt isn't 0, ascending; mask m counts as chunk N + m.
    pub attempts: Vec<(u64, u32)>,
    /// Rules that its placement breaks by the operator's word.
    pub overridden: Vec<Override>,
    /// Its `n` shares, by x.
    pub shares: Vec<StoredShare>,
}

impl Object {
    /// Whether fewer than `n` shares are known to be good.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.shares.iter().any(|share| share.state != ShareState::Good)
    }
}

/// A share of a stored object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredShare {
    /// Its x-coordinate.
    pub x: XCoord,
    /// Where it lies.
    pub site: SiteName,
    /// How its bytes came to be.
    pub role: Role,
    /// How it travelled.
    pub channel: Channel,
    /// The site's zone when it was stored.
    pub zone: SiteName,
    /// The site's domain when it was stored.
    pub domain: SiteName,
    /// The link that it went over.
    pub link: Option<LinkId>,
    /// Bytes sent for it, frames and all.
    pub sent_bytes: u64,
    /// Link key that it took, both directions.
    pub key_bytes: u64,
    /// Key kept for one restore of it.
    pub reserve: KeyBytes,
    /// When its site said that it is durable, seconds since 1970 UTC.
    pub receipt_unix_s: u64,
    /// What was last seen of it.
    pub state: ShareState,
}

/// What was last seen of a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareState {
    /// It was as it should be.
    Good,
    /// Its site has it no longer.
    Missing,
    /// Its site gave something else.
    Corrupt,
}

impl ShareState {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Missing => 1,
            Self::Corrupt => 2,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Good),
            1 => Some(Self::Missing),
            2 => Some(Self::Corrupt),
            _ => None,
        }
    }
}

impl Catalog {
    /// All stored objects, the oldest first.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn objects(&self) -> Result<Vec<Object>, CatalogError> {
        let query = "SELECT * FROM objects WHERE committed_unix_s IS NOT NULL ORDER BY number";
        self.read_objects(query, [])
    }

    /// The stored objects of one individual, the oldest first.
    ///
    /// # Errors
    /// As [`Catalog::objects`]. Nobody's objects are none.
    pub fn objects_of(&self, individual: &IndividualId) -> Result<Vec<Object>, CatalogError> {
        let query = "SELECT * FROM objects
                     WHERE committed_unix_s IS NOT NULL AND individual = ?1 ORDER BY number";
        self.read_objects(query, [individual.as_str()])
    }

    /// One stored object.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where it isn't stored; an unfinished one isn't.
    pub fn object(&self, object: &ObjectId) -> Result<Object, CatalogError> {
        let query = "SELECT * FROM objects WHERE committed_unix_s IS NOT NULL AND object = ?1";
        let found = self.read_objects(query, [object.bytes()])?.pop();
        found.ok_or_else(|| no_object("object", object))
    }

    /// The secret `r` and the hashes of one share, 16 bytes for each MiB of payload.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where the object isn't stored or has no such share,
    /// [`CatalogError::Damaged`] where the hashes aren't one for each chunk and mask.
    pub fn verdict(&self, object: &ObjectId, x: XCoord) -> Result<Verdict, CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT payload_bytes, masks, r, hashes, mask_hashes
             FROM objects JOIN verdicts ON verdicts.object = objects.number
             WHERE committed_unix_s IS NOT NULL AND objects.object = ?1 AND x = ?2",
        )?;
        let found = query
            .query_and_then((object.bytes(), x.get()), |row| {
                let chunks = geometry(row)?.chunk_count();
                let hashes = hashes(row, "hashes", chunks)?;
                let masks = hashes_of_masks(row)?;
                Ok(Verdict { x, r: rows::array(row, "r")?, hashes, masks })
            })?
            .next();
        found.unwrap_or_else(|| Err(no_object("share of object", object)))
    }

    /// Records what was seen of a share.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where the object isn't stored or has no such share.
    pub fn set_share_state(
        &self,
        object: &ObjectId,
        x: XCoord,
        state: ShareState,
    ) -> Result<(), CatalogError> {
        let changed = self.connection.execute(
            "UPDATE shares SET state = ?3 WHERE x = ?2 AND object =
                 (SELECT number FROM objects WHERE object = ?1 AND committed_unix_s IS NOT NULL)",
            (object.bytes(), x.get(), state.to_byte()),
        )?;
        if changed == 0 { Err(no_object("share of object", object)) } else { Ok(()) }
    }

    /// Forgets a stored object, its secrets `r` included. What lies at the sites stays there.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where it isn't stored.
    pub fn delete(&self, object: &ObjectId) -> Result<(), CatalogError> {
        let query = "DELETE FROM objects WHERE object = ?1 AND committed_unix_s IS NOT NULL";
        match self.connection.execute(query, [object.bytes()])? {
            0 => Err(no_object("object", object)),
            _ => Ok(()),
        }
    }

    pub(crate) fn read_objects(
        &self,
        query: &str,
        parameters: impl Params,
    ) -> Result<Vec<Object>, CatalogError> {
        let reading = self.reading()?;
        let mut query = reading.prepare_cached(query)?;
        let found = query.query_and_then(parameters, |row| read_object(&reading, row))?;
        found.collect()
    }
}

pub(crate) fn no_object(what: &'static str, object: &ObjectId) -> CatalogError {
    CatalogError::NotFound { what, name: object.to_string() }
}

/// The scheme of an object's row.
pub(crate) fn read_threshold(row: &Row<'_>) -> Result<Threshold, CatalogError> {
    Threshold::new(rows::narrow(row, "k")?, rows::narrow(row, "n")?)
        .map_err(|_| rows::odd("k or n"))
}

fn read_object(reading: &Transaction<'_>, row: &Row<'_>) -> Result<Object, CatalogError> {
    let number = row.get("number")?;
    let threshold = read_threshold(row)?;
    let geometry = geometry(row)?;
    let masks = rows::narrow(row, "masks")?;
    let capsule = CapsuleShape {
        head_bytes: rows::narrow(row, "capsule_head_bytes")?,
        verdict_bytes: rows::narrow(row, "capsule_verdict_bytes")?,
    };
    let shares = read_shares(reading, number)?;
    let xs = shares.iter().map(|share| usize::from(share.x.get()));
    if !xs.eq(1..=threshold.n()) {
        return Err(CatalogError::damaged("an object's shares are not those of its scheme"));
    }
    Ok(Object {
        object: ObjectId::from_bytes(rows::array(row, "object")?),
        individual: rows::name(row, "individual")?,
        threshold,
        class: rows::byte(row, "class", KeyClass::from_byte)?,
        label: row.get("label")?,
        created_unix_s: rows::count(row, "created_unix_s")?,
        committed_unix_s: rows::count(row, "committed_unix_s")?,
        geometry,
        masks,
        capsule,
        stored_bytes: rows::count(row, "stored_bytes")?,
        random_bytes: rows::count(row, "random_bytes")?,
        attempts: read_attempts(reading, number)?,
        overridden: read_overridden(reading, number)?,
        shares,
    })
}

fn read_shares(reading: &Transaction<'_>, number: i64) -> Result<Vec<StoredShare>, CatalogError> {
    let mut query = reading.prepare_cached("SELECT * FROM shares WHERE object = ?1 ORDER BY x")?;
    let found = query.query_and_then([number], |row| {
        Ok(StoredShare {
            x: rows::byte(row, "x", XCoord::new)?,
            site: rows::name(row, "site")?,
            role: rows::byte(row, "role", Role::from_byte)?,
            channel: rows::byte(row, "channel", Channel::from_byte)?,
            zone: rows::name(row, "zone")?,
            domain: rows::name(row, "domain")?,
            link: rows::optional_array(row, "link")?.map(LinkId::from_bytes),
            sent_bytes: rows::count(row, "sent_bytes")?,
            key_bytes: rows::count(row, "key_bytes")?,
            reserve: KeyBytes {
                to_site_bytes: rows::count(row, "reserve_to_site_bytes")?,
                from_site_bytes: rows::count(row, "reserve_from_site_bytes")?,
            },
            receipt_unix_s: rows::count(row, "receipt_unix_s")?,
            state: rows::byte(row, "state", ShareState::from_byte)?,
        })
    })?;
    found.collect()
}

fn read_attempts(reading: &Transaction<'_>, number: i64) -> Result<Vec<(u64, u32)>, CatalogError> {
    let mut query = reading
        .prepare_cached("SELECT chunk, attempt FROM attempts WHERE object = ?1 ORDER BY chunk")?;
    let found = query.query_and_then([number], |row| {
        Ok((rows::count(row, "chunk")?, rows::narrow(row, "attempt")?))
    })?;
    found.collect()
}

fn read_overridden(reading: &Transaction<'_>, number: i64) -> Result<Vec<Override>, CatalogError> {
    let mut query = reading
        .prepare_cached("SELECT rule, reason FROM overrides WHERE object = ?1 ORDER BY rule")?;
    let found = query.query_and_then([number], |row| {
        Ok(Override { rule: rows::name(row, "rule")?, reason: row.get("reason")? })
    })?;
    found.collect()
}

fn geometry(row: &Row<'_>) -> Result<Geometry, CatalogError> {
    Geometry::new(rows::count(row, "payload_bytes")?).map_err(|_| rows::odd("payload_bytes"))
}

fn hashes_of_masks(row: &Row<'_>) -> Result<Vec<[u8; 16]>, CatalogError> {
    hashes(row, "mask_hashes", rows::count(row, "masks")?)
}

/// A blob of `count` hashes.
fn hashes(row: &Row<'_>, column: &str, count: u64) -> Result<Vec<[u8; 16]>, CatalogError> {
    let blob = row.get_ref(column)?.as_blob().map_err(|_| rows::odd(column))?;
    match blob.as_chunks() {
        (hashes, []) if hashes.len() as u64 == count => Ok(hashes.to_vec()),
        _ => Err(rows::odd(column)),
    }
}
