//! Other sites that this one has a link to, by its operator's word.

use super::Register;
use crate::{CatalogError, rows};
use rusqlite::{OptionalExtension, Row};
use warifu_core::SiteName;

/// A site that this one works with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its name, by which it is the other end of a link.
    pub site: SiteName,
    /// Where its daemon is.
    pub url: String,
}

impl Neighbour {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self { site: rows::name(row, "site")?, url: row.get("url")? })
    }
}

impl Register {
    /// Adds a site that this one has a link to, or is to have one to.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where the name is taken; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn add_neighbour(&self, site: &SiteName, url: &str) -> Result<(), CatalogError> {
        self.write(|writing| {
            // Which link leads to it is the key store's to tell; no row says so any more.
            let query = "INSERT INTO neighbours VALUES (?1, ?2, NULL) ON CONFLICT DO NOTHING";
            match writing.execute(query, (site.as_str(), url))? {
                0 => Err(CatalogError::AlreadyExists { what: "site", name: site.to_string() }),
                _ => Ok(()),
            }
        })
    }

    /// Forgets a neighbour; no work is done with it any more. False where there is none.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn remove_neighbour(&self, site: &SiteName) -> Result<bool, CatalogError> {
        self.write(|writing| {
            let query = "DELETE FROM neighbours WHERE site = ?1";
            Ok(writing.execute(query, [site.as_str()])? > 0)
        })
    }

    /// The neighbour of this name.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn neighbour(&self, site: &SiteName) -> Result<Option<Neighbour>, CatalogError> {
        self.read(|reading| {
            let query = "SELECT site, url FROM neighbours WHERE site = ?1";
            let found = reading.query_row(query, [site.as_str()], |row| Ok(Neighbour::read(row)));
            found.optional()?.transpose()
        })
    }

    /// All neighbours, by name.
    ///
    /// # Errors
    /// As [`Register::neighbour`].
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, CatalogError> {
        self.read(|reading| {
            let mut query =
                reading.prepare_cached("SELECT site, url FROM neighbours ORDER BY site")?;
            query.query_and_then([], Neighbour::read)?.collect()
        })
    }
}
