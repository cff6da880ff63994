//! Which shares of an object lie where, and which site was ever to get which.

use super::holds::is_held;
use super::{Register, bring};
use crate::audit::{self, Event};
use crate::{CatalogError, rows};
use rusqlite::{OptionalExtension, Row, Transaction};
use warifu_core::{LinkId, ObjectId, SiteName, XCoord};

/// Most targets that one link names, of all its objects.
const TARGETS_OF_LINK_MAX: i64 = 1_000_000;

/// Where the shares of an object are to lie.
#[derive(Clone, Copy, Debug)]
pub struct NewHolders<'a> {
    /// The link over which the object comes.
    pub link: LinkId,
    /// The object.
    pub object: ObjectId,
    /// Its shares and their sites: no x twice, and no site.
    pub holders: &'a [(XCoord, SiteName)],
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holders {
    /// They stand from now on.
    Noted,
    /// They stood so before.
    NotedBefore,
    /// Others stand; nothing was changed.
    Others,
    /// A share is complete here, and none were known: they never will be. Nothing was changed.
    TooLate,
}

/// Whether a site may get a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admitted {
    /// It may; it is the only one of this object that it ever may.
    Admitted,
    /// It was to get another one before; nothing was changed.
    Other(XCoord),
}

impl Register {
    /// Notes where the shares of an owned object are to lie, until its first share is complete
    /// here: the first list wins.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where nobody owns it; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn note_holders(
        &self,
        new: &NewHolders<'_>,
        event: &Event<'_>,
    ) -> Result<Holders, CatalogError> {
        let (link, object) = (new.link.bytes(), new.object.bytes());
        self.write(|writing| {
            let query = "SELECT is_stored FROM owners WHERE object = ?1 AND link = ?2";
            let is_stored: Option<bool> =
                writing.query_row(query, (object, link), |row| row.get(0)).optional()?;
            let is_stored = is_stored.ok_or_else(|| CatalogError::NotFound {
                what: "owner of object",
                name: new.object.to_string(),
            })?;
            let mut wanted = new.holders.to_vec();
            wanted.sort_unstable();
            match find(writing, new.link, new.object)? {
                noted if noted == wanted => return Ok(Holders::NotedBefore),
                noted if !noted.is_empty() => return Ok(Holders::Others),
                _ if is_stored => return Ok(Holders::TooLate),
                _ => {}
            }
            audit::append(writing, event)?;
            for (x, site) in new.holders {
                let query = "INSERT INTO holders VALUES (?1, ?2, ?3, ?4)";
                writing.execute(query, (link, object, x.get(), site.as_str()))?;
            }
            Ok(Holders::Noted)
        })
    }

    /// Where the shares of an object lie, by x; empty where that was never told.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn holders(
        &self,
        link: LinkId,
        object: ObjectId,
    ) -> Result<Vec<(XCoord, SiteName)>, CatalogError> {
        self.read(|reading| find(reading, link, object))
    }

    /// A share of an object is about to be completed here. Where one was before, what is here from
    /// now on is not what was completed first.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn completing(&self, link: LinkId, object: ObjectId) -> Result<(), CatalogError> {
        let address = (link.bytes(), object.bytes());
        let query = "SELECT 1 FROM firsts WHERE link = ?1 AND object = ?2 AND is_there = 1";
        match self.read(|reading| rows::any(reading, query, address))? {
            false => Ok(()),
            true => self.write(|writing| {
                let query = "UPDATE firsts SET is_there = 0 WHERE link = ?1 AND object = ?2";
                writing.execute(query, address)?;
                Ok(())
            }),
        }
    }

    /// A share of an object is complete here: the first one, unless another was before. Nothing is
    /// noted where nobody told where the object's shares lie.
    ///
    /// # Errors
    /// As [`Register::completing`].
    pub fn completed(&self, link: LinkId, object: ObjectId) -> Result<(), CatalogError> {
        if self.holders(link, object)?.is_empty() {
            return Ok(());
        }
        self.write(|writing| {
            let query = "INSERT INTO firsts VALUES (?1, ?2, 1) ON CONFLICT DO NOTHING";
            writing.execute(query, (link.bytes(), object.bytes()))?;
            Ok(())
        })
    }

    /// A completed share of an object is about to be thrown away: another one that comes is not the
    /// first. False where its link or the operator holds its object: nothing was changed then.
    ///
    /// # Errors
    /// As [`Register::completing`].
    pub fn thrown_away(
        &self,
        link: LinkId,
        object: ObjectId,
        event: &Event<'_>,
    ) -> Result<bool, CatalogError> {
        self.write(|writing| {
            if is_held(writing, object, link)? {
                return Ok(false);
            }
            audit::append(writing, event)?;
            let query = "INSERT INTO firsts SELECT link, object, 0 FROM owners
                         WHERE link = ?1 AND object = ?2
                         ON CONFLICT DO UPDATE SET is_there = 0";
            writing.execute(query, (link.bytes(), object.bytes()))?;
            Ok(true)
        })
    }

    /// Whether the share of an object that lies here is the first that was completed here.
    ///
    /// # Errors
    /// As [`Register::holders`].
    pub fn is_first(&self, link: LinkId, object: ObjectId) -> Result<bool, CatalogError> {
        let query = "SELECT 1 FROM firsts WHERE link = ?1 AND object = ?2 AND is_there = 1";
        self.read(|reading| rows::any(reading, query, (link.bytes(), object.bytes())))
    }

    /// Admits that `target` gets the share at `x` of an object of `link`, and no other one of that
    /// object for all time: the first one wins.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] where the link has named as many as one may;
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn admit_target(
        &self,
        (link, object): (LinkId, ObjectId),
        (target, x): (&SiteName, XCoord),
        event: &Event<'_>,
    ) -> Result<Admitted, CatalogError> {
        self.write(|writing| {
            let address = (link.bytes(), object.bytes(), target.as_str());
            let query = "SELECT x FROM targets WHERE link = ?1 AND object = ?2 AND site = ?3";
            let before =
                writing.query_row(query, address, |row| Ok(rows::byte(row, "x", XCoord::new)));
            match before.optional()?.transpose()? {
                Some(before) if before != x => return Ok(Admitted::Other(before)),
                Some(_) => {}
                None => {
                    if !bring(writing, link.bytes(), "targets", TARGETS_OF_LINK_MAX)? {
                        let why = format!("this link has named {TARGETS_OF_LINK_MAX}");
                        return Err(CatalogError::Invalid { what: "one more target", why });
                    }
                    let query = "INSERT INTO targets VALUES (?1, ?2, ?3, ?4)";
                    writing.execute(query, (address.0, address.1, address.2, x.get()))?;
                }
            }
            audit::append(writing, event)?;
            Ok(Admitted::Admitted)
        })
    }
}

fn find(
    reading: &Transaction<'_>,
    link: LinkId,
    object: ObjectId,
) -> Result<Vec<(XCoord, SiteName)>, CatalogError> {
    let mut query = reading
        .prepare_cached("SELECT x, site FROM holders WHERE link = ?1 AND object = ?2 ORDER BY x")?;
    let holder = |row: &Row<'_>| -> Result<_, CatalogError> {
        Ok((rows::byte(row, "x", XCoord::new)?, rows::name(row, "site")?))
    };
    query.query_and_then((link.bytes(), object.bytes()), holder)?.collect()
}
