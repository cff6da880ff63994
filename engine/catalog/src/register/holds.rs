//! What must stay, and what is gone for good.

use super::{Register, bring};
use crate::audit::{self, Event};
use crate::{CatalogError, rows};
use rusqlite::{Row, Transaction};
use warifu_core::{LinkId, ObjectId, XCoord};

/// Stands in for a link where the site's own operator holds an object.
const OPERATOR: [u8; 16] = [0; 16];

/// How often one link may lay a hold.
const OF_LINK_MAX: i64 = 1_000_000;

/// An object that can't be forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// The object.
    pub object: ObjectId,
    /// Over which link it is held; none: by the site's own operator.
    pub by: Option<LinkId>,
    /// Why.
    pub reason: String,
    /// Since when, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// A share that was deleted for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forgotten {
    /// The object.
    pub object: ObjectId,
    /// Over which link it came.
    pub link: LinkId,
    /// Which share.
    pub x: XCoord,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

impl Hold {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let link = rows::array(row, "link")?;
        Ok(Self {
            object: ObjectId::from_bytes(rows::array(row, "object")?),
            by: (link != OPERATOR).then(|| LinkId::from_bytes(link)),
            reason: row.get("reason")?,
            at_unix_s: rows::count(row, "at_unix_s")?,
        })
    }
}

impl Forgotten {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            object: ObjectId::from_bytes(rows::array(row, "object")?),
            link: LinkId::from_bytes(rows::array(row, "link")?),
            x: rows::byte(row, "x", XCoord::new)?,
            reason: row.get("reason")?,
            at_unix_s: rows::count(row, "at_unix_s")?,
        })
    }
}

impl Register {
    /// Lays a hold on an object, over a link or by the operator. A reason given before is replaced.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] where the link holds as many as one may; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn hold(
        &self,
        object: ObjectId,
        by: Option<LinkId>,
        reason: &str,
        event: &Event<'_>,
    ) -> Result<(), CatalogError> {
        let (link, at) = (holder(by), rows::stored(event.at_unix_s)?);
        self.write(|writing| {
            if !bring(writing, &link, "holds", OF_LINK_MAX)? {
                let why = format!("this link has brought {OF_LINK_MAX}");
                return Err(CatalogError::Invalid { what: "one more hold", why });
            }
            audit::append(writing, event)?;
            let query = "INSERT OR REPLACE INTO holds VALUES (?1, ?2, ?3, ?4)";
            writing.execute(query, (object.bytes(), &link, reason, at))?;
            Ok(())
        })
    }

    /// Lifts the hold that the same party laid. False where there is none.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn lift_hold(
        &self,
        object: ObjectId,
        by: Option<LinkId>,
        event: &Event<'_>,
    ) -> Result<bool, CatalogError> {
        self.write(|writing| {
            let query = "DELETE FROM holds WHERE object = ?1 AND link = ?2";
            if writing.execute(query, (object.bytes(), &holder(by)))? == 0 {
                return Ok(false);
            }
            audit::append(writing, event)?;
            Ok(true)
        })
    }

    /// The holds on an object; `None`: all there are.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn holds(&self, object: Option<ObjectId>) -> Result<Vec<Hold>, CatalogError> {
        let object = object.map(|object| *object.bytes());
        self.read(|reading| {
            let mut query = reading.prepare_cached(
                "SELECT * FROM holds WHERE ?1 IS NULL OR object = ?1 ORDER BY object, link",
            )?;
            query.query_and_then([object], Hold::read)?.collect()
        })
    }

    /// A share is to be deleted for good; from here on it counts as gone. False where its link or
    /// the operator holds its object: nothing was changed then.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn forget(
        &self,
        link: LinkId,
        (object, x): (ObjectId, XCoord),
        reason: &str,
        event: &Event<'_>,
    ) -> Result<bool, CatalogError> {
        let at = rows::stored(event.at_unix_s)?;
        self.write(|writing| {
            if is_held(writing, object, link)? {
                return Ok(false);
            }
            let address = (object.bytes(), link.bytes(), x.get());
            let query = "SELECT 1 FROM forgotten WHERE object = ?1 AND link = ?2 AND x = ?3";
            if !rows::any(writing, query, address)? {
                audit::append(writing, event)?;
                let query = "INSERT INTO forgotten VALUES (?1, ?2, ?3, ?4, ?5)";
                writing.execute(query, (address.0, address.1, address.2, reason, at))?;
            }
            Ok(true)
        })
    }

    /// What was forgotten of an object; `None`: all there is.
    ///
    /// # Errors
    /// As [`Register::holds`].
    pub fn forgotten(&self, object: Option<ObjectId>) -> Result<Vec<Forgotten>, CatalogError> {
        let object = object.map(|object| *object.bytes());
        self.read(|reading| {
            let mut query = reading.prepare_cached(
                "SELECT * FROM forgotten WHERE ?1 IS NULL OR object = ?1 ORDER BY object, link, x",
            )?;
            query.query_and_then([object], Forgotten::read)?.collect()
        })
    }
}

/// Whether an object that came over `link` is held, over that link or by the operator.
pub(super) fn is_held(
    reading: &Transaction<'_>,
    object: ObjectId,
    link: LinkId,
) -> Result<bool, CatalogError> {
    let query = "SELECT 1 FROM holds WHERE object = ?1 AND link IN (?2, ?3)";
    rows::any(reading, query, (object.bytes(), link.bytes(), &OPERATOR))
}

fn holder(by: Option<LinkId>) -> [u8; 16] {
    by.map_or(OPERATOR, |link| *link.bytes())
}
