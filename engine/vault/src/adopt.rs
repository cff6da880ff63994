//! Lists an object that its sites hold whole and the catalog doesn't know, from its capsule.
//!
//! The capsule holds no plaintext and no key: reading it brings no two shares of the object
//! together.

use crate::Vault;
use crate::collect::half_complete;
use crate::complete::Whole;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::hang_up;
use warifu_buffers::Block;
use warifu_catalog::{CommitRecord, CommittedShare, Intent, KeyBytes};
use warifu_core::capsule::{Capsule, recover_capsule};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::plan::need;
use warifu_core::share_file::{CapsuleShape, ShareHeader};
use warifu_core::{Channel, Geometry, SiteName, Threshold, XCoord};
use warifu_link::body::ShareStat;
use warifu_pipeline::peer::ShareAddress;
use warifu_pipeline::share::ShareReader;

/// What a site says of a share that it holds whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletedShape {
    pub(crate) threshold: Threshold,
    geometry: Geometry,
    masks: u32,
    capsule: CapsuleShape,
}

impl CompletedShape {
    /// The lengths of the capsule's parts.
    pub(crate) fn capsule(&self) -> CapsuleShape {
        self.capsule
    }

    /// From a share's own header.
    pub(crate) fn of(header: &ShareHeader) -> Self {
        let (threshold, geometry) = (header.threshold, header.geometry);
        Self { threshold, geometry, masks: header.masks, capsule: header.capsule }
    }

    /// From what a site daemon tells.
    pub(crate) fn stated(stat: &ShareStat) -> Result<Self, Failure> {
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
            let what = "the site tells of a share that can't be";
            Failure::new(Class::Authentication, "site-not-genuine", what).because(error)
        };
        let geometry = Geometry::new(stat.payload_bytes).map_err(|error| wrong(error.into()))?;
        let capsule = CapsuleShape::new(stat.head_bytes, &geometry, stat.masks);
        let capsule = capsule.map_err(|error| wrong(error.into()))?;
        Ok(Self { threshold: stat.threshold, geometry, masks: stat.masks, capsule })
    }
}

impl Vault {
    /// Commits an intent from the capsules that its sites hold. Sites in `missing` still have their
    /// share unfinished, if any: they are asked to complete it.
    pub(crate) fn adopt(
        &self,
        intent: &Intent,
        held: &[(XCoord, SiteName, CompletedShape)],
        missing: &[(XCoord, SiteName)],
    ) -> Result<(), Failure> {
        let differ = || {
            let what = format!("the sites differ over what object {} is", intent.object);
            Failure::new(Class::Damage, "object-disputed", what)
        };
        let shape = held.first().map(|(_, _, shape)| *shape).ok_or_else(differ)?;
        if held.iter().any(|(_, _, other)| *other != shape) {
            return Err(differ());
        }
        let mut shares = Vec::new();
        for (x, site, _) in held {
            shares.push((*x, self.read_capsule(intent, *x, site, &shape)?));
        }
        let shares: Vec<(XCoord, &[u8])> =
            shares.iter().map(|(x, share)| (*x, &share[..])).collect();
        let recovered = recover_capsule(self.isa, shape.threshold, shape.capsule, &shares);
        let recovered = recovered.map_err(|error| differ().because(error))?;
        let capsule = recovered.capsule;
        let outliers: Vec<&str> = held
            .iter()
            .filter(|(x, ..)| recovered.outliers.contains(x))
            .map(|(_, site, _)| site.as_str())
            .collect();
        if !outliers.is_empty() {
            let what = format!(
                "object {} is complete, but what {} holds of it does not fit the others: it stays \
                 there, unlisted",
                intent.object,
                outliers.join(", ")
            );
            let next = format!(
                "find out what happened there; `warifu jobs cancel --force {}` removes all of it",
                intent.object
            );
            return Err(Failure::new(Class::Damage, "object-disputed", what).next(next));
        }
        if capsule.head().object != intent.object || capsule.head().individual != intent.individual
        {
            return Err(differ());
        }
        for (x, site) in missing {
            let whole = Whole { head: capsule.head(), shape, capsules: &shares };
            self.complete(&whole, *x, site).map_err(|error| {
                let sites: Vec<&SiteName> = held.iter().map(|(_, site, _)| site).collect();
                tracing::warn!(%site, "this site can't complete its share");
                half_complete(intent, &sites).because(error)
            })?;
        }
        let record = record(capsule, intent, &shape, self.now_unix_s());
        self.log_backup(&intent.individual, &intent.object)?;
        self.catalog()?.commit(&intent.object, &record)?;
        tracing::warn!(object = %intent.object, "it was complete at all its sites: now listed");
        Ok(())
    }

    fn read_capsule(
        &self,
        intent: &Intent,
        x: XCoord,
        site: &SiteName,
        shape: &CompletedShape,
    ) -> Result<Block, Failure> {
        let site = self.site_row(site)?;
        let total = shape.capsule.capsule_bytes(shape.threshold);
        let mut share = Block::zeroed(total as usize);
        let pieces = share.chunks_mut(CHUNK_BYTES as usize).zip(0_u64..);
        let pieces = pieces.map(|(piece, index)| (index * u64::from(CHUNK_BYTES), piece));
        if site.channel == Channel::Local {
            let store = self.local_store(&site)?;
            let name = crate::backup::share_name(intent.object, x)?;
            let unreadable = |error: warifu_pipeline::share::ShareError| {
                let what = format!("the capsule at site {} can't be read", site.site);
                Failure::new(Class::Damage, "capsule", what).because(error)
            };
            let reader = ShareReader::open(store.as_ref(), &name).map_err(unreadable)?;
            for (offset, piece) in pieces {
                reader.capsule(offset, piece).map_err(unreadable)?;
            }
            return Ok(share);
        }
        let mut peer = self.dialer(&site, Purpose::Store, Patience::Once)?()?;
        let address = ShareAddress { object: intent.object, x };
        let mut read = pieces.map(|(offset, piece)| peer.read_capsule(address, offset, piece));
        let outcome = read.find(Result::is_err).unwrap_or(Ok(()));
        drop(read);
        hang_up(peer);
        outcome?;
        Ok(share)
    }
}

fn record(
    capsule: Capsule,
    intent: &Intent,
    shape: &CompletedShape,
    now_unix_s: u64,
) -> CommitRecord {
    let (head, verdicts) = capsule.into_parts();
    let needs: Vec<_> = head
        .shares
        .iter()
        .map(|share| need(head.threshold, head.geometry, share.role, share.channel))
        .collect();
    let shares = verdicts.into_iter().zip(&needs).map(|(verdict, need)| CommittedShare {
        verdict,
        sent_bytes: need.store_bytes,
        key_bytes: need.to_site_bytes - need.reserve_to_site_bytes,
        reserve: KeyBytes {
            to_site_bytes: need.reserve_to_site_bytes,
            from_site_bytes: need.reserve_from_site_bytes,
        },
        receipt_unix_s: now_unix_s,
    });
    CommitRecord {
        geometry: head.geometry,
        masks: head.masks,
        capsule: shape.capsule,
        class: head.class,
        stored_bytes: needs.iter().map(|need| need.store_bytes).sum(),
        random_bytes: intent.random_bytes,
        committed_unix_s: now_unix_s,
        attempts: head.attempts,
        shares: shares.collect(),
    }
}
