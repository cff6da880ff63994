//! Settings of the vault, as text by name.

use crate::{Catalog, CatalogError, rows};
use rusqlite::OptionalExtension;
use warifu_core::SiteName;

const WITNESS: &str = "witness";

impl Catalog {
    /// The setting `name`, if it was set.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn setting(&self, name: &str) -> Result<Option<String>, CatalogError> {
        let mut query =
            self.connection.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Sets `name` to `value`, or clears it with `None`.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn set_setting(&self, name: &str, value: Option<&str>) -> Result<(), CatalogError> {
        match value {
            Some(value) => self.connection.execute(
                "INSERT INTO settings VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
                (name, value),
            )?,
            None => self.connection.execute("DELETE FROM settings WHERE name = ?1", [name])?,
        };
        Ok(())
    }

    /// The site that witnesses leases of the `random` pool, if one is pinned.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] where the setting is no site's name; [`CatalogError::Busy`],
    /// [`CatalogError::Storage`].
    pub fn witness(&self) -> Result<Option<SiteName>, CatalogError> {
        let name = self.setting(WITNESS)?;
        name.map(|name| name.parse().map_err(|_| rows::odd("value of the witness"))).transpose()
    }

    /// Pins the witness of the `random` pool, or unpins it.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where there is no such site.
    pub fn set_witness(&self, site: Option<&SiteName>) -> Result<(), CatalogError> {
        if let Some(site) = site {
            self.site(site)?;
        }
        self.set_setting(WITNESS, site.map(SiteName::as_str))
    }
}
