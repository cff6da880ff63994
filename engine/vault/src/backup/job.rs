//! One backup under way: its lanes, its capsule, and how it ends.

use super::BackupRequest;
use super::weaving::Diary;
use crate::Vault;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::jobs::Claim;
use crate::journal::{Header, Standing};
use crate::plan::hang_up;
use std::collections::BTreeMap;
use std::time::Duration;
use warifu_backend::ShareName;
use warifu_catalog::{CommitRecord, CommittedShare, KeyBytes, Site};
use warifu_core::capsule::{Capsule, CapsuleHead, ShareEntry, Verdict};
use warifu_core::plan::{PlannedShare, need};
use warifu_core::share_file::share_file_name;
use warifu_core::{Channel, Geometry, KeyClass, ObjectId, SiteName, XCoord};
use warifu_link::ShareClass;
use warifu_pipeline::backup::driver::{RunError, at_every_lane};
use warifu_pipeline::backup::lane::{Lane, LaneError, Spent};
use warifu_pipeline::backup::local::LocalLane;
use warifu_pipeline::backup::remote::{Dial, RemoteLane};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::hashes::ShareHashes;
use warifu_pipeline::peer::{Peer, ShareAddress};
use warifu_pipeline::random::RandomSource;
use warifu_pipeline::share::{CommitOrder, Draft, ShareWriter};

/// A backup that has its object ID, placement and random numbers.
pub(super) struct Job<'a> {
    pub(super) vault: &'a Vault,
    pub(super) request: &'a BackupRequest,
    pub(super) header: Header,
    pub(super) shares: Vec<PlannedShare>,
    pub(super) sites: BTreeMap<SiteName, Site>,
    pub(super) class: KeyClass,
    pub(super) random: RandomSource,
    /// What is done since before.
    pub(super) standing: Standing,
    /// That nobody else in this process works on it.
    pub(super) _claim: Option<Claim<'a>>,
}

/// What the lanes hold when all is woven.
pub(super) struct Woven {
    pub(super) geometry: Geometry,
    pub(super) capsule: Capsule,
    pub(super) attempts: BTreeMap<Slot, u32>,
}

impl Job<'_> {
    /// One lane for each share, in the order of x. Where one can't be, the key of all goes back.
    pub(super) fn lanes(
        &self,
        mut peers: BTreeMap<SiteName, Peer>,
        writers: BTreeMap<XCoord, ShareWriter>,
    ) -> Result<Vec<Box<dyn Lane>>, Failure> {
        let mut lanes = Vec::new();
        match self.push_lanes(&mut lanes, &mut peers, writers) {
            Ok(()) => Ok(lanes),
            Err(failure) => {
                lanes.into_iter().for_each(Lane::close);
                peers.into_values().for_each(hang_up);
                Err(failure)
            }
        }
    }

    fn push_lanes(
        &self,
        lanes: &mut Vec<Box<dyn Lane>>,
        peers: &mut BTreeMap<SiteName, Peer>,
        mut writers: BTreeMap<XCoord, ShareWriter>,
    ) -> Result<(), Failure> {
        for (share, place) in self.shares.iter().zip(&self.header.shares) {
            let site = self.sites.get(&share.site).ok_or_else(|| missing(&share.site))?;
            let hashes = ShareHashes::new(self.vault.isa, share.x, *place.r);
            let failed = |source| RunError::Lane { site: share.site.clone(), source };
            match share.channel {
                Channel::Otp => {
                    let mut peer = peers.remove(&share.site).ok_or_else(|| missing(&share.site))?;
                    let whose = (self.header.object, &self.header.individual);
                    let holders = self.header.holders();
                    self.vault.entitle(&mut peer, &share.site, whose, &holders)?;
                    let done_bytes = self.standing.done_bytes();
                    let sent = share.need.to_site_bytes - share.need.reserve_to_site_bytes;
                    peer.expect_to_send(sent.saturating_sub(done_bytes));
                    let need = share.need;
                    peer.expect_answers(need.from_site_bytes - need.reserve_from_site_bytes);
                    let patience = Duration::from_secs(self.vault.config.limits.patience_seconds);
                    let patience = Patience::For(patience);
                    let dial = self.vault.dialer(site, Purpose::Store, patience)?;
                    let lane = self.remote_lane(share, peer, dial, hashes).map_err(failed)?;
                    lanes.push(Box::new(lane));
                }
                _ => {
                    let writer = match writers.remove(&share.x) {
                        Some(writer) => writer,
                        None => self.local_writer(share, site)?,
                    };
                    let (name, random) = (share.site.clone(), self.random.clone());
                    lanes.push(Box::new(LocalLane::new(name, writer, random, hashes)));
                }
            }
        }
        Ok(())
    }

    fn remote_lane(
        &self,
        share: &PlannedShare,
        peer: Peer,
        dial: Dial,
        hashes: ShareHashes,
    ) -> Result<RemoteLane, LaneError> {
        let address = ShareAddress { object: self.header.object, x: share.x };
        let scheme = (self.request.threshold, share.role);
        let hashing = (self.vault.isa, hashes);
        let lane = RemoteLane::begin(share.site.clone(), peer, dial, address, scheme, hashing)?;
        Ok(lane.with_clock(self.vault.clock.clone()))
    }

    fn local_writer(&self, share: &PlannedShare, site: &Site) -> Result<ShareWriter, Failure> {
        let draft = Draft {
            object: self.header.object,
            x: share.x,
            threshold: self.request.threshold,
            role: share.role,
            link: None,
        };
        let store = self.vault.local_store(site)?;
        let name = share_name(self.header.object, share.x)?;
        let writer = ShareWriter::begin(store.as_ref(), &name, draft);
        let failed = |source| RunError::Lane { site: share.site.clone(), source };
        Ok(writer.map_err(|error| failed(LaneError::from(error)))?)
    }

    /// The capsule of what was woven.
    pub(super) fn capsule(
        &self,
        geometry: Geometry,
        class: KeyClass,
        attempts: &BTreeMap<Slot, u32>,
        verdicts: Vec<Verdict>,
    ) -> Result<Capsule, Failure> {
        capsule(&self.header, geometry, class, (attempts, verdicts))
    }

    /// Completes every share durably.
    pub(super) fn commit(&self, lanes: &mut [Box<dyn Lane>], woven: &Woven) -> Result<(), Failure> {
        let order = CommitOrder {
            geometry: woven.geometry,
            masks: woven.geometry.mask_count(),
            capsule: woven.capsule.shape(),
            capsule_generation: u32::from(self.standing.generation()),
            attempts: &woven.attempts,
        };
        Ok(at_every_lane(&self.vault.world.driver(), lanes, |lane| lane.commit(&order))?)
    }

    /// Makes the object listed.
    pub(super) fn record(&self, woven: Woven, lanes: &[Box<dyn Lane>]) -> Result<(), Failure> {
        let in_all = lanes.iter().zip(&self.standing.spent).map(|(lane, before)| {
            let spent = lane.spent();
            let key_bytes = before.key_bytes + spent.key_bytes;
            Spent { key_bytes, sent_bytes: before.sent_bytes + spent.sent_bytes, ..spent }
        });
        let spent: Vec<Spent> = in_all.collect();
        let random_bytes = self.standing.random_bytes + self.random.drawn_bytes();
        let now = self.vault.now_unix_s();
        let record = commit_record(&self.shares, woven, (&spent, random_bytes), now);
        self.vault.log_backup(&self.header.individual, &self.header.object)?;
        Ok(self.vault.catalog()?.commit(&self.header.object, &record)?)
    }

    /// Ends a backup that failed. What another process can go on with is left as it is; anything
    /// else is cleared away.
    pub(super) fn end(
        &self,
        lanes: Vec<Box<dyn Lane>>,
        diary: &Diary<'_>,
        failure: Failure,
    ) -> Failure {
        if !(diary.is_kept() && leaves_something(&failure)) {
            return self.give_up(lanes, failure);
        }
        diary.close(self);
        lanes.into_iter().for_each(Lane::close);
        self.vault.return_random(&self.random);
        failure.kept(self.header.object)
    }

    /// Clears away what was written. The intent goes only where nothing can be left; what a site
    /// that is away still has is collected later.
    pub(super) fn give_up(&self, lanes: Vec<Box<dyn Lane>>, failure: Failure) -> Failure {
        let object = self.header.object;
        // First of all: nobody goes on with what is about to be cleared away.
        let erased = self.vault.journals().erase(object);
        drop(erased.inspect_err(|error| tracing::warn!(%error, "the journal remains")));
        lanes.into_iter().for_each(|mut lane| {
            lane.abandon();
            lane.close();
        });
        self.vault.return_random(&self.random);
        // Every site is asked, whatever the others said.
        let remaining = self.shares.iter().filter(|share| {
            let discarded = self.vault.discard(object, share.x, &share.site);
            let discarded =
                discarded.inspect_err(|error| tracing::warn!(site = %share.site, %error));
            // One that is complete stays: whether it may go is settled when all have been asked.
            !discarded.is_ok_and(|is_gone| is_gone)
        });
        let cleared = remaining.count() == 0;
        let catalog = self.vault.catalog();
        if cleared && let Ok(catalog) = catalog {
            let abandoned = catalog.abandon(&object);
            drop(abandoned.inspect_err(|error| tracing::warn!(%error, "the intent remains")));
        }
        failure
    }
}

/// Whether a backup that ended so can go on later. A source that changed can't, and a site that is
/// full or is not what it should be is better left out of the next attempt.
fn leaves_something(failure: &Failure) -> bool {
    let of_source = ["source-changed", "source-grew", "source"].contains(&failure.code());
    let passing = [Class::Temporary, Class::Key, Class::Busy, Class::Rollback];
    (passing.contains(&failure.class()) && !of_source) || failure.code() == "journal"
}

/// The capsule of an object, without its pads.
pub(super) fn capsule(
    header: &Header,
    geometry: Geometry,
    class: KeyClass,
    (attempts, verdicts): (&BTreeMap<Slot, u32>, Vec<Verdict>),
) -> Result<Capsule, Failure> {
    let entry = |share: &crate::journal::SharePlace| ShareEntry {
        x: share.x,
        role: share.role,
        channel: share.channel,
        link: share.link,
        site: share.site.clone(),
        zone: share.zone.clone(),
        domain: share.domain.clone(),
    };
    let head = CapsuleHead {
        threshold: header.threshold,
        class,
        object: header.object,
        geometry,
        masks: geometry.mask_count(),
        created_unix_s: header.created_unix_s,
        individual: header.individual.clone(),
        label: header.label.clone(),
        binding: Vec::new(),
        shares: header.shares.iter().map(entry).collect(),
        attempts: numbered(geometry, attempts),
    };
    Capsule::new(head, verdicts).map_err(|error| {
        Failure::new(Class::Other, "capsule", "the capsule can't be made").because(error)
    })
}

/// What the catalog keeps of an object whose shares are complete.
pub(super) fn commit_record(
    planned: &[PlannedShare],
    woven: Woven,
    (spent, random_bytes): (&[Spent], u64),
    now_unix_s: u64,
) -> CommitRecord {
    let (capsule, head) = (woven.capsule.shape(), woven.capsule.head());
    let (class, threshold) = (head.class, head.threshold);
    // Compressed, or a stream, it may have become shorter than was planned for.
    let needed = |share: &PlannedShare| need(threshold, woven.geometry, share.role, share.channel);
    let stored_bytes = planned.iter().map(|share| needed(share).store_bytes).sum();
    let attempts = numbered(woven.geometry, &woven.attempts);
    let (_, verdicts) = woven.capsule.into_parts();
    let shares = verdicts.into_iter().zip(spent).zip(planned);
    let shares = shares.map(|((verdict, spent), share)| CommittedShare {
        verdict,
        sent_bytes: spent.sent_bytes,
        key_bytes: spent.key_bytes,
        reserve: KeyBytes {
            to_site_bytes: needed(share).reserve_to_site_bytes,
            from_site_bytes: needed(share).reserve_from_site_bytes,
        },
        receipt_unix_s: now_unix_s,
    });
    CommitRecord {
        geometry: woven.geometry,
        masks: woven.geometry.mask_count(),
        capsule,
        class,
        stored_bytes,
        random_bytes,
        committed_unix_s: now_unix_s,
        attempts,
        shares: shares.collect(),
    }
}

/// Attempts by chunk number; mask m is chunk N + m.
fn numbered(geometry: Geometry, attempts: &BTreeMap<Slot, u32>) -> Vec<(u64, u32)> {
    let number = |slot: &Slot| match slot.class {
        ShareClass::Mask => geometry.chunk_count() + slot.index,
        _ => slot.index,
    };
    let mut numbered: Vec<(u64, u32)> =
        attempts.iter().map(|(slot, attempt)| (number(slot), *attempt)).collect();
    numbered.sort_unstable();
    numbered
}

/// The name of a share in a store.
pub(crate) fn share_name(object: ObjectId, x: XCoord) -> Result<ShareName, Failure> {
    ShareName::new(&share_file_name(object, x)).map_err(|error| {
        Failure::new(Class::Other, "share-name", "a share can't be named").because(error)
    })
}

fn missing(site: &SiteName) -> Failure {
    Failure::new(Class::Temporary, "site-down", format!("site {site} went away"))
}
