//! Persons' cards: enrolled here, and held by the sites that keep something of theirs.

use super::hex;
use crate::Vault;
use crate::audit::Told;
use crate::failure::{Class, Failure};
use crate::report::IndividualRow;
use serde::Serialize;
use warifu_catalog::EnrolledCard;
use warifu_consent::card::Card;
use warifu_consent::jws;
use warifu_consent::statement::{Enrolment, KeyFingerprint, Rebinding, VERSION};
use warifu_core::{IndividualId, ObjectId, SiteName};
use warifu_link::Status;
use warifu_link::body::Holder;
use warifu_pipeline::peer::{Bound, Peer, PeerError};

/// A person's card as it is enrolled here.
#[derive(Debug, Clone, Serialize)]
pub struct CardRow {
    /// SHA-256 of its public key.
    pub key: String,
    /// `card`, or `software` where it is a file for labs.
    pub kind: &'static str,
    /// Since when.
    pub since: String,
}

impl CardRow {
    pub(crate) fn of(card: &EnrolledCard) -> Self {
        Self {
            key: hex(&card.key),
            kind: if card.is_software { "software" } else { "card" },
            since: crate::report::time(card.at_unix_s),
        }
    }
}

/// Whose signatures change a card.
pub enum Rebinder<'a> {
    /// The card so far.
    OldCard(&'a mut dyn Card),
    /// Two registrars, who are pinned at the sites.
    Registrars([&'a mut dyn Card; 2]),
}

impl Vault {
    /// Enrols an individual with their card, or gives one who has none a card. Sites are told when
    /// they first get something of theirs.
    ///
    /// # Errors
    /// Where the individual has a card, the card does not sign, or certificates are pinned here and
    /// its own leads to none of them.
    pub fn enroll_with(
        &self,
        individual: &IndividualId,
        card: &mut dyn Card,
    ) -> Result<IndividualRow, Failure> {
        if self.catalog()?.card(individual)?.is_some() {
            return Err(has_card(individual));
        }
        let (token, key) = self.enrolment(individual, card)?;
        let enrolled = EnrolledCard {
            individual: individual.clone(),
            key: key.0,
            evidence: token,
            is_software: card.is_software(),
            at_unix_s: self.now_unix_s(),
        };
        self.note("enroll", &told_of(&enrolled))?;
        self.catalog()?.enroll_card(&enrolled)?;
        self.individual(individual)
    }

    /// Binds an individual to another card. Sites are told when they are next reached.
    ///
    /// # Errors
    /// Where the individual has no card, or a card does not sign.
    pub fn rebind(
        &self,
        individual: &IndividualId,
        card: &mut dyn Card,
        by: Rebinder<'_>,
        reason: &str,
    ) -> Result<IndividualRow, Failure> {
        let old = self.card_of(individual)?;
        let (enrolment, key) = self.enrolment(individual, card)?;
        if key.0 == old.key {
            let what = format!("{individual} is bound to this card already");
            return Err(Failure::new(Class::Usage, "exists-already", what));
        }
        let statement = Rebinding {
            v: VERSION,
            id: self.fresh_statement()?,
            individual: individual.clone(),
            gateway: self.name.clone(),
            from: KeyFingerprint(old.key),
            to: key,
            at: self.now_unix_s(),
            reason: reason.to_owned(),
        };
        let mut evidence = vec![enrolment];
        match by {
            Rebinder::OldCard(old_card) => {
                let token = jws::sign(&statement, old_card)?;
                let signed = jws::possesses::<Rebinding>(&token)?;
                if signed.key.0 != old.key {
                    return Err(other_card(individual));
                }
                evidence.push(token);
            }
            Rebinder::Registrars(registrars) => {
                for registrar in registrars {
                    evidence.push(jws::sign(&statement, registrar)?);
                }
            }
        }
        let enrolled = EnrolledCard {
            individual: individual.clone(),
            key: key.0,
            evidence: format!("{}\n\n{}", old.evidence, evidence.join("\n")),
            is_software: card.is_software(),
            at_unix_s: self.now_unix_s(),
        };
        self.note("rebind", &told_of(&enrolled).reason(reason))?;
        self.catalog()?.change_card(&old.key, &enrolled)?;
        self.individual(individual)
    }

    /// The card of an individual, if one is enrolled here.
    ///
    /// # Errors
    /// Where the catalog fails, or this is a site's vault.
    pub fn card_row(&self, individual: &IndividualId) -> Result<Option<CardRow>, Failure> {
        Ok(self.catalog()?.card(individual)?.as_ref().map(CardRow::of))
    }

    /// The card of an individual, without which nothing of theirs is stored here.
    pub(crate) fn expect_card(&self, individual: &IndividualId) -> Result<(), Failure> {
        match self.config.consent.enforce {
            true => self.card_of(individual).map(drop),
            false => Ok(()),
        }
    }

    pub(super) fn card_of(&self, individual: &IndividualId) -> Result<EnrolledCard, Failure> {
        self.catalog()?.individual(individual)?;
        self.catalog()?.card(individual)?.ok_or_else(|| {
            let what = format!("{individual} is enrolled without a card");
            Failure::new(Class::Consent, "consent-unbound", what)
                .next(format!("run `warifu individual enroll {individual} --card CARD`"))
        })
    }

    /// Before a site gets a share of an individual: has it hold the card, once, and says whose the
    /// object is and where its shares are to lie. A site that does not enforce consent
    /// need not take it.
    pub(crate) fn entitle(
        &self,
        peer: &mut Peer,
        site: &SiteName,
        (object, individual): (ObjectId, &IndividualId),
        holders: &[Holder],
    ) -> Result<(), Failure> {
        let Some(card) = self.catalog()?.card(individual)? else { return Ok(()) };
        match self.claim_object(peer, site, (object, &card), holders) {
            Err(failure) if failure.class() == Class::Consent && !self.enforces(site) => Ok(()),
            outcome => outcome,
        }
    }

    fn claim_object(
        &self,
        peer: &mut Peer,
        site: &SiteName,
        (object, card): (ObjectId, &EnrolledCard),
        holders: &[Holder],
    ) -> Result<(), Failure> {
        self.have_held(peer, site, card)?;
        match peer.own(object, &card.individual, holders) {
            // The site was set up anew, or restored from a copy that is older.
            Err(PeerError::Refused { status: Status::Consent, .. }) => {
                self.bind_at(peer, site, card)?;
                Ok(peer.own(object, &card.individual, holders)?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Has a site hold the card that is enrolled here, unless it said that it does.
    pub(super) fn have_held(
        &self,
        peer: &mut Peer,
        site: &SiteName,
        card: &EnrolledCard,
    ) -> Result<(), Failure> {
        if self.catalog()?.is_card_held(site, &card.individual, &card.key)? {
            return Ok(());
        }
        self.bind_at(peer, site, card)
    }

    fn bind_at(
        &self,
        peer: &mut Peer,
        site: &SiteName,
        card: &EnrolledCard,
    ) -> Result<(), Failure> {
        if let Bound::Untrusted { why } = bind(peer, &card.evidence)? {
            tracing::warn!(
                "site {site} holds the card of {} and does not trust it yet: {why}",
                card.individual
            );
        }
        Ok(self.catalog()?.note_card_held(site, &card.individual, &card.key)?)
    }

    /// The card's own word, and its key. Where certificates are pinned here, the chain is judged.
    fn enrolment(
        &self,
        individual: &IndividualId,
        card: &mut dyn Card,
    ) -> Result<(String, KeyFingerprint), Failure> {
        let at = self.now_unix_s();
        let statement = Enrolment {
            v: VERSION,
            id: self.fresh_statement()?,
            individual: individual.clone(),
            gateway: self.name.clone(),
            at,
        };
        let token = jws::sign(&statement, card)?;
        let trust = self.trust_store()?;
        let key = match Self::judges_cards(&trust) {
            false => jws::possesses::<Enrolment>(&token)?.key,
            true => trust.verify::<Enrolment>(&token, at)?.key,
        };
        Ok((token, key))
    }
}

/// What the log says of a card that becomes somebody's.
fn told_of(enrolled: &EnrolledCard) -> Told {
    let kind = if enrolled.is_software { "software" } else { "card" };
    let note = format!("key {}", hex(&enrolled.key));
    let told = Told { card: Some(kind), ..Told::operator().individual(&enrolled.individual) };
    told.note(note).result("done")
}

/// Has a site hold a card by what is known of how it came to be: an enrolment, then every change,
/// each of one enrolment and its rebindings.
fn bind(peer: &mut Peer, evidence: &str) -> Result<Bound, PeerError> {
    let steps: Vec<Vec<&str>> = evidence.split("\n\n").map(|step| step.lines().collect()).collect();
    let Some(last) = steps.last() else {
        return Err(PeerError::Unexpected("nothing is known of this card"));
    };
    let refused = match peer.bind(last) {
        Err(error @ PeerError::Refused { .. }) if last.len() > 1 => error,
        outcome => return outcome,
    };
    // It holds none at all, so that nothing changes there.
    if let Ok(bound) = peer.bind(&last[..1]) {
        return Ok(bound);
    }
    // It holds one from further back.
    let mut outcome = Err(refused);
    for step in &steps {
        match peer.bind(step) {
            Err(error) if error.is_lost() => return Err(error),
            step => outcome = step,
        }
    }
    outcome
}

/// Another card is in the reader than the one enrolled.
pub(super) fn other_card(individual: &IndividualId) -> Failure {
    let what = format!("this is not the card that is enrolled for {individual}");
    Failure::new(Class::Consent, "consent-person", what)
        .next("use the card that was enrolled, or rebind: `warifu individual rebind`")
}

fn has_card(individual: &IndividualId) -> Failure {
    let what = format!("{individual} has a card already");
    Failure::new(Class::Usage, "exists-already", what)
        .next("`warifu individual rebind` puts another in its place")
}
