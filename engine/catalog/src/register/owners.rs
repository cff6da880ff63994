//! Whose object is whose.

use super::{Register, bindings};
use crate::audit::{self, Event};
use crate::{CatalogError, rows};
use rusqlite::{Row, Transaction};
use warifu_core::{IndividualId, LinkId, ObjectId};

/// Most objects of one link that have an owner and, as far as is known, no completed share.
const AWAITED_MAX: u64 = 4096;

/// How many of these stay, the latest, where the others turn out to have none.
const AWAITED_KEPT: u64 = 1024;

/// An object that came over a link, and its individual.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The link.
    pub link: LinkId,
    /// The object.
    pub object: ObjectId,
    /// The pseudonym, as that link's gateway uses it.
    pub individual: IndividualId,
    /// Whether a share of it was completed here.
    pub is_stored: bool,
}

/// What came of a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is that individual's from now on.
    Owned,
    /// It was before.
    OwnedBefore,
    /// It is another's; nothing was changed.
    Others(IndividualId),
    /// No card is held for that individual; nothing was changed.
    Unbound,
    /// The link has too many that await their shares: [`Register::settle`]. Nothing was changed.
    TooMany,
}

impl Owner {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            link: LinkId::from_bytes(rows::array(row, "link")?),
            object: ObjectId::from_bytes(rows::array(row, "object")?),
            individual: rows::name(row, "individual")?,
            is_stored: rows::count(row, "is_stored")? != 0,
        })
    }
}

impl Register {
    /// Claims an object of a link for an individual of it: the first one wins.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn own(
        &self,
        link: LinkId,
        object: ObjectId,
        individual: &IndividualId,
        event: &Event<'_>,
    ) -> Result<Claim, CatalogError> {
        self.write(|writing| {
            match find(writing, link, object)? {
                Some(owner) if owner.individual == *individual => return Ok(Claim::OwnedBefore),
                Some(owner) => return Ok(Claim::Others(owner.individual)),
                None => {}
            }
            if bindings::find(writing, link, individual)?.is_none() {
                return Ok(Claim::Unbound);
            }
            let query = "SELECT count(*) FROM owners WHERE link = ?1 AND is_stored = 0";
            let awaited: i64 = writing.query_row(query, [link.bytes()], |row| row.get(0))?;
            if awaited >= rows::stored(AWAITED_MAX)? {
                return Ok(Claim::TooMany);
            }
            audit::append(writing, event)?;
            writing.execute(
                "INSERT INTO owners (link, object, individual, is_stored) VALUES (?1, ?2, ?3, 0)",
                (link.bytes(), object.bytes(), individual.as_str()),
            )?;
            Ok(Claim::Owned)
        })
    }

    /// Of a link's objects that await their shares, those in `stored` have one: their owners stay
    /// for good. Of the others only the latest are kept.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn settle(&self, link: LinkId, stored: &[ObjectId]) -> Result<(), CatalogError> {
        self.write(|writing| {
            for object in stored {
                let query = "UPDATE owners SET is_stored = 1 WHERE object = ?1 AND link = ?2";
                writing.execute(query, (object.bytes(), link.bytes()))?;
            }
            writing.execute(
                "DELETE FROM owners WHERE link = ?1 AND is_stored = 0 AND number <= (
                     SELECT number FROM owners WHERE link = ?1 AND is_stored = 0
                     ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (link.bytes(), rows::stored(AWAITED_KEPT)?),
            )?;
            Ok(())
        })
    }

    /// A share of an owned object is about to be completed: its owner stays for good. False where
    /// it has none.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn stored(&self, link: LinkId, object: ObjectId) -> Result<bool, CatalogError> {
        let known = self.read(|reading| find(reading, link, object))?;
        match known {
            Some(owner) if owner.is_stored => Ok(true),
            Some(_) => self.write(|writing| {
                let query = "UPDATE owners SET is_stored = 1 WHERE object = ?1 AND link = ?2";
                Ok(writing.execute(query, (object.bytes(), link.bytes()))? > 0)
            }),
            None => Ok(false),
        }
    }

    /// The individual whose object that of a link is.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn owner(&self, link: LinkId, object: ObjectId) -> Result<Option<Owner>, CatalogError> {
        self.read(|reading| find(reading, link, object))
    }

    /// The owners of an object, one for each link over which shares of it came.
    ///
    /// # Errors
    /// As [`Register::owner`].
    pub fn owners(&self, object: ObjectId) -> Result<Vec<Owner>, CatalogError> {
        self.read(|reading| {
            let mut query =
                reading.prepare_cached("SELECT * FROM owners WHERE object = ?1 ORDER BY link")?;
            query.query_and_then([object.bytes()], Owner::read)?.collect()
        })
    }

    /// All objects of the individuals that a key is held for, of whatever link.
    ///
    /// # Errors
    /// As [`Register::owner`].
    pub fn owned_by(&self, key: &[u8; 32]) -> Result<Vec<Owner>, CatalogError> {
        self.read(|reading| {
            let mut query = reading.prepare_cached(
                "SELECT owners.* FROM bindings JOIN owners USING (link, individual)
                 WHERE key = ?1 ORDER BY object, link",
            )?;
            query.query_and_then([key], Owner::read)?.collect()
        })
    }
}

fn find(
    reading: &Transaction<'_>,
    link: LinkId,
    object: ObjectId,
) -> Result<Option<Owner>, CatalogError> {
    let mut query =
        reading.prepare_cached("SELECT * FROM owners WHERE object = ?1 AND link = ?2")?;
    query.query_and_then((object.bytes(), link.bytes()), Owner::read)?.next().transpose()
}
