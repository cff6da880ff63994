//! Whose card is whose.

use super::{Register, bring};
use crate::audit::{self, Event};
use crate::{CatalogError, rows};
use rusqlite::{Row, Transaction};
use warifu_core::{IndividualId, LinkId};

/// Most individuals that one link brings.
const OF_LINK_MAX: i64 = 1_000_000;

/// An individual of a link, and the key of their card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Over which link it came.
    pub link: LinkId,
    /// The pseudonym, as that link's gateway uses it.
    pub individual: IndividualId,
    /// The key's fingerprint.
    pub key: [u8; 32],
    /// The statements by which it came to be so, a line each.
    pub evidence: String,
    /// Since when, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// What is to be held.
#[derive(Clone, Copy, Debug)]
pub struct NewBinding<'a> {
    /// Over which link it comes.
    pub link: LinkId,
    /// The pseudonym.
    pub individual: &'a IndividualId,
    /// The key's fingerprint.
    pub key: [u8; 32],
    /// The statements that say so.
    pub evidence: &'a str,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bindings {
    /// It is held from now on.
    Held,
    /// It was held so before.
    HeldBefore,
    /// This very change was made before, and another has followed; nothing was changed.
    Used,
    /// Another key is held; nothing was changed.
    Other {
        /// That key's fingerprint.
        key: [u8; 32],
    },
    /// The link has brought as many as one may; nothing was changed.
    TooMany,
}

impl Binding {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            link: LinkId::from_bytes(rows::array(row, "link")?),
            individual: rows::name(row, "individual")?,
            key: rows::array(row, "key")?,
            evidence: row.get("evidence")?,
            at_unix_s: rows::count(row, "at_unix_s")?,
        })
    }
}

impl Register {
    /// Holds a card's key as an individual's: the first one wins.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn bind(
        &self,
        binding: &NewBinding<'_>,
        event: &Event<'_>,
    ) -> Result<Bindings, CatalogError> {
        self.write(|writing| {
            if let Some(held) = find(writing, binding.link, binding.individual)? {
                return Ok(match held.key == binding.key {
                    true => Bindings::HeldBefore,
                    false => Bindings::Other { key: held.key },
                });
            }
            if !bring(writing, binding.link.bytes(), "bindings", OF_LINK_MAX)? {
                return Ok(Bindings::TooMany);
            }
            audit::append(writing, event)?;
            writing.execute(
                "INSERT INTO bindings VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    binding.link.bytes(),
                    binding.individual.as_str(),
                    &binding.key,
                    binding.evidence,
                    rows::stored(event.at_unix_s)?,
                ),
            )?;
            Ok(Bindings::Held)
        })
    }

    /// Holds another key instead of `from`, which the caller has judged to be in order. `change` is
    /// the name of what was signed: it serves once, lest a lost card come back by it.
    ///
    /// # Errors
    /// As [`Register::bind`].
    pub fn rebind(
        &self,
        (from, change): ([u8; 32], [u8; 16]),
        binding: &NewBinding<'_>,
        event: &Event<'_>,
    ) -> Result<Bindings, CatalogError> {
        self.write(|writing| {
            match find(writing, binding.link, binding.individual)? {
                Some(held) if held.key == binding.key => return Ok(Bindings::HeldBefore),
                Some(held) if held.key != from => return Ok(Bindings::Other { key: held.key }),
                Some(_) => {}
                None => return Ok(Bindings::Other { key: [0; 32] }),
            }
            let (link, individual) = (binding.link.bytes(), binding.individual.as_str());
            let query = "INSERT INTO rebindings VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            if writing.execute(query, (link, individual, &change))? == 0 {
                return Ok(Bindings::Used);
            }
            audit::append(writing, event)?;
            writing.execute(
                "UPDATE bindings SET key = ?3, evidence = ?4, at_unix_s = ?5
                 WHERE link = ?1 AND individual = ?2",
                (link, individual, &binding.key, binding.evidence, rows::stored(event.at_unix_s)?),
            )?;
            Ok(Bindings::Held)
        })
    }

    /// What is held for an individual of a link.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn binding(
        &self,
        link: LinkId,
        individual: &IndividualId,
    ) -> Result<Option<Binding>, CatalogError> {
        self.read(|reading| find(reading, link, individual))
    }

    /// All individuals, of whatever link, that a key is held for.
    ///
    /// # Errors
    /// As [`Register::binding`].
    pub fn bindings_of(&self, key: &[u8; 32]) -> Result<Vec<Binding>, CatalogError> {
        self.read(|reading| {
            let mut query = reading.prepare_cached(
                "SELECT * FROM bindings WHERE key = ?1 ORDER BY link, individual",
            )?;
            query.query_and_then([key], Binding::read)?.collect()
        })
    }
}

pub(super) fn find(
    reading: &Transaction<'_>,
    link: LinkId,
    individual: &IndividualId,
) -> Result<Option<Binding>, CatalogError> {
    let mut query =
        reading.prepare_cached("SELECT * FROM bindings WHERE link = ?1 AND individual = ?2")?;
    query.query_and_then((link.bytes(), individual.as_str()), Binding::read)?.next().transpose()
}
