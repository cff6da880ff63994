//! Persons, by pseudonym. No name of anybody is kept.

use crate::{Catalog, CatalogError, rows};
use rusqlite::Row;
use warifu_core::IndividualId;

/// One enrolled person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Individual {
    /// The pseudonym.
    pub individual: IndividualId,
    /// When it was enrolled, seconds since 1970 UTC.
    pub created_unix_s: u64,
}

impl Individual {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let created_unix_s = rows::count(row, "created_unix_s")?;
        Ok(Self { individual: rows::name(row, "individual")?, created_unix_s })
    }
}

impl Catalog {
    /// Enrolls an individual.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where the pseudonym is enrolled.
    pub fn enroll(
        &self,
        individual: &IndividualId,
        created_unix_s: u64,
    ) -> Result<(), CatalogError> {
        let added = self.connection.execute(
            "INSERT INTO individuals VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (individual.as_str(), rows::stored(created_unix_s)?),
        )?;
        match added {
            0 => Err(CatalogError::AlreadyExists {
                what: "individual",
                name: individual.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// All individuals, by pseudonym.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn individuals(&self) -> Result<Vec<Individual>, CatalogError> {
        let mut query =
            self.connection.prepare_cached("SELECT * FROM individuals ORDER BY individual")?;
        query.query_and_then([], Individual::read)?.collect()
    }

    /// One individual.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where the pseudonym isn't enrolled.
    pub fn individual(&self, individual: &IndividualId) -> Result<Individual, CatalogError> {
        let mut query =
            self.connection.prepare_cached("SELECT * FROM individuals WHERE individual = ?1")?;
        let found = query.query_and_then([individual.as_str()], Individual::read)?.next();
        found.unwrap_or_else(|| {
            Err(CatalogError::NotFound { what: "individual", name: individual.to_string() })
        })
    }
}
