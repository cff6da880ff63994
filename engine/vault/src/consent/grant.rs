//! Consents: asked for, given, listed, looked at, taken back.

use super::find::{Found, restrict};
use super::{hex, person};
use crate::audit::Told;
use crate::failure::{Class, Failure};
use crate::report::time;
use crate::{ByteRange, Vault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use warifu_catalog::{CatalogError, KnownConsent, KnownRevocation, Object, Site};
use warifu_consent::Untrue;
use warifu_consent::card::Card;
use warifu_consent::check;
use warifu_consent::jws;
use warifu_consent::statement::{Consent, Locator, Place, Revocation, StatementId, VERSION};
use warifu_core::{IndividualId, ObjectId, SiteName};

/// What a consent is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Who may have the objects: the name under which sites know that gateway.
    pub requester: String,
    /// The objects.
    pub objects: Vec<String>,
    /// Whose they are; where the objects are known here, what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub individual: Option<String>,
    /// What for, for people.
    pub purpose: String,
    /// From when it holds, in seconds since 1970 UTC; from now on where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_unix_s: Option<u64>,
    /// For how long it holds from then on, in seconds.
    pub holds_s: u64,
    /// Only these bytes of each object, `[from, to)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(u64, Option<u64>)>,
    /// Whether it serves one restore only.
    #[serde(default)]
    pub single_use: bool,
}

/// What a consent is made of: its terms, and what the operator knows besides.
#[derive(Debug, Clone)]
pub struct ConsentTerms {
    /// The terms.
    pub terms: Terms,
    /// Whether the objects are known not to be compressed, so that ranges of them can be told.
    pub is_as_given: bool,
}

/// A consent that was given.
#[derive(Debug, Clone, Serialize)]
pub struct GrantedRow {
    /// What it says.
    #[serde(flatten)]
    pub row: ConsentRow,
    /// The statement.
    pub token: String,
}

/// A consent.
#[derive(Debug, Clone, Serialize)]
pub struct ConsentRow {
    /// Its one-time name.
    pub consent: String,
    /// Whose.
    pub individual: String,
    /// Who may have the objects.
    pub requester: String,
    /// What for.
    pub purpose: String,
    /// The objects.
    pub objects: Vec<String>,
    /// Ranges of payload bytes, as stored, of the objects of which it covers parts only.
    pub stored_ranges: Vec<Option<Vec<[u64; 2]>>>,
    /// From when it holds.
    pub not_before: String,
    /// When it ends.
    pub expires: String,
    /// Whether it serves one restore only.
    pub single_use: bool,
    /// `valid`, `not-yet`, `expired` or `revoked`, as far as is known here.
    pub state: &'static str,
    /// Whether it was signed under a certificate that is pinned here; `null` where none is.
    pub trusted_here: Option<bool>,
    /// The fingerprint of the key that signed it.
    pub key: String,
}

impl Vault {
    /// Has a card agree to something. Objects that are not known here are looked for at the sites,
    /// by this very card.
    ///
    /// # Errors
    /// Where an object is nowhere or another person's, the card is not theirs or does not sign, or
    /// a range can't be told.
    pub fn grant_consent(
        &self,
        wanted: &ConsentTerms,
        card: &mut dyn Card,
    ) -> Result<GrantedRow, Failure> {
        let terms = &wanted.terms;
        let named = terms.individual.as_deref().map(parsed::<IndividualId>).transpose()?;
        let mut individual = named;
        let mut found: Option<Found> = None;
        let mut objects = Vec::new();
        for object in &terms.objects {
            let object: ObjectId = parsed(object)?;
            let mut locator = match self.catalog()?.object(&object) {
                Ok(known) => {
                    one_person(&mut individual, &known)?;
                    locator_of(&known)
                }
                Err(CatalogError::NotFound { .. }) => {
                    let found = match &mut found {
                        Some(found) => found,
                        None => found.insert(self.found_by(card)?),
                    };
                    found.locator(object).ok_or_else(|| nowhere(object, found))?
                }
                Err(error) => return Err(error.into()),
            };
            if let Some((from, to)) = terms.range {
                restrict(&mut locator, ByteRange { from, to }, wanted.is_as_given)?;
            }
            objects.push(locator);
        }
        let individual = individual.ok_or_else(|| {
            let what = "the objects are not known here, nor whose they are";
            Failure::new(Class::Usage, "individual-unknown", what)
                .next("say under which ID they were stored: --individual ID")
        })?;
        let at = self.now_unix_s();
        let not_before = terms.not_before_unix_s.unwrap_or(at);
        let statement = Consent {
            v: VERSION,
            id: self.fresh_statement()?,
            individual: individual.clone(),
            requester: parsed(&terms.requester)?,
            purpose: terms.purpose.clone(),
            at,
            not_before,
            expires: not_before.saturating_add(terms.holds_s),
            single_use: terms.single_use,
            objects,
        };
        let token = jws::sign(&statement, card)?;
        let signed = jws::possesses::<Consent>(&token)?;
        let enrolled = self.catalog()?.card(&individual)?;
        let told = told_of(&statement, card);
        if enrolled.is_some_and(|enrolled| enrolled.key != signed.key.0) {
            self.note("consent", &told.result("refused").code("consent-person"))?;
            return Err(person::other_card(&individual));
        }
        let known =
            KnownConsent { id: statement.id.0, individual, token: token.clone(), at_unix_s: at };
        self.note("consent", &told.result("done"))?;
        self.catalog()?.keep_consent(&known)?;
        Ok(GrantedRow { row: self.consent_row(&token)?, token })
    }

    /// What a consent says, and whether it holds, as far as can be told here.
    ///
    /// # Errors
    /// Where it is none, or its signature is not that of its certificate's key.
    pub fn consent_row(&self, token: &str) -> Result<ConsentRow, Failure> {
        let signed = jws::possesses::<Consent>(token)?;
        let (consent, now) = (signed.statement, self.now_unix_s());
        let state = match () {
            () if self.is_revoked(&consent, &signed.key)? => "revoked",
            () if now >= consent.expires => "expired",
            () if now < consent.not_before => "not-yet",
            () => "valid",
        };
        let trust = self.trust_store()?;
        let is_judged = Self::judges_cards(&trust);
        let trusted_here = is_judged.then(|| trust.verify::<Consent>(token, now).is_ok());
        let ranges = |locator: &Locator| {
            let pairs = |ranges: &Vec<std::ops::Range<u64>>| {
                ranges.iter().map(|range| [range.start, range.end]).collect()
            };
            locator.ranges.as_ref().map(pairs)
        };
        Ok(ConsentRow {
            consent: hex(&consent.id.0),
            individual: consent.individual.to_string(),
            requester: consent.requester.to_string(),
            purpose: consent.purpose.clone(),
            objects: consent.objects.iter().map(|one| one.object.to_string()).collect(),
            stored_ranges: consent.objects.iter().map(ranges).collect(),
            not_before: time(consent.not_before),
            expires: time(consent.expires),
            single_use: consent.single_use,
            state,
            trusted_here,
            key: hex(&signed.key.0),
        })
    }

    /// Whether a consent could serve: its signature, its chain to what is pinned here, its time,
    /// and that it was not taken back here.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn verify_consent(&self, token: &str) -> Result<ConsentRow, Failure> {
        let row = self.consent_row(token)?;
        let now = self.now_unix_s();
        let consent = self.trust_store()?.verify::<Consent>(token, now)?.statement;
        match row.state {
            "revoked" => return Err(Untrue::Revoked.into()),
            "expired" => {
                let expired_unix_s = consent.expires;
                return Err(Untrue::Expired { expired_unix_s, now_unix_s: now }.into());
            }
            "not-yet" => {
                let from_unix_s = consent.not_before;
                return Err(Untrue::NotYet { from_unix_s, now_unix_s: now }.into());
            }
            _ => {}
        }
        let enrolled = self.catalog.as_ref().map(|catalog| catalog.card(&consent.individual));
        if let Some(Some(enrolled)) = enrolled.transpose()?
            && hex(&enrolled.key) != row.key
        {
            return Err(person::other_card(&consent.individual));
        }
        Ok(row)
    }

    /// All consents that were given here.
    ///
    /// # Errors
    /// Where the catalog fails, or this is a site's vault.
    pub fn consent_list(&self) -> Result<Vec<ConsentRow>, Failure> {
        let known = self.catalog()?.consents()?;
        known.iter().map(|consent| self.consent_row(&consent.token)).collect()
    }

    /// The statement of the consent whose one-time name begins so.
    ///
    /// # Errors
    /// Where none or several begin so.
    pub fn consent_token(&self, prefix: &str) -> Result<String, Failure> {
        let known = self.catalog()?.consents()?;
        let mut fitting = known.into_iter().filter(|one| hex(&one.id).starts_with(prefix));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one.token),
            (found, _) => {
                let count = if found.is_some() { "several consents" } else { "no consent" };
                let what = format!("{count} here begin with {prefix:?}");
                Err(Failure::new(Class::NotFound, "consent-unknown", what)
                    .next("see `warifu consent list`, or give the consent's file"))
            }
        }
    }

    /// Takes a consent back, by the card that gave it; or, where none is given, all that the
    /// individual gave so far. Answers with the sites that know of it, and those that will be told
    /// when they are reached.
    ///
    /// # Errors
    /// Where the card is not the one that gave it, or does not sign.
    pub fn revoke_consent(
        &self,
        token: Option<&str>,
        individual: Option<&IndividualId>,
        card: &mut dyn Card,
    ) -> Result<(Vec<SiteName>, Vec<SiteName>), Failure> {
        let consent = token.map(jws::possesses::<Consent>).transpose()?;
        let whose = consent.as_ref().map(|one| one.statement.individual.clone());
        let whose = whose.or_else(|| individual.cloned()).ok_or_else(|| {
            Failure::new(Class::Usage, "usage", "neither a consent nor an individual is named")
        })?;
        let statement = Revocation {
            v: VERSION,
            id: self.fresh_statement()?,
            individual: whose.clone(),
            consents: consent.iter().map(|one| one.statement.id).collect(),
            at: self.now_unix_s(),
        };
        let signed_by = jws::sign(&statement, card)?;
        let key = jws::possesses::<Revocation>(&signed_by)?.key;
        let expected = match &consent {
            Some(consent) => Some(consent.key.0),
            None => self.catalog()?.card(&whose)?.map(|card| card.key),
        };
        let told = Told {
            card: Some(kind_of(card)),
            consent: consent.as_ref().map(|one| hex(&one.statement.id.0)),
            ..Told::operator().individual(&whose).objects(self.taken_back(&statement)?)
        };
        if expected.is_some_and(|expected| expected != key.0) {
            self.note("revoke", &told.result("refused").code("consent-person"))?;
            return Err(person::other_card(&whose));
        }
        let StatementId(id) = statement.id;
        let known =
            KnownRevocation { id, individual: whose, token: signed_by, at_unix_s: statement.at };
        self.note("revoke", &told.result("done"))?;
        self.catalog()?.keep_revocation(&known)?;
        self.tell_all(&id)
    }

    /// The objects of the consents that a revocation takes back, as far as they are known here.
    fn taken_back(&self, revocation: &Revocation) -> Result<Vec<String>, Failure> {
        let known = self.catalog()?.consents()?;
        let of_person = known.iter().filter(|one| one.individual == revocation.individual);
        let read = of_person.filter_map(|one| jws::read::<Consent>(&one.token).ok());
        let covered = read
            .map(|claimed| claimed.statement)
            .filter(|consent| check::is_revoked(consent, revocation));
        let objects: BTreeSet<String> = covered
            .flat_map(|consent| consent.objects)
            .map(|locator| locator.object.to_string())
            .collect();
        Ok(objects.into_iter().collect())
    }

    /// Reaches every site, which tells it what it does not know; who knows of `revocation` then.
    fn tell_all(&self, revocation: &[u8; 16]) -> Result<(Vec<SiteName>, Vec<SiteName>), Failure> {
        let sites = self.catalog()?.sites()?;
        let sites: Vec<Site> = sites.into_iter().filter(|site| site.link.is_some()).collect();
        let reached = self.reach(sites.iter(), &mut std::collections::BTreeMap::new())?;
        for reached in reached.into_values().flatten() {
            crate::plan::hang_up(reached.peer);
        }
        let (mut told, mut untold) = (Vec::new(), Vec::new());
        for site in sites {
            let left = self.catalog()?.revocations_untold(&site.site)?;
            match left.iter().any(|one| one.id == *revocation) {
                true => untold.push(site.site),
                false => told.push(site.site),
            }
        }
        Ok((told, untold))
    }
}

/// What the log says of a consent that was given.
fn told_of(consent: &Consent, card: &dyn Card) -> Told {
    let objects = consent.objects.iter().map(|one| one.object.to_string());
    let told = Told {
        purpose: Some(consent.purpose.clone()),
        consent: Some(hex(&consent.id.0)),
        card: Some(kind_of(card)),
        ..Told::operator().individual(&consent.individual).objects(objects.collect())
    };
    told.note(format!("for {}", consent.requester))
}

fn kind_of(card: &dyn Card) -> &'static str {
    if card.is_software() { "software" } else { "card" }
}

pub(crate) fn locator_of(object: &Object) -> Locator {
    let place =
        |share: &warifu_catalog::StoredShare| Place { site: share.site.clone(), x: share.x };
    Locator {
        object: object.object,
        k: object.threshold.k_byte(),
        n: object.threshold.n_byte(),
        payload_bytes: object.geometry.payload_bytes(),
        ranges: None,
        shares: object.shares.iter().map(place).collect(),
    }
}

/// All objects of one consent are one person's.
fn one_person(individual: &mut Option<IndividualId>, object: &Object) -> Result<(), Failure> {
    let whose = individual.get_or_insert_with(|| object.individual.clone());
    match *whose == object.individual {
        true => Ok(()),
        false => {
            let what = format!("object {} is of {}, not {whose}", object.object, object.individual);
            Err(Failure::new(Class::Usage, "consent-persons", what)
                .next("give one consent for each person"))
        }
    }
}

fn nowhere(object: ObjectId, found: &Found) -> Failure {
    let silent = match found.silent.is_empty() {
        true => String::new(),
        false => format!(" (not all of them told: {})", found.silent.join("; ")),
    };
    let what = format!("no site tells of object {object} for this card{silent}");
    Failure::new(Class::NotFound, "not-found", what).next("see `warifu find --card CARD`")
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| {
        let what = format!("{text:?} can't be in a consent: {error}");
        Failure::new(Class::Usage, "consent-terms", what).next("mend the request")
    })
}
