//! What a restore reads from: the object as the catalog knows it or as its capsules do, and the
//! shares that may be read, once their sites agree.

use super::{Authority, Offer, RestoreRequest, reading};
use crate::Vault;
use crate::break_glass::{Case, stored_elsewhere};
use crate::consent::{Admission, Admitted, Proof};
use crate::failure::{Class, Failure};
use crate::plan::hang_up;
use std::collections::BTreeMap;
use warifu_catalog::{CatalogError, Object, Site};
use warifu_core::capsule::Verdict;
use warifu_core::{Channel, SiteName, XCoord};
use warifu_pipeline::peer::Peer;

/// What a restore reads from.
pub(super) struct Source {
    pub(super) object: Object,
    /// The shares, the most wanted first.
    pub(super) offers: Vec<Offer>,
    /// Connections to sites that have agreed.
    pub(super) peers: BTreeMap<SiteName, Peer>,
    /// What shares must be like, where the catalog does not know the object.
    pub(super) verdicts: Option<BTreeMap<XCoord, Verdict>>,
    /// Sites that are not asked, in words.
    pub(super) short: Vec<String>,
}

impl Vault {
    /// Finds what to read from, and proves what must be proved.
    pub(super) fn readable(
        &self,
        request: &RestoreRequest,
        by: Authority<'_>,
    ) -> Result<Source, Failure> {
        let catalog = self.catalog()?;
        if matches!(by, Authority::Nobody) && self.config.consent.enforce {
            return Err(missing());
        }
        let known = match catalog.object(&request.object) {
            Ok(object) => Some(object),
            Err(CatalogError::NotFound { .. }) if matches!(by, Authority::Person(_)) => None,
            Err(CatalogError::NotFound { .. }) if matches!(by, Authority::Officers(_)) => {
                return Err(stored_elsewhere(&request.object));
            }
            Err(error) => return Err(error.into()),
        };
        match (known, by) {
            (Some(object), Authority::Person(proof)) => self.own_source(request, object, proof),
            (None, Authority::Person(proof)) => self.foreign_source(request, proof),
            (Some(object), Authority::Officers(case)) => self.opened_source(request, object, case),
            (Some(object), Authority::Nobody) => {
                let (offers, short) = self.offers(&object, &reading(&object, request))?;
                let (peers, verdicts) = (BTreeMap::new(), None);
                Ok(Source { object, offers, peers, verdicts, short })
            }
            (None, Authority::Nobody | Authority::Officers(_)) => Err(missing()),
        }
    }

    /// What sites let be read by the word of officers. Shares in this gateway's own rooms stay
    /// shut.
    fn opened_source(
        &self,
        request: &RestoreRequest,
        object: Object,
        case: &Case,
    ) -> Result<Source, Failure> {
        let (mut offers, mut short) = self.offers(&object, &reading(&object, request))?;
        let (peers, refused) = self.show_case(&object, case)?;
        offers.retain(|offer| peers.contains_key(&offer.share.site));
        short.extend(refused);
        Ok(Source { object, offers, peers, verdicts: None, short })
    }

    fn own_source(
        &self,
        request: &RestoreRequest,
        object: Object,
        proof: Proof<'_>,
    ) -> Result<Source, Failure> {
        let claim = self.claim_of(proof.consent, object.object)?;
        let ranges = claim.ranges_for(request.range)?;
        let (mut offers, mut short) = self.offers(&object, &reading(&object, request))?;
        let enrolled = self.catalog()?.card(&object.individual)?;
        claim.expect_card(proof.card)?;
        let admission = Admission {
            object: object.object,
            needed: object.threshold.k(),
            sites: self.sites_of_offers(&offers)?,
            own_rooms: offers.iter().filter(|offer| is_own_room(offer)).count(),
            ranges,
            token: proof.consent,
            claim: &claim,
            is_older: enrolled.as_ref().is_some_and(|card| object.created_unix_s <= card.at_unix_s),
            individual: Some(object.individual.clone()),
            enrolled,
        };
        let admitted = self.admit(&admission, proof.card)?;
        keep_admitted(&mut offers, &admitted);
        let Admitted { peers, refused, .. } = admitted;
        short.extend(refused);
        Ok(Source { object, offers, peers, verdicts: None, short })
    }

    fn foreign_source(
        &self,
        request: &RestoreRequest,
        proof: Proof<'_>,
    ) -> Result<Source, Failure> {
        let claim = self.claim_of(proof.consent, request.object)?;
        let ranges = claim.ranges_for(request.range)?;
        let (sites, mut short) = self.sites_of(&claim)?;
        let outline = self.foreign_outline(&claim, &sites)?;
        if sites.len() < outline.threshold.k() {
            let what = format!(
                "{} sites are needed for {}, and this gateway has links to {}: {}",
                outline.threshold.k(),
                outline.object,
                sites.len(),
                short.join("; ")
            );
            return Err(Failure::new(Class::NotFound, "site-unknown", what)
                .next("add the sites with `warifu site add`, and bring key to their links"));
        }
        let (offers, out_of_key) = self.offers(&outline, &reading(&outline, request))?;
        short.extend(out_of_key);
        claim.expect_card(proof.card)?;
        let admission = Admission {
            object: outline.object,
            needed: outline.threshold.k(),
            sites: self.sites_of_offers(&offers)?,
            own_rooms: 0,
            ranges,
            token: proof.consent,
            claim: &claim,
            individual: None,
            enrolled: None,
            is_older: false,
        };
        let Admitted { mut peers, refused, .. } = self.admit(&admission, proof.card)?;
        short.extend(refused);
        let (object, capsule) = match self.foreign_object(&outline, &mut peers) {
            Ok(found) => found,
            Err(failure) => {
                peers.into_values().for_each(hang_up);
                return Err(failure);
            }
        };
        let is_there = |offer: &Offer| {
            let fits = object.shares.iter().any(|share| share.x == offer.share.x);
            fits && peers.contains_key(&offer.share.site)
        };
        let offers = offers.into_iter().filter(is_there).collect();
        let (_, verdicts) = capsule.into_parts();
        let verdicts = verdicts.into_iter().map(|verdict| (verdict.x, verdict)).collect();
        Ok(Source { object, offers, peers, verdicts: Some(verdicts), short })
    }

    fn sites_of_offers(&self, offers: &[Offer]) -> Result<Vec<Site>, Failure> {
        let linked = offers.iter().filter(|offer| !is_own_room(offer));
        linked.map(|offer| self.site_row(&offer.share.site)).collect()
    }
}

fn is_own_room(offer: &Offer) -> bool {
    offer.share.channel == Channel::Local
}

fn keep_admitted(offers: &mut Vec<Offer>, admitted: &Admitted) {
    offers.retain(|offer| match is_own_room(offer) {
        true => admitted.own_rooms,
        false => admitted.peers.contains_key(&offer.share.site),
    });
}

fn missing() -> Failure {
    let what = "nothing is restored without its person's consent";
    Failure::new(Class::Consent, "consent-missing", what)
        .next("ask the person (`warifu consent request`), then give --consent FILE and --card CARD")
}
