//! The card is here: one signature over what every site asked has drawn, then each site's own
//! judgement.

use super::claims::Claim;
use super::refusal::next_of;
use crate::Vault;
use crate::causes::peer_class;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::{error_chain, hang_up};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use warifu_catalog::{EnrolledCard, Site};
use warifu_consent::bounds::NONCES_MAX;
use warifu_consent::card::Card;
use warifu_consent::jws;
use warifu_consent::statement::{Nonce, Presence, PresenceKind, StatementId, VERSION};
use warifu_core::{IndividualId, ObjectId, SiteName};
use warifu_pipeline::peer::{Peer, PeerError};

/// What a person gives for a restore: a consent, and their card.
pub struct Proof<'a> {
    /// The consent, as its card signed it.
    pub consent: &'a str,
    /// The card.
    pub card: &'a mut dyn Card,
}

/// How long to look for a site before it is left out.
const REACH_PATIENCE: Duration = Duration::from_millis(300);

/// What is asked of the sites.
pub(crate) struct Admission<'a> {
    /// The object.
    pub(crate) object: ObjectId,
    /// Shares that are needed.
    pub(crate) needed: usize,
    /// The sites on links that have one.
    pub(crate) sites: Vec<Site>,
    /// How many lie in this gateway's own rooms, where it is the one to judge.
    pub(crate) own_rooms: usize,
    /// What is to be read, in stored ranges.
    pub(crate) ranges: Option<Vec<Range<u64>>>,
    /// The consent, and what it says.
    pub(crate) token: &'a str,
    pub(crate) claim: &'a Claim,
    /// Whose it is, where this gateway stored it.
    pub(crate) individual: Option<IndividualId>,
    /// The person's card, where this gateway stored the object.
    pub(crate) enrolled: Option<EnrolledCard>,
    /// Whether sites may not have been told yet whose the object is.
    pub(crate) is_older: bool,
}

/// Who lets the object be read.
pub(crate) struct Admitted {
    /// The sites, with a connection to each.
    pub(crate) peers: BTreeMap<SiteName, Peer>,
    /// Whether shares in this gateway's own rooms may be read.
    pub(crate) own_rooms: bool,
    /// Those that don't, in words.
    pub(crate) refused: Vec<String>,
}

/// What a site answered when it was asked to draw.
enum Drawn {
    /// A nonce.
    Nonce(Peer, [u8; 32]),
    /// That it asks for no consent.
    Free(Peer),
}

/// What came of a presence that was shown.
enum Shown {
    /// The site found that it suffices.
    Lets(Peer),
    /// It did not, and asks for no consent: then this gateway is the one to judge.
    Free(Peer),
}

/// A site that was asked to draw, and what came of it.
type Reached = (SiteName, Result<Drawn, PeerError>);

impl Vault {
    /// Proves the card's presence to the sites. One signature of the card, and none where too few
    /// sites are there. This gateway is the judge itself of what lies in its own rooms, and for
    /// sites that ask for no consent.
    pub(crate) fn admit(
        &self,
        asked: &Admission<'_>,
        card: &mut dyn Card,
    ) -> Result<Admitted, Failure> {
        // Drawn before any site is connected to: where this fails, no lease burns.
        let (own_nonce, session) = (self.fresh_nonce()?, self.fresh_statement()?);
        let mut refused: Vec<Refusal> = Vec::new();
        let mut nonces = BTreeMap::new();
        let (mut drawn, mut free) = (Vec::new(), Vec::new());
        for (site, outcome) in self.draw(asked)? {
            match outcome {
                Ok(Drawn::Nonce(peer, nonce)) => {
                    nonces.insert(site.to_string(), Nonce(nonce));
                    drawn.push((site, peer));
                }
                Ok(Drawn::Free(peer)) => free.push((site, peer)),
                Err(error) => refused.push(Refusal::of_site(&site, &error)),
            }
        }
        let own_rooms = match asked.own_rooms > 0 && !asked.claim.is_trusted_here {
            true => {
                refused.push(Refusal::untrusting());
                0
            }
            false => asked.own_rooms,
        };
        if drawn.len() + free.len() + own_rooms < asked.needed {
            drawn.into_iter().chain(free).for_each(|(_, peer)| hang_up(peer));
            return Err(too_few(asked, &refused));
        }
        if nonces.len() < NONCES_MAX {
            nonces.insert(name_beside(&nonces, self.name.as_str()), own_nonce);
        }
        let presence = match self.presence(asked, session, nonces, card) {
            Ok(presence) => presence,
            Err(failure) => {
                drawn.into_iter().chain(free).for_each(|(_, peer)| hang_up(peer));
                return Err(failure);
            }
        };
        let mut peers = BTreeMap::new();
        for (site, outcome) in self.present_all(asked, &presence, drawn) {
            match outcome {
                Ok(Shown::Lets(peer)) => drop(peers.insert(site, peer)),
                Ok(Shown::Free(peer)) => free.push((site, peer)),
                Err(error) => refused.push(Refusal::of_site(&site, &error)),
            }
        }
        let mut own_rooms = own_rooms;
        if own_rooms > 0 || !free.is_empty() {
            match self.judge(asked, (&presence, session), own_nonce) {
                Ok(()) => peers.extend(free),
                Err(failure) => {
                    free.into_iter().for_each(|(_, peer)| hang_up(peer));
                    own_rooms = 0;
                    refused.push(Refusal::own(&self.name, &failure));
                }
            }
        }
        if peers.len() + own_rooms < asked.needed {
            peers.into_values().for_each(hang_up);
            return Err(too_few(asked, &refused));
        }
        let refused = refused.into_iter().map(|refusal| refusal.told).collect();
        Ok(Admitted { peers, own_rooms: own_rooms > 0, refused })
    }

    /// Shows consent and presence to each site that has drawn.
    fn present_all(
        &self,
        asked: &Admission<'_>,
        presence: &str,
        drawn: Vec<(SiteName, Peer)>,
    ) -> Vec<(SiteName, Result<Shown, PeerError>)> {
        let is_own = asked.individual.is_some();
        let (names, peers): (Vec<SiteName>, Vec<Peer>) = drawn.into_iter().unzip();
        let tokens = [asked.token, presence];
        let presented = self.world.driver().at_each(peers, |mut peer| {
            match peer.present(Some(asked.object), &tokens) {
                Ok(_) => Ok(Shown::Lets(peer)),
                Err(PeerError::Refused { .. }) if is_own && is_free(&mut peer) => {
                    Ok(Shown::Free(peer))
                }
                Err(error) => {
                    hang_up(peer);
                    Err(error)
                }
            }
        });
        names.into_iter().zip(presented).collect()
    }

    /// Connects to each site and has it draw.
    fn draw(&self, asked: &Admission<'_>) -> Result<Vec<Reached>, Failure> {
        let mut dials = Vec::new();
        for site in &asked.sites {
            dials.push(self.dialer(site, Purpose::Read, Patience::For(REACH_PATIENCE))?);
        }
        let peers = self.world.driver().at_each(dials, |mut dial| dial());
        let mut reached = Vec::new();
        for (site, peer) in asked.sites.iter().zip(peers) {
            let peer = match (peer, &asked.enrolled) {
                (Ok(mut peer), Some(card)) => {
                    self.remind(&mut peer, site, asked, card).map(|()| peer)
                }
                (peer, _) => peer,
            };
            reached.push(peer);
        }
        let is_own = asked.individual.is_some();
        let draw = |peer: Result<Peer, PeerError>| challenge(peer?, asked.object, is_own);
        let drawn = self.world.driver().at_each(reached, draw);
        Ok(asked.sites.iter().map(|site| site.site.clone()).zip(drawn).collect())
    }

    /// Tells a site what it may not know of an object that this gateway stored: the card that is
    /// its person's now, and whose it is.
    fn remind(
        &self,
        peer: &mut Peer,
        site: &Site,
        asked: &Admission<'_>,
        card: &EnrolledCard,
    ) -> Result<(), PeerError> {
        // What it refuses here it refuses below, in better words.
        let held = self.have_held(peer, &site.site, card);
        drop(held.inspect_err(|error| tracing::debug!(site = %site.site, %error, "not bound")));
        match asked.is_older.then(|| peer.own(asked.object, &card.individual, &[])) {
            None | Some(Ok(()) | Err(PeerError::Refused { .. })) => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }

    fn presence(
        &self,
        asked: &Admission<'_>,
        session: StatementId,
        nonces: BTreeMap<String, Nonce>,
        card: &mut dyn Card,
    ) -> Result<String, Failure> {
        let statement = Presence {
            v: VERSION,
            kind: PresenceKind::Restore,
            consent: Some(asked.claim.consent.id),
            requester: self.name.clone(),
            session,
            object: Some(asked.object),
            ranges: asked.ranges.clone(),
            nonces,
            at: self.now_unix_s(),
        };
        Ok(jws::sign(&statement, card)?)
    }
}

/// Has a site draw. One that asks for no consent releases, as before, what this gateway stored.
fn challenge(mut peer: Peer, object: ObjectId, is_own: bool) -> Result<Drawn, PeerError> {
    match peer.challenge(Some(object)) {
        Ok(nonce) => Ok(Drawn::Nonce(peer, nonce)),
        Err(PeerError::Refused { .. }) if is_own && is_free(&mut peer) => Ok(Drawn::Free(peer)),
        Err(error) => {
            hang_up(peer);
            Err(error)
        }
    }
}

/// Whether a site releases without consent what a gateway stored itself.
fn is_free(peer: &mut Peer) -> bool {
    peer.ping().is_ok_and(|pinged| !pinged.enforces)
}

/// Who does not let an object be read.
struct Refusal {
    class: Class,
    code: &'static str,
    told: String,
    next: &'static str,
}

impl Refusal {
    fn of_site(site: &SiteName, error: &PeerError) -> Self {
        let (class, code) = peer_class(error);
        Self { class, code, told: format!("{site}: {}", told(error)), next: next_of(code) }
    }

    /// This gateway's own judgement.
    fn own(name: &SiteName, failure: &Failure) -> Self {
        let (class, code) = (failure.class(), failure.code());
        Self { class, code, told: format!("{name} itself: {failure}"), next: next_of(code) }
    }

    /// Shares lie in this gateway's own rooms, and it has nothing to judge by.
    fn untrusting() -> Self {
        let told = "shares lie in this gateway's own rooms, and no certificate is pinned here";
        let next = "pin here who issued the card: `warifu trust add`";
        Self { class: Class::Consent, code: "trust-none", told: told.to_owned(), next }
    }
}

/// Too few sites let the object be read. What one of them says of the consent goes first: sites
/// that are away come back by themselves.
fn too_few(asked: &Admission<'_>, refused: &[Refusal]) -> Failure {
    let told: Vec<&str> = refused.iter().map(|refusal| refusal.told.as_str()).collect();
    let what = format!(
        "too few sites let object {} be read, and {} must: {}",
        asked.object,
        asked.needed,
        told.join("; ")
    );
    let of = |class| refused.iter().find(move |refusal| refusal.class == class);
    match of(Class::Consent).or_else(|| of(Class::Audit)).or_else(|| refused.first()) {
        Some(Refusal { class: class @ (Class::Consent | Class::Audit), code, next, .. }) => {
            Failure::new(*class, code, what).next(*next)
        }
        Some(refusal) if refusal.class != Class::Temporary => {
            Failure::new(refusal.class, refusal.code, what)
        }
        _ => Failure::new(Class::Temporary, "sites-down", what)
            .next("try again when more sites are back"),
    }
}

/// A name that none of the sites asked has: theirs are not this gateway's to choose.
fn name_beside(nonces: &BTreeMap<String, Nonce>, name: &str) -> String {
    let own = std::iter::once(name.to_owned());
    let others = (0..=nonces.len()).map(|number| format!("own-{number}"));
    let mut free = own.chain(others).filter(|name| !nonces.contains_key(name));
    // One more is offered than can be taken.
    free.next().unwrap_or_default()
}

/// What a site said, without what stands around it.
fn told(error: &PeerError) -> String {
    match error {
        PeerError::Refused { text, .. } => text.clone(),
        error => error_chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_called_as_this_gateway_keeps_its_own_challenge() {
        let nonce = Nonce([1; 32]);
        let mut nonces = BTreeMap::from([("tokyo".to_owned(), nonce)]);
        assert_eq!(name_beside(&nonces, "gateway"), "gateway");
        assert_eq!(name_beside(&nonces, "tokyo"), "own-0");
        nonces.insert("own-0".to_owned(), nonce);
        assert_eq!(name_beside(&nonces, "tokyo"), "own-1");
    }
}
