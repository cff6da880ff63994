//! What must stay, and what is on its way to be gone for good. Each step is in the audit log in the
//! very transaction that makes it.

use crate::audit::{self, Event};
use crate::objects::no_object;
use crate::{Catalog, CatalogError, rows};
use rusqlite::{OptionalExtension, Row, Transaction};
use warifu_core::{ObjectId, XCoord};

/// An object that can't be forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldObject {
    /// The object.
    pub object: ObjectId,
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// An object whose shares are being deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forgetting {
    /// The object.
    pub object: ObjectId,
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when, in seconds since 1970 UTC.
    pub at_unix_s: u64,
    /// The shares that are gone, by x.
    pub gone: Vec<GoneShare>,
}

/// A share that is deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoneShare {
    /// Which one.
    pub x: XCoord,
    /// When its site said so, in seconds since 1970 UTC.
    pub at_unix_s: u64,
    /// What its site showed for it.
    pub evidence: String,
}

/// What came of the wish to forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// There is no way back from now on.
    Now,
    /// It was begun before.
    Before,
    /// A hold lies on it; nothing was changed.
    Held {
        /// Why.
        reason: String,
    },
}

impl HeldObject {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            object: ObjectId::from_bytes(rows::array(row, "object")?),
            reason: row.get("reason")?,
            at_unix_s: rows::count(row, "at_unix_s")?,
        })
    }
}

impl Catalog {
    /// Lays a hold on a stored object. A reason given before is replaced.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where it isn't stored, [`CatalogError::Invalid`] where it is
    /// being forgotten; [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn hold(
        &self,
        object: &ObjectId,
        reason: &str,
        event: &Event<'_>,
    ) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        expect_stored(&writing, object)?;
        if forgetting_since(&writing, object)?.is_some() {
            let why = "it is being forgotten already".to_owned();
            return Err(CatalogError::Invalid { what: "a hold on this object", why });
        }
        audit::append(&writing, event)?;
        writing.execute(
            "INSERT OR REPLACE INTO holds VALUES (?1, ?2, ?3)",
            (object.bytes(), reason, rows::stored(event.at_unix_s)?),
        )?;
        Ok(writing.commit()?)
    }

    /// Lifts a hold. False, and nothing is logged, where there is none.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn lift_hold(&self, object: &ObjectId, event: &Event<'_>) -> Result<bool, CatalogError> {
        let writing = self.writing()?;
        if writing.execute("DELETE FROM holds WHERE object = ?1", [object.bytes()])? == 0 {
            return Ok(false);
        }
        audit::append(&writing, event)?;
        writing.commit()?;
        Ok(true)
    }

    /// All holds, by object.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn holds(&self) -> Result<Vec<HeldObject>, CatalogError> {
        let mut query = self.connection.prepare_cached("SELECT * FROM holds ORDER BY object")?;
        query.query_and_then([], HeldObject::read)?.collect()
    }

    /// Begins to forget a stored object, unless a hold lies on it. It stays in the catalog until
    /// [`Catalog::end_forgetting`], as its shares have to be found.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where it isn't stored; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn begin_forgetting(
        &self,
        object: &ObjectId,
        reason: &str,
        event: &Event<'_>,
    ) -> Result<Begun, CatalogError> {
        let writing = self.writing()?;
        expect_stored(&writing, object)?;
        let query = "SELECT reason FROM holds WHERE object = ?1";
        let held = writing.query_row(query, [object.bytes()], |row| row.get(0)).optional()?;
        if let Some(reason) = held {
            return Ok(Begun::Held { reason });
        }
        if forgetting_since(&writing, object)?.is_some() {
            return Ok(Begun::Before);
        }
        audit::append(&writing, event)?;
        writing.execute(
            "INSERT INTO forgettings VALUES (?1, ?2, ?3)",
            (object.bytes(), reason, rows::stored(event.at_unix_s)?),
        )?;
        writing.commit()?;
        Ok(Begun::Now)
    }

    /// Notes that a share is gone, with what its site showed for it. What was noted before stays.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where the object isn't being forgotten.
    pub fn note_gone(&self, object: &ObjectId, gone: &GoneShare) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        if forgetting_since(&writing, object)?.is_none() {
            return Err(no_object("forgetting of object", object));
        }
        writing.execute(
            "INSERT INTO forgotten_shares VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            (object.bytes(), gone.x.get(), rows::stored(gone.at_unix_s)?, &gone.evidence),
        )?;
        Ok(writing.commit()?)
    }

    /// An object that is being forgotten; `None` where it is not.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn forgetting(&self, object: &ObjectId) -> Result<Option<Forgetting>, CatalogError> {
        let reading = self.reading()?;
        let query = "SELECT * FROM forgettings WHERE object = ?1";
        let mut query = reading.prepare_cached(query)?;
        let read = |row: &Row<'_>| read_forgetting(&reading, row);
        query.query_and_then([object.bytes()], read)?.next().transpose()
    }

    /// All objects that are being forgotten.
    ///
    /// # Errors
    /// As [`Catalog::forgetting`].
    pub fn forgettings(&self) -> Result<Vec<Forgetting>, CatalogError> {
        let reading = self.reading()?;
        let mut query = reading.prepare_cached("SELECT * FROM forgettings ORDER BY object")?;
        query.query_and_then([], |row| read_forgetting(&reading, row))?.collect()
    }

    /// Forgets the object itself, its secrets `r` included: whatever is left of its shares proves
    /// nothing any more, and no listing has it.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where it isn't being forgotten; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn end_forgetting(&self, object: &ObjectId, event: &Event<'_>) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        if forgetting_since(&writing, object)?.is_none() {
            return Err(no_object("forgetting of object", object));
        }
        audit::append(&writing, event)?;
        writing.execute("DELETE FROM objects WHERE object = ?1", [object.bytes()])?;
        writing.execute("DELETE FROM forgettings WHERE object = ?1", [object.bytes()])?;
        Ok(writing.commit()?)
    }
}

fn expect_stored(reading: &Transaction<'_>, object: &ObjectId) -> Result<(), CatalogError> {
    let query = "SELECT 1 FROM objects WHERE object = ?1 AND committed_unix_s IS NOT NULL";
    match rows::any(reading, query, [object.bytes()])? {
        true => Ok(()),
        false => Err(no_object("object", object)),
    }
}

fn forgetting_since(
    reading: &Transaction<'_>,
    object: &ObjectId,
) -> Result<Option<i64>, CatalogError> {
    let query = "SELECT at_unix_s FROM forgettings WHERE object = ?1";
    Ok(reading.query_row(query, [object.bytes()], |row| row.get(0)).optional()?)
}

fn read_forgetting(reading: &Transaction<'_>, row: &Row<'_>) -> Result<Forgetting, CatalogError> {
    let object: [u8; 16] = rows::array(row, "object")?;
    let query = "SELECT * FROM forgotten_shares WHERE object = ?1 ORDER BY x";
    let mut query = reading.prepare_cached(query)?;
    let gone = query.query_and_then([&object], |row| {
        Ok(GoneShare {
            x: rows::byte(row, "x", XCoord::new)?,
            at_unix_s: rows::count(row, "at_unix_s")?,
            evidence: row.get("evidence")?,
        })
    })?;
    let gone = gone.collect::<Result<_, CatalogError>>()?;
    Ok(Forgetting {
        object: ObjectId::from_bytes(object),
        reason: row.get("reason")?,
        at_unix_s: rows::count(row, "at_unix_s")?,
        gone,
    })
}
