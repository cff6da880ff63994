//! How a backup starts: the intent, recorded before anything is spent.

use crate::objects::no_object;
use crate::{Catalog, CatalogError, KeyBytes, rows};
use rusqlite::{OptionalExtension, Row, Transaction};
use std::collections::BTreeSet;
use warifu_core::capsule::LABEL_BYTES_MAX;
use warifu_core::id::Incarnation;
use warifu_core::plan::{Override, PlannedShare};
use warifu_core::{
    Geometry, IndividualId, KeyClass, LinkId, ObjectId, SiteName, Threshold, XCoord,
};

/// The longest reason of an override, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;

/// Who works on an intent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The process's opening of the vault.
    pub incarnation: Incarnation,
    /// Its number in the system, to see whether it lives.
    pub pid: u32,
}

/// An object about to be stored.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// A fresh identifier.
    pub object: ObjectId,
    /// Whose it is; enrolled.
    pub individual: IndividualId,
    /// The scheme.
    pub threshold: Threshold,
    /// What is claimed of the key it will be made with.
    pub class: KeyClass,
    /// The operator's public label, 1 to 1024 bytes without control characters.
    pub label: Option<String>,
    /// When it began, seconds since 1970 UTC.
    pub created_unix_s: u64,
    /// The payload, or an upper bound where the length isn't known yet.
    pub geometry: Geometry,
    /// Bytes that the plan takes from the `random` pool.
    pub random_bytes: u64,
    /// Rules that the plan breaks by the operator's word; reasons of at most 1024 bytes.
    pub overridden: Vec<Override>,
    /// The plan's `n` shares.
    pub shares: Vec<NewShare>,
    /// Who works on it.
    pub holder: Holder,
}

/// One share about to be stored.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// Its place and part.
    pub planned: PlannedShare,
    /// The link that it goes over.
    pub link: Option<LinkId>,
}

/// An object that was begun and not committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// The object.
    pub object: ObjectId,
    /// Whose it is.
    pub individual: IndividualId,
    /// The scheme.
    pub threshold: Threshold,
    /// When it began, seconds since 1970 UTC.
    pub created_unix_s: u64,
    /// Who began it.
    pub holder: Holder,
    /// Bytes that it planned to take from the `random` pool.
    pub random_bytes: u64,
    /// Where parts of it may lie: by x, the site and the link that it went over.
    pub shares: Vec<(XCoord, SiteName, Option<LinkId>)>,
}

impl Catalog {
    /// Records what is about to be done. The object isn't listed before its commit.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where the object was begun before,
    /// [`CatalogError::NotFound`] where the individual or a site isn't there,
    /// [`CatalogError::Invalid`] where the shares aren't `n` of different sites and x from 1 to n,
    /// or a text breaks its limits.
    pub fn begin(&self, new: &NewObject) -> Result<(), CatalogError> {
        check_new(new)?;
        let writing = self.writing()?;
        let query = "SELECT 1 FROM objects WHERE object = ?1";
        if rows::any(&writing, query, [new.object.bytes()])? {
            return Err(CatalogError::AlreadyExists {
                what: "object",
                name: new.object.to_string(),
            });
        }
        let query = "SELECT 1 FROM individuals WHERE individual = ?1";
        if !rows::any(&writing, query, [new.individual.as_str()])? {
            let name = new.individual.to_string();
            return Err(CatalogError::NotFound { what: "individual", name });
        }
        let number = insert_object(&writing, new)?;
        for share in &new.shares {
            insert_share(&writing, number, share)?;
        }
        for named in &new.overridden {
            writing.execute(
                "INSERT INTO overrides VALUES (?1, ?2, ?3)",
                (number, named.rule.as_str(), &named.reason),
            )?;
        }
        Ok(writing.commit()?)
    }

    /// Drops an intent, once what it left at the sites is collected or given up.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where no such intent is open: a committed object is not dropped
    /// so.
    pub fn abandon(&self, object: &ObjectId) -> Result<(), CatalogError> {
        let query = "DELETE FROM objects WHERE object = ?1 AND committed_unix_s IS NULL";
        match self.connection.execute(query, [object.bytes()])? {
            0 => Err(no_object("unfinished object", object)),
            _ => Ok(()),
        }
    }

    /// Makes `to` the holder of an intent that `from` holds. Of several processes that try, one
    /// gets it. False where somebody else was faster, or the intent is gone.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn take_over(
        &self,
        object: &ObjectId,
        from: &Holder,
        to: &Holder,
    ) -> Result<bool, CatalogError> {
        let taken = self.connection.execute(
            "UPDATE objects SET holder = ?3, holder_pid = ?4
             WHERE object = ?1 AND committed_unix_s IS NULL AND holder = ?2",
            (object.bytes(), from.incarnation.bytes(), to.incarnation.bytes(), to.pid),
        )?;
        Ok(taken > 0)
    }

    /// Plans anew what an intent still takes: of the `random` pool, and at each of its sites by x.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where no such intent with such shares is open.
    pub fn replan(
        &self,
        object: &ObjectId,
        random_bytes: u64,
        shares: &[(XCoord, KeyBytes)],
    ) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        let query = "UPDATE objects SET random_bytes = ?2
                     WHERE object = ?1 AND committed_unix_s IS NULL RETURNING number";
        let number: Option<i64> = writing
            .query_row(query, (object.bytes(), rows::stored(random_bytes)?), |row| row.get(0))
            .optional()?;
        let number = number.ok_or_else(|| no_object("unfinished object", object))?;
        for (x, planned) in shares {
            let changed = writing.execute(
                "UPDATE shares SET planned_to_site_bytes = ?3, planned_from_site_bytes = ?4
                 WHERE object = ?1 AND x = ?2",
                (
                    number,
                    x.get(),
                    rows::stored(planned.to_site_bytes)?,
                    rows::stored(planned.from_site_bytes)?,
                ),
            )?;
            if changed == 0 {
                return Err(no_object("unfinished object with such a share", object));
            }
        }
        Ok(writing.commit()?)
    }

    /// All intents, the oldest first.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn intents(&self) -> Result<Vec<Intent>, CatalogError> {
        let reading = self.reading()?;
        let mut query = reading.prepare_cached(
            "SELECT * FROM objects WHERE committed_unix_s IS NULL ORDER BY number",
        )?;
        let found = query.query_and_then([], |row| {
            let number = row.get("number")?;
            read_intent(row, read_places(&reading, number)?)
        })?;
        found.collect()
    }

    /// Bytes of the `random` pool that unfinished backups have planned.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn planned_random_bytes(&self) -> Result<u64, CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT coalesce(sum(random_bytes), 0) AS random_bytes
             FROM objects WHERE committed_unix_s IS NULL",
        )?;
        let found = query.query_and_then([], |row| rows::count(row, "random_bytes"))?.next();
        found.unwrap_or(Ok(0))
    }
}

fn check_new(new: &NewObject) -> Result<(), CatalogError> {
    let xs: BTreeSet<_> = new.shares.iter().map(|share| share.planned.x).collect();
    let sites: BTreeSet<_> = new.shares.iter().map(|share| &share.planned.site).collect();
    let n = new.threshold.n();
    let counted = new.shares.len() == n && xs.len() == n && sites.len() == n;
    if !counted || xs.iter().any(|x| usize::from(x.get()) > n) {
        let why = format!("{n} shares at {n} sites with x from 1 to {n} are expected");
        return Err(CatalogError::Invalid { what: "the plan", why });
    }
    if let Some(label) = &new.label {
        check_text("the label", label, LABEL_BYTES_MAX)?;
    }
    let rules: BTreeSet<_> = new.overridden.iter().map(|named| named.rule).collect();
    if rules.len() < new.overridden.len() {
        let why = "one rule is overridden twice".to_owned();
        return Err(CatalogError::Invalid { what: "the plan", why });
    }
    new.overridden
        .iter()
        .try_for_each(|named| check_text("an override's reason", &named.reason, REASON_BYTES_MAX))
}

fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), CatalogError> {
    if !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let why = format!("it must have 1 to {bytes_max} bytes and no control characters");
    Err(CatalogError::Invalid { what, why })
}

fn insert_object(writing: &Transaction<'_>, new: &NewObject) -> Result<i64, CatalogError> {
    writing.execute(
        "INSERT INTO objects (object, individual, k, n, class, label, created_unix_s,
             payload_bytes, random_bytes, holder, holder_pid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            new.object.bytes(),
            new.individual.as_str(),
            new.threshold.k_byte(),
            new.threshold.n_byte(),
            new.class.to_byte(),
            new.label.as_deref(),
            rows::stored(new.created_unix_s)?,
            rows::stored(new.geometry.payload_bytes())?,
            rows::stored(new.random_bytes)?,
            new.holder.incarnation.bytes(),
            new.holder.pid,
        ),
    )?;
    Ok(writing.last_insert_rowid())
}

fn insert_share(
    writing: &Transaction<'_>,
    number: i64,
    share: &NewShare,
) -> Result<(), CatalogError> {
    let planned = &share.planned;
    if !rows::any(writing, "SELECT 1 FROM sites WHERE site = ?1", [planned.site.as_str()])? {
        return Err(CatalogError::NotFound { what: "site", name: planned.site.to_string() });
    }
    writing.execute(
        "INSERT INTO shares (object, x, site, role, channel, zone, domain, link,
             planned_to_site_bytes, planned_from_site_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            number,
            planned.x.get(),
            planned.site.as_str(),
            planned.role.to_byte(),
            planned.channel.to_byte(),
            planned.zone.as_str(),
            planned.domain.as_str(),
            share.link.as_ref().map(LinkId::bytes),
            rows::stored(planned.need.to_site_bytes)?,
            rows::stored(planned.need.from_site_bytes)?,
        ),
    )?;
    Ok(())
}

fn read_intent(
    row: &Row<'_>,
    shares: Vec<(XCoord, SiteName, Option<LinkId>)>,
) -> Result<Intent, CatalogError> {
    Ok(Intent {
        object: ObjectId::from_bytes(rows::array(row, "object")?),
        individual: rows::name(row, "individual")?,
        threshold: crate::objects::read_threshold(row)?,
        created_unix_s: rows::count(row, "created_unix_s")?,
        holder: Holder {
            incarnation: Incarnation::from_bytes(rows::array(row, "holder")?),
            pid: rows::narrow(row, "holder_pid")?,
        },
        random_bytes: rows::count(row, "random_bytes")?,
        shares,
    })
}

/// Where an object's shares go, by x.
pub(crate) fn read_places(
    reading: &Transaction<'_>,
    number: i64,
) -> Result<Vec<(XCoord, SiteName, Option<LinkId>)>, CatalogError> {
    let mut query =
        reading.prepare_cached("SELECT x, site, link FROM shares WHERE object = ?1 ORDER BY x")?;
    let found = query.query_and_then([number], |row| {
        let link = rows::optional_array(row, "link")?.map(LinkId::from_bytes);
        Ok((rows::byte(row, "x", XCoord::new)?, rows::name(row, "site")?, link))
    })?;
    found.collect()
}
