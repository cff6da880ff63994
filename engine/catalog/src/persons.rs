//! What a gateway knows of persons' cards: which is whose, which site holds it, what they agreed to
//! and what they took back. All of it is what cards signed; nothing here is believed by a site.

use crate::{Catalog, CatalogError, rows};
use rusqlite::{Row, Transaction};
use warifu_core::{IndividualId, SiteName};

/// A person's card as it was enrolled here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnrolledCard {
    /// The pseudonym.
    pub individual: IndividualId,
    /// The fingerprint of its key.
    pub key: [u8; 32],
    /// The statements that say so, a line each: the enrolment, then what changed it.
    pub evidence: String,
    /// Whether it is a file for labs.
    pub is_software: bool,
    /// Since when, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// A consent that was made or brought here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownConsent {
    /// Its one-time name.
    pub id: [u8; 16],
    /// Whose.
    pub individual: IndividualId,
    /// The statement.
    pub token: String,
    /// When it came, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// A revocation that was made here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownRevocation {
    /// Its one-time name.
    pub id: [u8; 16],
    /// Whose.
    pub individual: IndividualId,
    /// The statement.
    pub token: String,
    /// When it was made, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

impl EnrolledCard {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            individual: rows::name(row, "individual")?,
            key: rows::array(row, "key")?,
            evidence: row.get("evidence")?,
            is_software: row.get("is_software")?,
            at_unix_s: rows::count(row, "at_unix_s")?,
        })
    }
}

impl Catalog {
    /// Enrols an individual with a card, or gives one who has none a card.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where the individual has a card.
    pub fn enroll_card(&self, card: &EnrolledCard) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        let name = card.individual.as_str();
        if rows::any(&writing, "SELECT 1 FROM cards WHERE individual = ?1", [name])? {
            return Err(CatalogError::AlreadyExists { what: "card of", name: name.to_owned() });
        }
        writing.execute(
            "INSERT INTO individuals VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (name, rows::stored(card.at_unix_s)?),
        )?;
        put_card(&writing, card)?;
        Ok(writing.commit()?)
    }

    /// Puts a card in place of the one with the key `from`. Sites are to be told anew.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where the individual has no card with that key.
    pub fn change_card(&self, from: &[u8; 32], card: &EnrolledCard) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        let query = "DELETE FROM cards WHERE individual = ?1 AND key = ?2";
        if writing.execute(query, (card.individual.as_str(), from))? == 0 {
            let name = card.individual.to_string();
            return Err(CatalogError::NotFound { what: "card of", name });
        }
        put_card(&writing, card)?;
        Ok(writing.commit()?)
    }

    /// The card of an individual; `None` where none is enrolled.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn card(&self, individual: &IndividualId) -> Result<Option<EnrolledCard>, CatalogError> {
        let mut query =
            self.connection.prepare_cached("SELECT * FROM cards WHERE individual = ?1")?;
        query.query_and_then([individual.as_str()], EnrolledCard::read)?.next().transpose()
    }

    /// Whether a site said that it holds this key as the individual's.
    ///
    /// # Errors
    /// As [`Catalog::card`].
    pub fn is_card_held(
        &self,
        site: &SiteName,
        individual: &IndividualId,
        key: &[u8; 32],
    ) -> Result<bool, CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT 1 FROM cards_held WHERE site = ?1 AND individual = ?2 AND key = ?3",
        )?;
        Ok(query.exists((site.as_str(), individual.as_str(), key))?)
    }

    /// Notes that a site said so.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn note_card_held(
        &self,
        site: &SiteName,
        individual: &IndividualId,
        key: &[u8; 32],
    ) -> Result<(), CatalogError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO cards_held VALUES (?1, ?2, ?3)",
            (site.as_str(), individual.as_str(), key),
        )?;
        Ok(())
    }

    /// Keeps a consent. Nothing changes where it is there.
    ///
    /// # Errors
    /// [`CatalogError::Busy`], [`CatalogError::Full`], [`CatalogError::Storage`].
    pub fn keep_consent(&self, consent: &KnownConsent) -> Result<(), CatalogError> {
        let at_unix_s = rows::stored(consent.at_unix_s)?;
        self.connection.execute(
            "INSERT INTO consents VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            (&consent.id, consent.individual.as_str(), &consent.token, at_unix_s),
        )?;
        Ok(())
    }

    /// All consents, the oldest first.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn consents(&self) -> Result<Vec<KnownConsent>, CatalogError> {
        let mut query =
            self.connection.prepare_cached("SELECT * FROM consents ORDER BY at_unix_s, id")?;
        let read = |row: &Row<'_>| {
            Ok(KnownConsent {
                id: rows::array(row, "id")?,
                individual: rows::name(row, "individual")?,
                token: row.get("token")?,
                at_unix_s: rows::count(row, "at_unix_s")?,
            })
        };
        query.query_and_then([], read)?.collect()
    }

    /// The session that a consent which serves once has served in this vault's own rooms.
    ///
    /// # Errors
    /// As [`Catalog::consents`].
    pub fn consent_used_in(&self, consent: &[u8; 16]) -> Result<Option<[u8; 16]>, CatalogError> {
        used_in(&self.reading()?, consent)
    }

    /// Notes that a consent which serves once serves this session; the session that it serves then,
    /// which is another where that was first.
    ///
    /// # Errors
    /// As [`Catalog::keep_consent`].
    pub fn use_consent(
        &self,
        consent: &[u8; 16],
        session: &[u8; 16],
        at_unix_s: u64,
    ) -> Result<[u8; 16], CatalogError> {
        let writing = self.writing()?;
        if let Some(first) = used_in(&writing, consent)? {
            return Ok(first);
        }
        writing.execute(
            "INSERT INTO consents_used VALUES (?1, ?2, ?3)",
            (consent, session, rows::stored(at_unix_s)?),
        )?;
        writing.commit()?;
        Ok(*session)
    }

    /// Keeps a revocation until all sites know of it, and afterwards for whoever asks.
    ///
    /// # Errors
    /// As [`Catalog::keep_consent`].
    pub fn keep_revocation(&self, revocation: &KnownRevocation) -> Result<(), CatalogError> {
        let at_unix_s = rows::stored(revocation.at_unix_s)?;
        self.connection.execute(
            "INSERT INTO revocations VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            (&revocation.id, revocation.individual.as_str(), &revocation.token, at_unix_s),
        )?;
        Ok(())
    }

    /// All revocations, the oldest first.
    ///
    /// # Errors
    /// As [`Catalog::consents`].
    pub fn revocations(&self) -> Result<Vec<KnownRevocation>, CatalogError> {
        let mut query =
            self.connection.prepare_cached("SELECT * FROM revocations ORDER BY at_unix_s, id")?;
        query.query_and_then([], read_revocation)?.collect()
    }

    /// Revocations that a site has not acknowledged, the oldest first.
    ///
    /// # Errors
    /// As [`Catalog::consents`].
    pub fn revocations_untold(
        &self,
        site: &SiteName,
    ) -> Result<Vec<KnownRevocation>, CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT * FROM revocations WHERE id NOT IN
                 (SELECT revocation FROM revocations_told WHERE site = ?1)
             ORDER BY at_unix_s, id",
        )?;
        query.query_and_then([site.as_str()], read_revocation)?.collect()
    }

    /// Notes that a site has acknowledged a revocation.
    ///
    /// # Errors
    /// As [`Catalog::keep_consent`].
    pub fn note_revocation_told(
        &self,
        site: &SiteName,
        revocation: &[u8; 16],
    ) -> Result<(), CatalogError> {
        self.connection.execute(
            "INSERT INTO revocations_told VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (revocation, site.as_str()),
        )?;
        Ok(())
    }
}

fn put_card(writing: &Transaction<'_>, card: &EnrolledCard) -> Result<(), CatalogError> {
    writing.execute(
        "INSERT INTO cards VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            card.individual.as_str(),
            &card.key,
            &card.evidence,
            card.is_software,
            rows::stored(card.at_unix_s)?,
        ),
    )?;
    Ok(())
}

fn used_in(
    reading: &Transaction<'_>,
    consent: &[u8; 16],
) -> Result<Option<[u8; 16]>, CatalogError> {
    let query = "SELECT session FROM consents_used WHERE consent = ?1";
    let mut query = reading.prepare_cached(query)?;
    query.query_and_then([consent], |row| rows::array(row, "session"))?.next().transpose()
}

fn read_revocation(row: &Row<'_>) -> Result<KnownRevocation, CatalogError> {
    Ok(KnownRevocation {
        id: rows::array(row, "id")?,
        individual: rows::name(row, "individual")?,
        token: row.get("token")?,
        at_unix_s: rows::count(row, "at_unix_s")?,
    })
}
