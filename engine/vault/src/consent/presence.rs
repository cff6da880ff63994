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
use warifu_consent::card::Card;
use warifu_consent::check::{self, Asked, Held};
use warifu_consent::jws;
use warifu_consent::statement::{
    KeyFingerprint, Nonce, Presence, PresenceKind, StatementId, VERSION,
};
use warifu_core::{ObjectId, SiteName};
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

/// A site that was asked to draw, and what came of it.
type Reached = (SiteName, Result<Drawn, PeerError>);

impl Vault {
    /// Proves the card's presence to the sites. One signature of the card, and none where too few
    /// sites are there.
    pub(crate) fn admit(
        &self,
        asked: &Admission<'_>,
        card: &mut dyn Card,
    ) -> Result<Admitted, Failure> {
        let mut refused: Vec<(SiteName, PeerError)> = Vec::new();
        let own_nonce = self.fresh_nonce()?;
        let mut nonces = BTreeMap::new();
        let (mut drawn, mut free) = (Vec::new(), Vec::new());
        for (site, outcome) in self.draw(asked)? {
            match outcome {
                Ok(Drawn::Nonce(peer, nonce)) => {
                    nonces.insert(site.to_string(), Nonce(nonce));
                    drawn.push((site, peer));
                }
                Ok(Drawn::Free(peer)) => free.push((site, peer)),
                Err(error) => refused.push((site, error)),
            }
        }
        let judges_here = asked.own_rooms > 0 && asked.claim.is_trusted_here;
        let own_rooms = if judges_here { asked.own_rooms } else { 0 };
        if judges_here {
            nonces.insert(self.name.to_string(), own_nonce);
        }
        if drawn.len() + free.len() + own_rooms < asked.needed {
            drawn.into_iter().chain(free).for_each(|(_, peer)| hang_up(peer));
            return Err(too_few(asked, &refused));
        }
        let presence = match nonces.is_empty() {
            true => None,
            false => Some(self.presence(asked, nonces, card)),
        };
        let presence = match presence.transpose() {
            Ok(presence) => presence.unwrap_or_default(),
            Err(failure) => {
                drawn.into_iter().chain(free).for_each(|(_, peer)| hang_up(peer));
                return Err(failure);
            }
        };
        let mut told: Vec<String> = Vec::new();
        let own_rooms = match judges_here.then(|| self.judge(asked, &presence, own_nonce)) {
            Some(Err(failure)) => {
                told.push(format!("{} (its own rooms): {failure}", self.name));
                0
            }
            _ => own_rooms,
        };
        let (names, peers): (Vec<SiteName>, Vec<Peer>) = drawn.into_iter().unzip();
        let tokens = [asked.token, &presence];
        let presented = self.world.driver().at_each(peers, |mut peer| {
            match peer.present(Some(asked.object), &tokens) {
                Ok(_) => Ok(peer),
                Err(error) => match asked.enrolled.is_some() && is_free(&mut peer) {
                    true => Ok(peer),
                    false => {
                        hang_up(peer);
                        Err(error)
                    }
                },
            }
        });
        let mut peers: BTreeMap<SiteName, Peer> = free.into_iter().collect();
        for (site, outcome) in names.into_iter().zip(presented) {
            match outcome {
                Ok(peer) => drop(peers.insert(site, peer)),
                Err(error) => refused.push((site, error)),
            }
        }
        if peers.len() + own_rooms < asked.needed {
            peers.into_values().for_each(hang_up);
            return Err(too_few(asked, &refused));
        }
        told.extend(refused.iter().map(|(site, error)| format!("{site}: {}", error_chain(error))));
        Ok(Admitted { peers, own_rooms: own_rooms > 0, refused: told })
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
        let drawn = self.world.driver().at_each(reached, |peer| challenge(peer?, asked.object));
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
        match asked.is_older.then(|| peer.own(asked.object, &card.individual)) {
            None | Some(Ok(()) | Err(PeerError::Refused { .. })) => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }

    fn presence(
        &self,
        asked: &Admission<'_>,
        nonces: BTreeMap<String, Nonce>,
        card: &mut dyn Card,
    ) -> Result<String, Failure> {
        let statement = Presence {
            v: VERSION,
            kind: PresenceKind::Restore,
            consent: Some(asked.claim.consent.id),
            requester: self.name.clone(),
            session: self.fresh_statement()?,
            object: Some(asked.object),
            ranges: asked.ranges.clone(),
            nonces,
            at: self.now_unix_s(),
        };
        Ok(jws::sign(&statement, card)?)
    }

    /// This gateway's own judgement, for the shares in its own rooms.
    fn judge(&self, asked: &Admission<'_>, presence: &str, nonce: Nonce) -> Result<(), Failure> {
        let held = Held {
            owner: asked.enrolled.as_ref().map(|card| card.individual.clone()),
            key: asked.enrolled.as_ref().map(|card| KeyFingerprint(card.key)),
            used_in: None,
            revocations: Vec::new(),
        };
        let of_site = Asked {
            requester: self.name.clone(),
            object: Some(asked.object),
            nonces: vec![nonce],
            at_unix_s: self.now_unix_s(),
        };
        let trust = self.trust_store()?;
        check::release(asked.token, presence, &held, &of_site, &trust)?;
        Ok(())
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

fn challenge(mut peer: Peer, object: ObjectId) -> Result<Drawn, PeerError> {
    match peer.challenge(Some(object)) {
        Ok(nonce) => Ok(Drawn::Nonce(peer, nonce)),
        Err(PeerError::Refused { .. }) if is_free(&mut peer) => Ok(Drawn::Free(peer)),
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

/// Too few sites let the object be read. What one of them says of the consent goes first: sites
/// that are away come back by themselves.
fn too_few(asked: &Admission<'_>, refused: &[(SiteName, PeerError)]) -> Failure {
    let said: Vec<_> = refused.iter().map(|(_, error)| peer_class(error)).collect();
    let of = |wanted| said.iter().find(|(class, _)| *class == wanted).copied();
    let worst = of(Class::Consent).or_else(|| of(Class::Audit)).or_else(|| said.first().copied());
    let told: Vec<String> =
        refused.iter().map(|(site, error)| format!("{site}: {}", told(error))).collect();
    let what = format!(
        "too few sites let object {} be read, and {} must: {}",
        asked.object,
        asked.needed,
        told.join("; ")
    );
    match worst {
        Some((class @ (Class::Consent | Class::Audit), code)) => {
            Failure::new(class, code, what).next(next_of(code))
        }
        None if asked.own_rooms > 0 => {
            let what = "shares lie in this gateway's own rooms, and no certificate is pinned here";
            Failure::new(Class::Consent, "trust-none", what).next(next_of("trust-none"))
        }
        Some((class, code)) if class != Class::Temporary => Failure::new(class, code, what),
        _ => Failure::new(Class::Temporary, "sites-down", what)
            .next("try again when more sites are back"),
    }
}

/// What a site said, without what stands around it.
fn told(error: &PeerError) -> String {
    match error {
        PeerError::Refused { text, .. } => text.clone(),
        error => error_chain(error),
    }
}
