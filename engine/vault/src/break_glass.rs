//! Break-glass: an object is read without its person, by the word of officers whom the sites'
//! operators have pinned. Off at a site unless its operator turned it on, and loud in every log.
//!
//! A case is a file. The gateway opens it with what the sites have drawn for it; the officers sign
//! it, one after the other, wherever they are; the gateway shows it to the sites. All of that must
//! happen while the sites keep what they drew, which is ten minutes.

use crate::Vault;
use crate::audit::Told;
use crate::consent::locator_of;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::{error_chain, hang_up};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use warifu_catalog::{CatalogError, Object, Site};
use warifu_consent::bounds::{BREAK_GLASS_S_MAX, REASON_BYTES_MIN};
use warifu_consent::card::Card;
use warifu_consent::jws;
use warifu_consent::statement::{BreakGlass, Nonce, VERSION};
use warifu_core::{Channel, ObjectId, SiteName};
use warifu_pipeline::peer::{Peer, PeerError};

/// The kind of these entries in the audit log.
pub(crate) const BREAK_GLASS: &str = "break-glass";

/// How long to look for a site before it is left out.
const REACH_PATIENCE: Duration = Duration::from_millis(300);

/// Officers that one case takes.
const OFFICERS_MAX: usize = 8;

/// A case: what officers are to sign, and what they have signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Version of this document.
    pub v: u32,
    /// `break-glass-case`.
    pub r#type: String,
    /// What is to be signed, but for the time.
    pub statement: BreakGlass,
    /// What officers have signed.
    pub tokens: Vec<String>,
}

/// A case that was opened.
pub struct OpenedCase {
    /// The case.
    pub case: Case,
    /// Sites that drew nothing for it, with the reason.
    pub away: Vec<[String; 2]>,
}

impl Case {
    /// Reads a case. Nothing of it is believed.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(Class::Usage, "break-glass-case", "this is no case of break-glass")
                .next("give the file that `warifu break-glass request` wrote")
        };
        let case: Self = serde_json::from_str(text).map_err(|error| wrong().because(error))?;
        let is_case = case.v == 1 && case.r#type == "break-glass-case";
        match is_case && case.tokens.len() <= OFFICERS_MAX {
            true => Ok(case),
            false => Err(wrong()),
        }
    }

    /// The case as a file has it.
    ///
    /// # Errors
    /// Where it can't be written as JSON.
    pub fn text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            Failure::new(Class::Other, "json", "the case can't be written").because(error)
        })?;
        Ok(text + "\n")
    }

    /// Has an officer's card sign it.
    ///
    /// # Errors
    /// Where this card has signed, as many as there may be have, or the card does not sign.
    pub fn sign(&mut self, card: &mut dyn Card, now_unix_s: u64) -> Result<(), Failure> {
        let statement = BreakGlass { at: now_unix_s, ..self.statement.clone() };
        if now_unix_s >= statement.expires {
            return Err(Failure::new(Class::Usage, "break-glass-over", "this case has ended")
                .next("open another with `warifu break-glass request`"));
        }
        if self.tokens.len() == OFFICERS_MAX {
            let what = format!("{OFFICERS_MAX} officers have signed, and no more may");
            return Err(Failure::new(Class::Usage, "break-glass-case", what));
        }
        let chain = card.chain()?;
        let own = chain.first().map(|own| jws::key_of(own)).transpose()?;
        for token in &self.tokens {
            let signed = jws::possesses::<BreakGlass>(token)?;
            if Some(signed.key) == own {
                let what = "this card has signed the case already: another officer's is needed";
                return Err(Failure::new(Class::Usage, "break-glass-signed", what));
            }
        }
        self.tokens.push(jws::sign(&statement, card)?);
        Ok(())
    }

    /// How many have signed.
    #[must_use]
    pub fn signatures(&self) -> usize {
        self.tokens.len()
    }
}

impl Vault {
    /// Opens a case: each site that has a share draws something for it. It is in the audit log
    /// before anybody is asked.
    ///
    /// # Errors
    /// Where the object is not stored, the reason is none, too few sites answer, or the audit log
    /// can't be written.
    pub fn open_case(
        &self,
        object: &ObjectId,
        reason: &str,
        holds: Duration,
    ) -> Result<OpenedCase, Failure> {
        crate::forget::expect_reason(reason)?;
        if reason.len() < REASON_BYTES_MIN || !(1..=BREAK_GLASS_S_MAX).contains(&holds.as_secs()) {
            let what = "a case needs a reason that says something, and ends within a day";
            return Err(Failure::new(Class::Usage, "break-glass-case", what)
                .next("say why in --reason, and for how long, up to 24h, in --expires"));
        }
        let known = match self.catalog()?.object(object) {
            Err(CatalogError::NotFound { .. }) => return Err(stored_elsewhere(object)),
            known => known?,
        };
        let told = Told { who: self.name.to_string(), ..Told::operator() };
        let told = told.individual(&known.individual).object(object).reason(reason);
        self.note(BREAK_GLASS, &told.result("asked"))?;
        let (mut nonces, mut away) = (BTreeMap::new(), Vec::new());
        for site in self.linked_sites(&known)? {
            match self.drawn(&site, *object) {
                Ok(nonce) => drop(nonces.insert(site.site.to_string(), Nonce(nonce))),
                Err(failure) => away.push([site.site.to_string(), error_chain(&failure)]),
            }
        }
        if nonces.len() < known.threshold.k() {
            let what = format!(
                "{} sites answered, and {} are needed{}",
                nonces.len(),
                known.threshold.k(),
                away.first().map_or(String::new(), |[site, why]| format!("; {site}: {why}"))
            );
            return Err(Failure::new(Class::Temporary, "sites-down", what)
                .next("try again when more sites are back"));
        }
        let at = self.now_unix_s();
        let statement = BreakGlass {
            v: VERSION,
            id: self.fresh_statement()?,
            requester: self.name.clone(),
            individual: known.individual.clone(),
            object: locator_of(&known),
            reason: reason.to_owned(),
            expires: at.saturating_add(holds.as_secs()),
            nonces,
            at,
        };
        let r#type = "break-glass-case".to_owned();
        Ok(OpenedCase { case: Case { v: 1, r#type, statement, tokens: Vec::new() }, away })
    }

    /// Shows a case to the sites that drew for it, and keeps the connections to those that let the
    /// object be read.
    pub(crate) fn show_case(
        &self,
        object: &Object,
        case: &Case,
    ) -> Result<(BTreeMap<SiteName, Peer>, Vec<String>), Failure> {
        if case.statement.object.object != object.object {
            let what = format!("the case is about object {}", case.statement.object.object);
            return Err(Failure::new(Class::Consent, "consent-object", what)
                .next("give the case that was opened for this object"));
        }
        let tokens: Vec<&str> = case.tokens.iter().map(String::as_str).collect();
        let (mut peers, mut refused) = (BTreeMap::new(), Vec::new());
        let mut first: Option<Failure> = None;
        for site in self.linked_sites(object)? {
            if !case.statement.nonces.contains_key(site.site.as_str()) {
                continue;
            }
            match self.shown(&site, object.object, &tokens) {
                Ok(peer) => drop(peers.insert(site.site.clone(), peer)),
                Err(failure) => {
                    refused.push(format!("{}: {}", site.site, error_chain(&failure)));
                    // Sites that are away come back by themselves.
                    let is_first = first.as_ref().is_none_or(|first| first.is_retryable());
                    first = if is_first { Some(failure) } else { first };
                }
            }
        }
        if peers.len() < object.threshold.k() {
            let have = peers.len();
            peers.into_values().for_each(hang_up);
            let what = format!(
                "{have} sites let object {} be read, and {} must: {}",
                object.object,
                object.threshold.k(),
                refused.join("; ")
            );
            let (class, code) = first
                .as_ref()
                .map_or((Class::Temporary, "sites-down"), |first| (first.class(), first.code()));
            return Err(Failure::new(class, code, what).next(
                "see `warifu explain` for the code; a case is signed and shown within ten minutes",
            ));
        }
        Ok((peers, refused))
    }

    fn drawn(&self, site: &Site, object: ObjectId) -> Result<[u8; 32], Failure> {
        let mut peer = self.reached(site)?;
        let drawn = peer.challenge(Some(object));
        hang_up(peer);
        Ok(drawn?)
    }

    fn shown(&self, site: &Site, object: ObjectId, tokens: &[&str]) -> Result<Peer, Failure> {
        let mut peer = self.reached(site)?;
        match peer.present(Some(object), tokens) {
            Ok(_) => Ok(peer),
            Err(error) => {
                hang_up(peer);
                Err(error.into())
            }
        }
    }

    fn reached(&self, site: &Site) -> Result<Peer, Failure> {
        let mut dial = self.dialer(site, Purpose::Read, Patience::For(REACH_PATIENCE))?;
        dial().map_err(|error: PeerError| error.into())
    }

    fn linked_sites(&self, object: &Object) -> Result<Vec<Site>, Failure> {
        let linked = object.shares.iter().filter(|share| share.channel == Channel::Otp);
        linked.map(|share| self.site_row(&share.site)).collect()
    }
}

/// Officers open nothing at a gateway that did not store it.
pub(crate) fn stored_elsewhere(object: &ObjectId) -> Failure {
    let what = format!("object {object} was not stored here: break-glass opens no others");
    Failure::new(Class::NotFound, "not-found", what)
        .next("do this at the gateway that stored it; see `warifu list`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_case_is_told_so() {
        let many = format!(
            "{{\"v\":1,\"type\":\"break-glass-case\",\"tokens\":[{}]}}",
            ["\"x\""; 9].join(",")
        );
        for text in ["", "{}", "[]", "{\"v\":1,\"type\":\"consent-request\"}", &many] {
            assert_eq!(Case::read(text).unwrap_err().code(), "break-glass-case", "{text}");
        }
    }
}
