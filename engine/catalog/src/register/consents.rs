//! Which consents are used up, and which no longer hold.

use super::{Register, bring};
use crate::audit::{self, Event};
use crate::{CatalogError, rows};
use rusqlite::{OptionalExtension, Transaction};
use warifu_core::{IndividualId, LinkId};

/// Most revocations that one link brings.
const OF_LINK_MAX: i64 = 1_000_000;

/// A consent, as far as its standing goes.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The fingerprint of the key that signed it.
    pub key: [u8; 32],
    /// Its name.
    pub consent: [u8; 16],
    /// Whose it is.
    pub individual: &'a IndividualId,
    /// When it was made, in seconds since 1970 UTC.
    pub made_unix_s: u64,
    /// The restore that uses it up, where it serves only one.
    pub uses_up: Option<[u8; 16]>,
}

/// How a consent stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It holds; where it serves one restore only, it is this one's from now on.
    Holds,
    /// It was revoked.
    Revoked,
    /// Another restore has used it up.
    Used,
}

/// A revocation that the caller has judged to be in order.
#[derive(Clone, Copy, Debug)]
pub struct NewRevocation<'a> {
    /// Over which link it came.
    pub link: LinkId,
    /// The fingerprint of the key that signed it.
    pub key: [u8; 32],
    /// Its name.
    pub revocation: [u8; 16],
    /// Whose consents.
    pub individual: &'a IndividualId,
    /// The consents; empty: all made at or before `at_unix_s`.
    pub consents: &'a [[u8; 16]],
    /// When it was made, in seconds since 1970 UTC.
    pub at_unix_s: u64,
    /// The statement itself.
    pub token: &'a str,
}

impl Register {
    /// Whether a consent was taken back.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn is_revoked(&self, admission: &Admission<'_>) -> Result<bool, CatalogError> {
        self.read(|reading| is_revoked(reading, admission))
    }

    /// Admits a consent, if it holds: the event is in the log, and the consent used up where it is
    /// for one restore, before this returns. Where it does not hold nothing is changed.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn admit(
        &self,
        admission: &Admission<'_>,
        event: &Event<'_>,
    ) -> Result<Standing, CatalogError> {
        self.write(|writing| {
            if is_revoked(writing, admission)? {
                return Ok(Standing::Revoked);
            }
            if let Some(session) = admission.uses_up {
                let (key, consent) = (&admission.key, &admission.consent);
                writing.execute(
                    "INSERT INTO consents_used VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                    (key, consent, &session),
                )?;
                let user: [u8; 16] = writing.query_row(
                    "SELECT session FROM consents_used WHERE key = ?1 AND consent = ?2",
                    (key, consent),
                    |row| row.get(0),
                )?;
                if user != session {
                    return Ok(Standing::Used);
                }
            }
            audit::append(writing, event)?;
            Ok(Standing::Holds)
        })
    }

    /// Remembers a revocation. False where it was known, or where its link has brought as many as
    /// one may.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] in that second case; [`CatalogError::Busy`],
    /// [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn revoke(
        &self,
        revocation: &NewRevocation<'_>,
        event: &Event<'_>,
    ) -> Result<bool, CatalogError> {
        let NewRevocation { key, individual, .. } = revocation;
        let at = rows::stored(revocation.at_unix_s)?;
        self.write(|writing| {
            // By its words, not by its name alone: another of that name says something else.
            let query = "SELECT 1 FROM revocations
                         WHERE key = ?1 AND revocation = ?2 AND token = ?3";
            if rows::any(writing, query, (key, &revocation.revocation, revocation.token))? {
                return Ok(false);
            }
            let link = revocation.link.bytes();
            if !bring(writing, link, "revocations", OF_LINK_MAX)? {
                let why = format!("this link has brought {OF_LINK_MAX}");
                return Err(CatalogError::Invalid { what: "one more revocation", why });
            }
            audit::append(writing, event)?;
            writing.execute(
                "INSERT INTO revocations VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                (key, &revocation.revocation, link, revocation.token, at),
            )?;
            for consent in revocation.consents {
                let query = "INSERT INTO revoked VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                writing.execute(query, (key, consent))?;
            }
            if revocation.consents.is_empty() {
                writing.execute(
                    "INSERT INTO revoked_until VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
                     SET until_unix_s = max(until_unix_s, excluded.until_unix_s)",
                    (key, individual.as_str(), at),
                )?;
            }
            Ok(true)
        })
    }
}

fn is_revoked(reading: &Transaction<'_>, admission: &Admission<'_>) -> Result<bool, CatalogError> {
    let query = "SELECT 1 FROM revoked WHERE key = ?1 AND consent = ?2";
    if rows::any(reading, query, (&admission.key, &admission.consent))? {
        return Ok(true);
    }
    let query = "SELECT until_unix_s FROM revoked_until WHERE key = ?1 AND individual = ?2";
    let until = reading.query_row(query, (&admission.key, admission.individual.as_str()), |row| {
        row.get::<_, i64>(0)
    });
    let made = rows::stored(admission.made_unix_s)?;
    Ok(until.optional()?.is_some_and(|until| made <= until))
}
