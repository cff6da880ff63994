//! Finding stored objects: by what the catalog knows of them, by the beginning of their ID.

use crate::Vault;
use crate::failure::{Class, Failure};
use crate::report::{ObjectRow, object_row};
use warifu_catalog::{ObjectPrefix, Resolved, Search};
use warifu_core::ObjectId;

impl Vault {
    /// Stored objects that fit, the newest first.
    ///
    /// # Errors
    /// Where the catalog fails, or this is a site's vault.
    pub fn find(&self, search: &Search) -> Result<Vec<ObjectRow>, Failure> {
        Ok(self.catalog()?.find(search)?.iter().map(object_row).collect())
    }

    /// The stored object whose ID begins so. A whole ID is taken as it is, stored or not.
    ///
    /// # Errors
    /// Where none or several begin so.
    pub fn resolve(&self, prefix: &ObjectPrefix) -> Result<ObjectId, Failure> {
        match prefix.whole() {
            Some(object) => Ok(object),
            None => only(prefix, self.catalog()?.resolve(prefix)?),
        }
    }
}

/// The one object that a prefix names.
pub(crate) fn only(prefix: &ObjectPrefix, found: Resolved) -> Result<ObjectId, Failure> {
    let found = match found {
        Resolved::One(object) => return Ok(object),
        Resolved::Several(found) => found,
    };
    let listed: Vec<String> = found.iter().map(ToString::to_string).collect();
    let what = format!("several objects begin with {prefix}: {}", listed.join(", "));
    Err(Failure::new(Class::Usage, "object-ambiguous", what).next("give more digits"))
}
