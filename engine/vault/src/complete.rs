//! Completes a share of an object that other sites hold whole.
//!
//! Such a site has all chunks, but may have lost its share of the capsule, which has no checksum of
//! its own before the share is complete. What its share must be follows from k others.

use crate::Vault;
use crate::adopt::CompletedShape;
use crate::backup::share_name;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::hang_up;
use std::collections::BTreeMap;
use warifu_buffers::Block;
use warifu_catalog::Site;
use warifu_core::capsule::CapsuleHead;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::sharing::evaluation_matrix;
use warifu_core::{Channel, Role, SiteName, XCoord};
use warifu_kernels::{Write, dot_into};
use warifu_link::{ShareClass, Status, TAG_BYTES};
use warifu_pipeline::backup::weave::{CONTENT_OFFSET, Slot};
use warifu_pipeline::held::Held;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress};
use warifu_pipeline::share::{CommitOrder, Draft, ShareError, ShareWriter};

/// The attempt of a piece that is computed from shares that are complete: what it holds is always
/// the same, and no process that drew a capsule comes so far. Above what a site says it holds would
/// not do: what it was sent and lost is not among that.
const COMPUTED: u32 = u32::MAX;

/// An object that at least k sites hold whole.
pub(crate) struct Whole<'a> {
    pub(crate) head: &'a CapsuleHead,
    pub(crate) shape: CompletedShape,
    /// Shares of the capsule that agree with each other.
    pub(crate) capsules: &'a [(XCoord, &'a [u8])],
}

impl Vault {
    /// Has a site complete its share.
    ///
    /// # Errors
    /// Where it is away, or lacks more than its share of the capsule.
    pub(crate) fn complete(
        &self,
        whole: &Whole<'_>,
        x: XCoord,
        site: &SiteName,
    ) -> Result<(), Failure> {
        let site = self.site_row(site)?;
        let role = whole.head.shares.iter().find(|share| share.x == x).map(|share| share.role);
        let role = role.ok_or_else(|| {
            Failure::new(Class::Damage, "object-disputed", "the capsule knows no such share")
        })?;
        if site.channel == Channel::Local {
            return self.complete_here(whole, x, role, &site);
        }
        let mut peer = self.dialer(&site, Purpose::Store, Patience::Once)?()?;
        let address = ShareAddress { object: whole.head.object, x };
        let completed = self.complete_there(whole, role, (&mut peer, address));
        hang_up(peer);
        completed
    }

    fn complete_there(
        &self,
        whole: &Whole<'_>,
        role: Role,
        (peer, address): (&mut Peer, ShareAddress),
    ) -> Result<(), Failure> {
        let held = peer.begin(address, whole.head.threshold, role)?;
        let mut pieces = self.lost_pieces(whole, address.x, &held)?.into_iter();
        let put = pieces.try_for_each(|(slot, attempt, piece)| {
            let mut frame = Block::zeroed(CONTENT_OFFSET + piece.len() + TAG_BYTES);
            frame[CONTENT_OFFSET..CONTENT_OFFSET + piece.len()].copy_from_slice(&piece);
            let _no_blind_block = peer.store(address, slot, attempt, frame)?;
            peer.receive().map(drop)
        });
        let attempts = whole.attempts();
        let order = whole.order(&attempts);
        let completed = put.and_then(|()| peer.commit(address, &order));
        if let Err(PeerError::Refused { status: Status::BadRequest, .. }) = &completed {
            // It lacks what nobody can send it any more: it is worth nothing there.
            drop(peer.discard(address));
        }
        Ok(completed?)
    }

    fn complete_here(
        &self,
        whole: &Whole<'_>,
        x: XCoord,
        role: Role,
        site: &Site,
    ) -> Result<(), Failure> {
        let (object, threshold) = (whole.head.object, whole.head.threshold);
        let draft = Draft { object, x, threshold, role, link: None };
        let store = self.local_store(site)?;
        let failed = |error: ShareError| {
            let what = format!("site {} can't complete its share", site.site);
            Failure::new(Class::Other, "store", what).because(error)
        };
        let name = share_name(object, x)?;
        let mut writer = ShareWriter::begin(store.as_ref(), &name, draft).map_err(failed)?;
        let slots = writer.written().iter().map(|(slot, written)| (*slot, written.attempt));
        let held: Held = slots.collect();
        let mut pieces = self.lost_pieces(whole, x, &held)?.into_iter();
        let put = pieces.try_for_each(|(slot, attempt, piece)| {
            writer.put(slot, attempt, &[0; 16], piece.into_bytes())
        });
        let attempts = whole.attempts();
        let order = whole.order(&attempts);
        match put.and_then(|()| writer.expect_whole(&order)) {
            Ok(()) => writer.commit(&order).map_err(failed),
            Err(error @ (ShareError::WrongAttempt { .. } | ShareError::Misfit { .. })) => {
                // It lacks what nobody can write any more: it is worth nothing here.
                drop(writer.abandon());
                Err(failed(error))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The pieces of the capsule's share at `x`, as they follow from the others, but for those that
    /// the site was sent so before. What else it has of them may be of another sharing, begun by a
    /// process that went on with the same object.
    fn lost_pieces(
        &self,
        whole: &Whole<'_>,
        x: XCoord,
        held: &Held,
    ) -> Result<Vec<(Slot, u32, Block)>, Failure> {
        let threshold = whole.head.threshold;
        let total = whole.shape.capsule().capsule_bytes(threshold);
        let slot = |index| Slot { class: ShareClass::Capsule, index };
        let sources = &whole.capsules[..threshold.k().min(whole.capsules.len())];
        let xs: Vec<XCoord> = sources.iter().map(|(x, _)| *x).collect();
        let row = evaluation_matrix(&xs, &[x]).map_err(|error| {
            Failure::new(Class::Other, "capsule", "the capsule can't be shared again")
                .because(error)
        })?;
        let sources: Vec<&[u8]> = sources.iter().map(|(_, share)| *share).collect();
        let mut share = Block::zeroed(total as usize);
        dot_into(self.isa, &row, &mut [&mut share[..]], &sources, Write::Cached);
        let pieces = share.chunks(CHUNK_BYTES as usize).zip(0_u64..);
        let lost = pieces.filter(|(_, at)| held.attempt(slot(*at)) != Some(COMPUTED));
        Ok(lost.map(|(piece, at)| (slot(at), COMPUTED, Block::copy_of(piece))).collect())
    }
}

impl Whole<'_> {
    /// What completes a share whose capsule was computed.
    fn order<'a>(&self, attempts: &'a BTreeMap<Slot, u32>) -> CommitOrder<'a> {
        CommitOrder {
            geometry: self.head.geometry,
            masks: self.head.masks,
            capsule: self.shape.capsule(),
            capsule_generation: COMPUTED >> 16,
            attempts,
        }
    }

    fn attempts(&self) -> BTreeMap<Slot, u32> {
        let slot = |chunk: u64| match chunk.checked_sub(self.head.geometry.chunk_count()) {
            None => Slot { class: ShareClass::Data, index: chunk },
            Some(index) => Slot { class: ShareClass::Mask, index },
        };
        self.head.attempts.iter().map(|(chunk, attempt)| (slot(*chunk), *attempt)).collect()
    }
}
