//! Searches: objects by what the catalog knows of them, and by the beginning of their ID.

use crate::objects::no_object;
use crate::{Catalog, CatalogError, KeyBytes, Object, rows};
use std::fmt;
use std::str::FromStr;
use warifu_core::{IndividualId, KeyClass, ObjectId, SiteName};

/// Fewest digits by which an object may be named.
const PREFIX_DIGITS_MIN: usize = 4;

/// Digits of a whole ID.
const ID_DIGITS: usize = 32;

/// Objects told of where a prefix fits several.
const CANDIDATES_MAX: usize = 8;

/// Why a text is not the beginning of an object's ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object is named by 4 to 32 hexadecimal digits, the first ones of its ID")]
pub struct PrefixError;

/// The first digits of an object's ID, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectPrefix {
    low: u128,
    digits: usize,
}

impl ObjectPrefix {
    /// The whole ID, if this is one.
    #[must_use]
    pub fn whole(&self) -> Option<ObjectId> {
        (self.digits == ID_DIGITS).then(|| ObjectId::from_bytes(self.low.to_be_bytes()))
    }

    /// The first and the last ID that begin so.
    fn bounds(&self) -> ([u8; 16], [u8; 16]) {
        let free_bits = 4 * (ID_DIGITS - self.digits) as u32;
        let free = u128::MAX.checked_shr(u128::BITS - free_bits).unwrap_or(0);
        (self.low.to_be_bytes(), (self.low | free).to_be_bytes())
    }
}

impl From<ObjectId> for ObjectPrefix {
    fn from(object: ObjectId) -> Self {
        Self { low: u128::from_be_bytes(*object.bytes()), digits: ID_DIGITS }
    }
}

impl FromStr for ObjectPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let digits = text.len();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !(PREFIX_DIGITS_MIN..=ID_DIGITS).contains(&digits) || !is_hex {
            return Err(PrefixError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| PrefixError)?;
        // At least four digits are there, so the shift stays below the width.
        Ok(Self { low: number << (4 * (ID_DIGITS - digits)), digits })
    }
}

impl fmt::Display for ObjectPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:032x}", self.low)[..self.digits])
    }
}

/// The objects that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// One does.
    One(ObjectId),
    /// Several do: the first of them.
    Several(Vec<ObjectId>),
}

/// What stored objects are searched by. What is absent is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Whose they are.
    pub individual: Option<IndividualId>,
    /// A part of their label; ASCII letters in either case.
    pub label_part: Option<String>,
    /// A site that has a share.
    pub site: Option<SiteName>,
    /// Begun then or later, seconds since 1970 UTC.
    pub since_unix_s: Option<u64>,
    /// Begun before, seconds since 1970 UTC.
    pub before_unix_s: Option<u64>,
    /// Whether fewer than `n` shares are known to be good.
    pub is_degraded: Option<bool>,
    /// What is claimed of the key.
    pub class: Option<KeyClass>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// What an unfinished backup has planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedObject {
    /// The payload, or its upper bound, in bytes.
    pub payload_bytes: u64,
    /// Key planned over all links.
    pub key: KeyBytes,
}

impl Catalog {
    /// Stored objects that fit a search, the newest first.
    ///
    /// # Errors
    /// As [`Catalog::objects`].
    pub fn find(&self, search: &Search) -> Result<Vec<Object>, CatalogError> {
        let limit = search.limit.map_or(Ok(-1), i64::try_from).unwrap_or(i64::MAX);
        let stored = |unix_s: Option<u64>| unix_s.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
        self.read_objects(
            "SELECT * FROM objects
             WHERE committed_unix_s IS NOT NULL
               AND (?1 IS NULL OR individual = ?1)
               AND (?2 IS NULL OR instr(lower(label), lower(?2)) > 0)
               AND (?3 IS NULL OR EXISTS
                    (SELECT 1 FROM shares WHERE shares.object = number AND site = ?3))
               AND (?4 IS NULL OR created_unix_s >= ?4)
               AND (?5 IS NULL OR created_unix_s < ?5)
               AND (?6 IS NULL OR ?6 = EXISTS
                    (SELECT 1 FROM shares WHERE shares.object = number AND state <> 0))
               AND (?7 IS NULL OR class = ?7)
             ORDER BY number DESC LIMIT ?8",
            (
                search.individual.as_ref().map(IndividualId::as_str),
                search.label_part.as_deref(),
                search.site.as_ref().map(SiteName::as_str),
                stored(search.since_unix_s),
                stored(search.before_unix_s),
                search.is_degraded,
                search.class.map(KeyClass::to_byte),
                limit,
            ),
        )
    }

    /// The stored object that a prefix names.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where none begins so.
    pub fn resolve(&self, prefix: &ObjectPrefix) -> Result<Resolved, CatalogError> {
        self.resolve_by(
            prefix,
            "object",
            "SELECT object FROM objects WHERE object BETWEEN ?1 AND ?2
             AND committed_unix_s IS NOT NULL ORDER BY object LIMIT ?3",
        )
    }

    /// The unfinished backup that a prefix names.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where none begins so.
    pub fn resolve_intent(&self, prefix: &ObjectPrefix) -> Result<Resolved, CatalogError> {
        self.resolve_by(
            prefix,
            "unfinished backup",
            "SELECT object FROM objects WHERE object BETWEEN ?1 AND ?2
             AND committed_unix_s IS NULL ORDER BY object LIMIT ?3",
        )
    }

    /// What an unfinished backup has planned.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where no such intent is open.
    pub fn planned_of(&self, object: &ObjectId) -> Result<PlannedObject, CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT payload_bytes, coalesce(sum(planned_to_site_bytes), 0) AS to_site_bytes,
                 coalesce(sum(planned_from_site_bytes), 0) AS from_site_bytes
             FROM objects JOIN shares ON shares.object = objects.number
             WHERE objects.object = ?1 AND committed_unix_s IS NULL GROUP BY objects.number",
        )?;
        let found = query
            .query_and_then([object.bytes()], |row| {
                let key = KeyBytes {
                    to_site_bytes: rows::count(row, "to_site_bytes")?,
                    from_site_bytes: rows::count(row, "from_site_bytes")?,
                };
                Ok(PlannedObject { payload_bytes: rows::count(row, "payload_bytes")?, key })
            })?
            .next();
        found.unwrap_or_else(|| Err(no_object("unfinished backup", object)))
    }

    fn resolve_by(
        &self,
        prefix: &ObjectPrefix,
        what: &'static str,
        query: &str,
    ) -> Result<Resolved, CatalogError> {
        let (first, last) = prefix.bounds();
        let mut query = self.connection.prepare_cached(query)?;
        let found = query.query_and_then((first, last, CANDIDATES_MAX as i64), |row| {
            Ok(ObjectId::from_bytes(rows::array(row, "object")?))
        })?;
        let found = found.collect::<Result<Vec<_>, CatalogError>>()?;
        match found[..] {
            [] => Err(CatalogError::NotFound { what, name: prefix.to_string() }),
            [object] => Ok(Resolved::One(object)),
            _ => Ok(Resolved::Several(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_shown_and_bounded() {
        let prefix: ObjectPrefix = "00ffA".parse().unwrap();
        assert_eq!((prefix.to_string().as_str(), prefix.whole()), ("00ffa", None));
        let (first, last) = prefix.bounds();
        assert_eq!(&first[..4], [0, 0xff, 0xa0, 0]);
        assert_eq!(&last[..4], [0, 0xff, 0xaf, 0xff]);
        let whole = "000102030405060708090a0b0c0d0e0f";
        let whole: ObjectPrefix = whole.parse().unwrap();
        let object = whole.whole().unwrap();
        assert_eq!(whole.bounds(), (*object.bytes(), *object.bytes()));
        assert_eq!(ObjectPrefix::from(object), whole);
        for text in ["", "abc", "abcg", "+abcd", "é000", &"0".repeat(33)] {
            assert_eq!(text.parse::<ObjectPrefix>(), Err(PrefixError), "{text}");
        }
    }
}
