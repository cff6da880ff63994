//! What sites hold for the holder of a card, whichever gateway stored it.

use super::stored;
use crate::Vault;
use crate::audit::Told;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::{error_chain, hang_up};
use serde::Serialize;
use std::collections::BTreeMap;
use warifu_consent::card::Card;
use warifu_consent::jws;
use warifu_consent::statement::{
    Locator, Nonce, Place, Presence, PresenceKind, StatementId, VERSION,
};
use warifu_core::{Channel, Geometry, ObjectId, SiteName};
use warifu_link::body::ShareStat;
use warifu_pipeline::peer::{Peer, PeerError};

/// An object of the card's holder.
#[derive(Debug, Clone, Serialize)]
pub struct FoundRow {
    /// The object.
    pub object: String,
    /// Payload bytes, padding included.
    pub bytes: u64,
    /// Shares that rebuild it.
    pub k: u8,
    /// Shares that were made.
    pub n: u8,
    /// The sites that told of a share.
    pub sites: Vec<String>,
    /// Whether enough of them did.
    pub enough: bool,
}

/// What was found, and who did not answer.
pub(super) struct Found {
    pub(super) stats: BTreeMap<ObjectId, Vec<(SiteName, ShareStat)>>,
    pub(super) silent: Vec<String>,
}

impl Vault {
    /// Asks every site on a link what it holds for this card's holder: one signature.
    /// Also in words which sites did not tell.
    ///
    /// # Errors
    /// Where the card does not sign, or no site tells anything.
    pub fn find_by_card(
        &self,
        card: &mut dyn Card,
    ) -> Result<(Vec<FoundRow>, Vec<String>), Failure> {
        let found = self.found_by(card)?;
        let row = |(object, stats): (&ObjectId, &Vec<(SiteName, ShareStat)>)| {
            let (_, first) = stats.first()?;
            let (k, n) = (first.threshold.k_byte(), first.threshold.n_byte());
            Some(FoundRow {
                object: object.to_string(),
                bytes: first.payload_bytes,
                k,
                n,
                sites: stats.iter().map(|(site, _)| site.to_string()).collect(),
                enough: stats.len() >= usize::from(k),
            })
        };
        Ok((found.stats.iter().filter_map(row).collect(), found.silent))
    }

    pub(super) fn found_by(&self, card: &mut dyn Card) -> Result<Found, Failure> {
        let (mut names, mut dials) = (Vec::new(), Vec::new());
        for site in self.catalog()?.sites()? {
            if site.channel == Channel::Otp && site.link.is_some() {
                dials.push(self.dialer(&site, Purpose::Read, Patience::Once)?);
                names.push(site.site);
            }
        }
        let drawn = self.world.driver().at_each(dials, |mut dial| {
            let mut peer = dial()?;
            let nonce = peer.challenge(None)?;
            Ok::<_, PeerError>((peer, nonce))
        });
        let (mut asked, mut nonces, mut failed) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (site, outcome) in names.into_iter().zip(drawn) {
            match outcome {
                Ok((peer, nonce)) => {
                    nonces.insert(site.to_string(), Nonce(nonce));
                    asked.push((site, peer));
                }
                Err(error) => failed.push((site, error)),
            }
        }
        let kind = if card.is_software() { "software" } else { "card" };
        let asks = Told { who: self.name.to_string(), card: Some(kind), ..Told::operator() };
        if let Err(failure) = self.log_event("find", &asks.result("begun")) {
            tracing::warn!(%failure, "that a card looks for what is its holder's is not logged");
        }
        let session = self.fresh_statement()?;
        let told = match asked.is_empty() {
            true => Vec::new(),
            false => {
                let presence = self.presence_to_find(session, nonces, card)?;
                self.world
                    .driver()
                    .at_each(asked, |(site, peer)| (site, tell(peer, &presence, session)))
            }
        };
        let mut stats: BTreeMap<ObjectId, Vec<(SiteName, ShareStat)>> = BTreeMap::new();
        let mut answered = 0;
        for (site, outcome) in told {
            match outcome {
                Ok(found) => {
                    answered += 1;
                    for stat in found {
                        stats.entry(stat.object).or_default().push((site.clone(), stat));
                    }
                }
                Err(error) => failed.push((site, error)),
            }
        }
        let silent: Vec<String> =
            failed.iter().map(|(site, error)| format!("{site}: {}", error_chain(error))).collect();
        if answered == 0 {
            let what = format!("no site tells what it holds: {}", silent.join("; "));
            return Err(match failed.into_iter().next() {
                Some((_, error)) => {
                    let (class, code) = crate::causes::peer_class(&error);
                    Failure::new(class, code, what).next(super::next_of(code))
                }
                None => Failure::new(Class::NotFound, "sites-none", what)
                    .next("add sites with `warifu site add`, and key for their links"),
            });
        }
        Ok(Found { stats, silent })
    }

    fn presence_to_find(
        &self,
        session: StatementId,
        nonces: BTreeMap<String, Nonce>,
        card: &mut dyn Card,
    ) -> Result<String, Failure> {
        let statement = Presence {
            v: VERSION,
            kind: PresenceKind::Find,
            consent: None,
            requester: self.name.clone(),
            session,
            object: None,
            ranges: None,
            nonces,
            at: self.now_unix_s(),
        };
        Ok(jws::sign(&statement, card)?)
    }
}

impl Found {
    /// Where an object's shares are, as most of its sites tell.
    pub(super) fn locator(&self, object: ObjectId) -> Option<Locator> {
        let told = self.stats.get(&object)?;
        let same = |a: &ShareStat, b: &ShareStat| {
            (a.threshold, a.payload_bytes) == (b.threshold, b.payload_bytes)
        };
        let alike = |one: &ShareStat| told.iter().filter(|(_, other)| same(one, other)).count();
        let (_, most) = told.iter().max_by_key(|(_, stat)| alike(stat))?;
        let shares = told.iter().filter(|(_, stat)| same(stat, most));
        Some(Locator {
            object,
            k: most.threshold.k_byte(),
            n: most.threshold.n_byte(),
            payload_bytes: most.payload_bytes,
            ranges: None,
            shares: shares.map(|(site, stat)| Place { site: site.clone(), x: stat.x }).collect(),
        })
    }
}

/// Restricts a locator to a range of the object's data.
pub(super) fn restrict(
    locator: &mut Locator,
    range: crate::ByteRange,
    is_as_given: bool,
) -> Result<(), Failure> {
    let geometry = Geometry::new(locator.payload_bytes).map_err(|error| {
        Failure::new(Class::Consent, "consent-malformed", "no object has this length")
            .because(error)
    })?;
    if !is_as_given && !stored::is_as_given(geometry) {
        let what = format!(
            "object {} may be compressed, as far as its length tells: then its bytes lie elsewhere \
             than where they were given",
            locator.object
        );
        return Err(Failure::new(Class::Usage, "range-unknown", what).next(
            "give consent for the whole of it, or say --as-given if it is known not to be \
             compressed",
        ));
    }
    locator.ranges = Some(vec![stored::stored(geometry, range.from, range.to)]);
    Ok(())
}

fn tell(mut peer: Peer, presence: &str, session: StatementId) -> Result<Vec<ShareStat>, PeerError> {
    let mut found = Vec::new();
    let outcome = peer.present(None, &[presence]).and_then(|_| {
        loop {
            let (more, total) = peer.find(session.0, found.len() as u64)?;
            let is_last = more.is_empty();
            found.extend(more);
            if is_last || found.len() as u64 >= total {
                return Ok(());
            }
        }
    });
    hang_up(peer);
    outcome.map(|()| found)
}
