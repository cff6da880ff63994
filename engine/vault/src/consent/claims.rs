//! What a consent says, looked at here before any site or card is asked. It spares a person's
//! signature; what counts is what the sites find.

use super::stored;
use crate::Vault;
use crate::failure::{Class, Failure};
use crate::restore::ByteRange;
use std::ops::Range;
use warifu_catalog::Admission;
use warifu_consent::Untrue;
use warifu_consent::card::Card;
use warifu_consent::check;
use warifu_consent::jws;
use warifu_consent::statement::{Consent, KeyFingerprint, Locator};
use warifu_core::{Geometry, ObjectId};

/// A consent that may serve.
pub(crate) struct Claim {
    /// What it says.
    pub(crate) consent: Consent,
    /// What it says of the object.
    pub(crate) locator: Locator,
    /// The key that signed.
    key: KeyFingerprint,
    /// Whether its certificates lead to one that is pinned here.
    pub(crate) is_trusted_here: bool,
}

impl Vault {
    /// Reads a consent for `object`, and refuses one that no site can go by.
    pub(crate) fn claim_of(&self, token: &str, object: ObjectId) -> Result<Claim, Failure> {
        let possessed = jws::possesses::<Consent>(token)?;
        let (consent, key) = (possessed.statement, possessed.key);
        if consent.requester != self.name {
            let (named, asking) = (consent.requester.to_string(), self.name.to_string());
            return Err(Untrue::Requester { named, asking }.into());
        }
        let locator = consent.objects.iter().find(|locator| locator.object == object);
        let locator = locator.cloned().ok_or(Untrue::Object)?;
        let now = self.now_unix_s();
        if now >= consent.expires {
            let expired_unix_s = consent.expires;
            return Err(Untrue::Expired { expired_unix_s, now_unix_s: now }.into());
        }
        if now < consent.not_before {
            let from_unix_s = consent.not_before;
            return Err(Untrue::NotYet { from_unix_s, now_unix_s: now }.into());
        }
        if self.is_revoked(&consent, &key)? {
            return Err(Untrue::Revoked.into());
        }
        let trust = self.trust_store()?;
        let is_trusted_here = Self::judges_cards(&trust);
        if is_trusted_here {
            trust.verify::<Consent>(token, now)?;
        }
        Ok(Claim { consent, locator, key, is_trusted_here })
    }

    /// Whether a revocation that was made here, or that this site was told of, covers a consent
    /// that this key signed.
    pub(super) fn is_revoked(
        &self,
        consent: &Consent,
        key: &KeyFingerprint,
    ) -> Result<bool, Failure> {
        if self.is_site() {
            let admission = Admission {
                key: key.0,
                consent: consent.id.0,
                individual: &consent.individual,
                made_unix_s: consent.at,
                uses_up: None,
            };
            return Ok(self.register()?.is_revoked(&admission)?);
        }
        let known = self.known_revocations(&consent.individual)?;
        Ok(known.iter().any(|revocation| check::is_revoked(consent, revocation)))
    }
}

impl Claim {
    /// Refuses another card than the one that signed the consent.
    pub(crate) fn expect_card(&self, card: &mut dyn Card) -> Result<(), Failure> {
        let chain = card.chain()?;
        let own = chain.first().ok_or_else(|| {
            Failure::new(Class::Card, "card-unfit", "the card shows no certificate")
        })?;
        match jws::key_of(own)? == self.key {
            true => Ok(()),
            false => Err(super::person::other_card(&self.consent.individual)),
        }
    }

    /// What is to be read, in stored ranges; `None`: all that the consent covers.
    pub(crate) fn ranges_for(
        &self,
        wanted: Option<ByteRange>,
    ) -> Result<Option<Vec<Range<u64>>>, Failure> {
        let Some(ranges) = &self.locator.ranges else { return Ok(None) };
        let geometry = self.geometry()?;
        let Some(ByteRange { from, to }) = wanted else { return Err(Untrue::Range.into()) };
        let wanted = stored::stored(geometry, from, to);
        match stored::covers(ranges, &wanted) {
            true => Ok(Some(vec![wanted])),
            false => Err(Untrue::Range.into()),
        }
    }

    /// The cut of the object into chunks.
    pub(crate) fn geometry(&self) -> Result<Geometry, Failure> {
        let malformed = |error: warifu_core::geometry::GeometryError| {
            Failure::from(Untrue::Malformed(error.to_string()))
        };
        Geometry::new(self.locator.payload_bytes).map_err(malformed)
    }
}
