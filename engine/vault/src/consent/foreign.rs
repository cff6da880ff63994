//! An object that another gateway stored: what a restore must know of it, from the consent's
//! locator and the capsules that its sites hold, without that gateway and without its catalog.

use super::claims::Claim;
use crate::Vault;
use crate::failure::{Class, Failure};
use std::collections::BTreeMap;
use warifu_buffers::Block;
use warifu_catalog::{KeyBytes, Object, ShareState, Site, StoredShare};
use warifu_core::capsule::{Capsule, recover_capsule};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::share_file::CapsuleShape;
use warifu_core::{Channel, Geometry, ObjectId, SiteName, Threshold, XCoord};
use warifu_link::body::ShareStat;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress};

/// All that sites say of an object's cut and capsule. Those that say the same belong together.
type Shape = (Threshold, u64, u32, u32);

/// Sites that this gateway has links to, with their shares, and the others in words.
type KnownSites = (Vec<(XCoord, Site)>, Vec<String>);

impl Vault {
    /// The sites of a locator that this gateway has links to, with their shares; the others in
    /// words.
    pub(crate) fn sites_of(&self, claim: &Claim) -> Result<KnownSites, Failure> {
        let rows = self.catalog()?.sites()?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for place in &claim.locator.shares {
            let site = rows.iter().find(|site| site.site == place.site);
            match site.filter(|site| site.channel == Channel::Otp && site.link.is_some()) {
                Some(site) => known.push((place.x, site.clone())),
                None => unknown.push(format!("{}: this gateway has no link to it", place.site)),
            }
        }
        Ok((known, unknown))
    }

    /// What is known of a foreign object before any capsule was read: enough to see whether key
    /// covers it.
    pub(crate) fn foreign_outline(
        &self,
        claim: &Claim,
        sites: &[(XCoord, Site)],
    ) -> Result<Object, Failure> {
        let locator = &claim.locator;
        let threshold = Threshold::new(locator.k.into(), locator.n.into());
        let threshold = threshold.map_err(|error| {
            Failure::new(
                Class::Consent,
                "consent-malformed",
                "the consent's locator is no object's",
            )
            .because(error)
        })?;
        let shares = sites.iter().map(|(x, site)| stored_share(*x, site)).collect();
        Ok(Object {
            object: locator.object,
            individual: claim.consent.individual.clone(),
            threshold,
            class: warifu_core::KeyClass::Computational,
            label: None,
            created_unix_s: 0,
            committed_unix_s: 0,
            geometry: claim.geometry()?,
            masks: 0,
            capsule: CapsuleShape { head_bytes: 0, verdict_bytes: 0 },
            stored_bytes: 0,
            random_bytes: 0,
            attempts: Vec::new(),
            overridden: Vec::new(),
            shares,
        })
    }

    /// Reads the capsules at sites that have agreed, and answers with the object as it is. Sites
    /// whose capsule does not fit the others are named in a warning, and left out.
    pub(crate) fn foreign_object(
        &self,
        outline: &Object,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<(Object, Capsule), Failure> {
        let mut stats: BTreeMap<XCoord, (SiteName, ShareStat)> = BTreeMap::new();
        for share in &outline.shares {
            let Some(peer) = peers.get_mut(&share.site) else { continue };
            let told = match peer.stat(outline.object) {
                Ok(told) => told,
                Err(error) => {
                    let site = &share.site;
                    tracing::warn!(%site, %error, "it does not tell of its share");
                    continue;
                }
            };
            let own =
                told.into_iter().find(|stat| stat.x == share.x && stat.object == outline.object);
            if let Some(stat) = own {
                stats.insert(share.x, (share.site.clone(), stat));
            }
        }
        let shape = agreed(stats.values().map(|(_, stat)| stat)).ok_or_else(|| unfit(outline))?;
        let (threshold, payload_bytes, masks, head_bytes) = shape;
        let geometry =
            Geometry::new(payload_bytes).map_err(|error| unfit(outline).because(error))?;
        let capsule = CapsuleShape::new(head_bytes, &geometry, masks);
        let capsule = capsule.map_err(|error| unfit(outline).because(error))?;
        let mut read = Vec::new();
        for (x, (site, _)) in stats.iter().filter(|(_, (_, stat))| shape_of(stat) == shape) {
            let Some(peer) = peers.get_mut(site) else { continue };
            let bytes = capsule.capsule_bytes(threshold);
            match read_capsule(peer, (outline.object, *x), bytes) {
                Ok(share) => read.push((*x, share)),
                Err(error) => tracing::warn!(%site, %error, "its capsule can't be read"),
            }
        }
        let shares: Vec<(XCoord, &[u8])> = read.iter().map(|(x, share)| (*x, &share[..])).collect();
        let recovered = recover_capsule(self.isa, threshold, capsule, &shares);
        let recovered = recovered.map_err(|error| unfit(outline).because(error))?;
        for x in &recovered.outliers {
            tracing::warn!(x = x.get(), "the capsule of this share does not fit the others");
        }
        let head = recovered.capsule.head();
        let is_meant = head.object == outline.object
            && head.individual == outline.individual
            && head.geometry == outline.geometry
            && head.threshold == outline.threshold;
        if !is_meant {
            return Err(unfit(outline));
        }
        let mut object = outline.clone();
        object.class = head.class;
        object.masks = head.masks;
        object.created_unix_s = head.created_unix_s;
        object.capsule = capsule;
        object.attempts = head.attempts.clone();
        object.shares.retain(|share| !recovered.outliers.contains(&share.x));
        Ok((object, recovered.capsule))
    }
}

/// What most sites say. Where as many say another thing, the larger `k`: fewer than the true `k`
/// liars can't make as large a group with as large a `k`.
fn agreed<'a>(stats: impl Iterator<Item = &'a ShareStat>) -> Option<Shape> {
    let mut groups: Vec<(Shape, usize)> = Vec::new();
    for stat in stats {
        let shape = shape_of(stat);
        match groups.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, count)) => *count += 1,
            None => groups.push((shape, 1)),
        }
    }
    let whole = groups.into_iter().filter(|((threshold, ..), count)| *count >= threshold.k());
    whole.max_by_key(|((threshold, ..), count)| (threshold.k(), *count)).map(|(shape, _)| shape)
}

fn shape_of(stat: &ShareStat) -> Shape {
    (stat.threshold, stat.payload_bytes, stat.masks, stat.head_bytes)
}

fn read_capsule(
    peer: &mut Peer,
    (object, x): (ObjectId, XCoord),
    bytes: u64,
) -> Result<Block, PeerError> {
    let mut share = Block::zeroed(bytes as usize);
    for (piece, index) in share.chunks_mut(CHUNK_BYTES as usize).zip(0_u64..) {
        peer.read_capsule(ShareAddress { object, x }, index * u64::from(CHUNK_BYTES), piece)?;
    }
    Ok(share)
}

fn stored_share(x: XCoord, site: &Site) -> StoredShare {
    StoredShare {
        x,
        site: site.site.clone(),
        role: warifu_core::Role::Computed,
        channel: site.channel,
        zone: site.zone.clone(),
        domain: site.domain.clone(),
        link: site.link,
        sent_bytes: 0,
        key_bytes: 0,
        reserve: KeyBytes::default(),
        receipt_unix_s: 0,
        state: ShareState::Good,
    }
}

fn unfit(outline: &Object) -> Failure {
    let what = format!(
        "what the sites hold of {} does not fit together, or not the consent",
        outline.object
    );
    Failure::new(Class::Forged, "object-disputed", what)
        .next("bring more of its sites back, then try again")
}
