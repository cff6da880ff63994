//! What this gateway judges itself, as no site does it: shares in its own rooms, and those at sites
//! that ask for no consent.

use super::presence::Admission;
use crate::Vault;
use crate::failure::Failure;
use warifu_consent::check::{self, Asked, Held};
use warifu_consent::jws;
use warifu_consent::statement::{
    Consent, KeyFingerprint, Nonce, Presence, Revocation, StatementId,
};
use warifu_consent::{Unbound, Untrue};

impl Vault {
    /// Whether consent and presence suffice, by what is known here. A consent that serves once is
    /// used up by that, durably. Where no certificate is pinned here, both must still be signed by
    /// the card that is enrolled.
    pub(super) fn judge(
        &self,
        asked: &Admission<'_>,
        (presence, session): (&str, StatementId),
        nonce: Nonce,
    ) -> Result<(), Failure> {
        let Consent { id, individual, .. } = &asked.claim.consent;
        let held = Held {
            owner: asked.individual.clone(),
            key: asked.enrolled.as_ref().map(|card| KeyFingerprint(card.key)),
            used_in: self.catalog()?.consent_used_in(&id.0)?.map(StatementId),
            revocations: self.known_revocations(individual)?,
        };
        let (session, is_single_use) = if asked.claim.is_trusted_here {
            let of_vault = Asked {
                requester: self.name.clone(),
                object: Some(asked.object),
                nonces: vec![nonce],
                at_unix_s: self.now_unix_s(),
            };
            let trust = self.trust_store()?;
            let release = check::release(asked.token, presence, &held, &of_vault, &trust)?;
            (release.session, release.is_single_use)
        } else {
            (session, expect_signed(asked, presence, &held)?.single_use)
        };
        if is_single_use {
            let StatementId(session) = session;
            let at_unix_s = self.now_unix_s();
            if self.catalog()?.use_consent(&id.0, &session, at_unix_s)? != session {
                return Err(Untrue::Used.into());
            }
        }
        Ok(())
    }

    /// Revocations of an individual's that were made here.
    pub(super) fn known_revocations(
        &self,
        individual: &warifu_core::IndividualId,
    ) -> Result<Vec<Revocation>, Failure> {
        let known = self.catalog()?.revocations()?;
        let of_person = known.iter().filter(|one| one.individual == *individual);
        let read = of_person.filter_map(|one| jws::read::<Revocation>(&one.token).ok());
        Ok(read.map(|claimed| claimed.statement).collect())
    }

    /// 32 bytes that nobody can foretell.
    pub(super) fn fresh_nonce(&self) -> Result<Nonce, Failure> {
        let StatementId(first) = self.fresh_statement()?;
        let StatementId(second) = self.fresh_statement()?;
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&first);
        nonce[16..].copy_from_slice(&second);
        Ok(Nonce(nonce))
    }
}

/// That the enrolled card signed both, whoever issued it: the consent.
fn expect_signed(asked: &Admission<'_>, presence: &str, held: &Held) -> Result<Consent, Untrue> {
    let owner = held.owner.as_ref().ok_or(Untrue::Unbound(Unbound::Owner))?;
    let key = held.key.ok_or(Untrue::Unbound(Unbound::Card))?;
    let present = jws::possesses::<Presence>(presence)?;
    let consent = jws::possesses::<Consent>(asked.token)?;
    if consent.key != key || present.key != key || consent.statement.individual != *owner {
        return Err(Untrue::Person { individual: owner.to_string() });
    }
    match held.used_in.is_some() && consent.statement.single_use {
        true => Err(Untrue::Used),
        false => Ok(consent.statement),
    }
}
