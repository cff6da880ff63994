//! One backup under way: its lanes, what is woven into them, and how it ends.

use super::BackupRequest;
use super::source::OpenSource;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::{Progress, Vault, Watch};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use warifu_backend::ShareName;
use warifu_buffers::Block;
use warifu_catalog::{CommitRecord, CommittedShare, KeyBytes, Site};
use warifu_core::capsule::{Capsule, CapsuleHead, ShareEntry, Verdict};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::plan::{PlannedShare, need};
use warifu_core::share_file::share_file_name;
use warifu_core::sharing::SplitPlan;
use warifu_core::{Channel, Geometry, KeyClass, ObjectId, Role, SiteName, Threshold, XCoord};
use warifu_link::ShareClass;
use warifu_pipeline::backup::driver::{RunError, at_every_lane, run};
use warifu_pipeline::backup::lane::{Lane, LaneError, Spent};
use warifu_pipeline::backup::local::LocalLane;
use warifu_pipeline::backup::remote::{Dial, RemoteLane};
use warifu_pipeline::backup::weave::{Slot, Weaver};
use warifu_pipeline::driver::Driver;
use warifu_pipeline::hashes::ShareHashes;
use warifu_pipeline::peer::{Peer, ShareAddress};
use warifu_pipeline::random::RandomSource;
use warifu_pipeline::share::{CommitOrder, Draft, ShareWriter};
use warifu_pipeline::source::PayloadSource;

/// Memory that is not chunks on their way, in bytes.
pub(crate) const MEMORY_FIXED_BYTES: u64 = 48 << 20;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// Chunks on their way at once, at most.
const WINDOW_MAX: u64 = 8;

/// A backup that has its object ID, placement and random numbers.
pub(super) struct Job<'a> {
    pub(super) vault: &'a Vault,
    pub(super) request: &'a BackupRequest,
    pub(super) object: ObjectId,
    pub(super) created_unix_s: u64,
    pub(super) shares: Vec<PlannedShare>,
    pub(super) sites: BTreeMap<SiteName, Site>,
    pub(super) class: KeyClass,
    pub(super) random: RandomSource,
}

/// What the lanes hold when all is woven.
pub(super) struct Woven {
    pub(super) geometry: Geometry,
    pub(super) capsule: Capsule,
    pub(super) attempts: BTreeMap<Slot, u32>,
}

impl Job<'_> {
    /// One lane for each share, in the order of x.
    pub(super) fn lanes(
        &self,
        mut peers: BTreeMap<SiteName, Peer>,
    ) -> Result<Vec<Box<dyn Lane>>, Failure> {
        let mut lanes: Vec<Box<dyn Lane>> = Vec::new();
        for share in &self.shares {
            let site = self.sites.get(&share.site).ok_or_else(|| missing(&share.site))?;
            let hashes = ShareHashes::new(self.vault.isa, share.x, self.random.block()?);
            let failed = |source| RunError::Lane { site: share.site.clone(), source };
            match share.channel {
                Channel::Otp => {
                    let mut peer = peers.remove(&share.site).ok_or_else(|| missing(&share.site))?;
                    peer.expect_to_send(
                        share.need.to_site_bytes - share.need.reserve_to_site_bytes,
                    );
                    let patience = Duration::from_secs(self.vault.config.limits.patience_seconds);
                    let patience = Patience::For(patience);
                    let dial = self.vault.dialer(site, Purpose::Store, patience)?;
                    let lane = self.remote_lane(share, peer, dial, hashes).map_err(failed)?;
                    lanes.push(Box::new(lane));
                }
                _ => lanes.push(Box::new(self.local_lane(share, site, hashes)?)),
            }
        }
        Ok(lanes)
    }

    fn remote_lane(
        &self,
        share: &PlannedShare,
        peer: Peer,
        dial: Dial,
        hashes: ShareHashes,
    ) -> Result<RemoteLane, LaneError> {
        let address = ShareAddress { object: self.object, x: share.x };
        let scheme = (self.request.threshold, share.role);
        let hashing = (self.vault.isa, hashes);
        let lane = RemoteLane::begin(share.site.clone(), peer, dial, address, scheme, hashing)?;
        Ok(lane.with_clock(self.vault.clock.clone()))
    }

    fn local_lane(
        &self,
        share: &PlannedShare,
        site: &Site,
        hashes: ShareHashes,
    ) -> Result<LocalLane, Failure> {
        let draft = Draft {
            object: self.object,
            x: share.x,
            threshold: self.request.threshold,
            role: share.role,
            link: None,
        };
        let store = self.vault.local_store(site)?;
        let name = share_name(self.object, share.x)?;
        let writer = ShareWriter::begin(store.as_ref(), &name, draft);
        let failed = |source| RunError::Lane { site: share.site.clone(), source };
        let writer = writer.map_err(|error| failed(LaneError::from(error)))?;
        Ok(LocalLane::new(share.site.clone(), writer, self.random.clone(), hashes))
    }

    /// Brings data, masks and capsule to all lanes.
    pub(super) fn weave(
        &self,
        lanes: &mut [Box<dyn Lane>],
        source: OpenSource<'_>,
        watch: Watch<'_>,
    ) -> Result<(Woven, u64), Failure> {
        let x_of = |role| {
            let shares = self.shares.iter().filter(move |share| share.role == role);
            shares.map(|share| share.x).collect::<Vec<XCoord>>()
        };
        let threshold = self.request.threshold;
        let split = SplitPlan::new(threshold, &x_of(Role::Pad), &x_of(Role::Computed));
        let split = split.map_err(|error| {
            Failure::new(Class::Other, "placement", "the plan can't be shared").because(error)
        })?;
        let roles = self.shares.iter().map(|share| share.role).collect();
        let mut weaver = Weaver::new(self.vault.isa, split, roles);
        let window = window(self.vault.config.limits.memory_bytes, threshold);
        let driver = &self.vault.world.driver();
        let woven = weave_data(driver, &mut weaver, lanes, window, source, watch)?;
        let (geometry, data_bytes) = woven;
        weave_masks(driver, &mut weaver, lanes, window, geometry.mask_count())?;
        let mut attempts = weaver.attempts().clone();
        let verdicts =
            lanes.iter().map(|lane| lane.verdict(geometry.chunk_count(), geometry.mask_count()));
        let is_computational = lanes.iter().any(|lane| lane.spent().is_computational);
        let drawn = if is_computational { KeyClass::Computational } else { self.random.class() };
        let class = self.class.max(drawn);
        let capsule = self.capsule(geometry, class, &attempts, verdicts.collect())?;
        let points = (0..=threshold.n()).map(|_| self.random.block());
        let points = points.collect::<Result<Vec<_>, _>>()?;
        let encoded = capsule.encode(self.vault.isa, &points);
        weave_capsule(driver, &mut weaver, lanes, window, &encoded)?;
        attempts.retain(|slot, _| slot.class != ShareClass::Capsule);
        Ok((Woven { geometry, capsule, attempts }, data_bytes))
    }

    fn capsule(
        &self,
        geometry: Geometry,
        class: KeyClass,
        attempts: &BTreeMap<Slot, u32>,
        verdicts: Vec<Verdict>,
    ) -> Result<Capsule, Failure> {
        let entry = |share: &PlannedShare| ShareEntry {
            x: share.x,
            role: share.role,
            channel: share.channel,
            link: self.sites.get(&share.site).and_then(|site| site.link),
            site: share.site.clone(),
            zone: share.zone.clone(),
            domain: share.domain.clone(),
        };
        let head = CapsuleHead {
            threshold: self.request.threshold,
            class,
            object: self.object,
            geometry,
            masks: geometry.mask_count(),
            created_unix_s: self.created_unix_s,
            individual: self.request.individual.clone(),
            label: self.request.label.clone(),
            binding: Vec::new(),
            shares: self.shares.iter().map(entry).collect(),
            attempts: numbered(geometry, attempts),
        };
        Capsule::new(head, verdicts).map_err(|error| {
            Failure::new(Class::Other, "capsule", "the capsule can't be made").because(error)
        })
    }

    /// Completes every share durably.
    pub(super) fn commit(&self, lanes: &mut [Box<dyn Lane>], woven: &Woven) -> Result<(), Failure> {
        let order = CommitOrder {
            geometry: woven.geometry,
            masks: woven.geometry.mask_count(),
            capsule: woven.capsule.shape(),
            attempts: &woven.attempts,
        };
        Ok(at_every_lane(&self.vault.world.driver(), lanes, |lane| lane.commit(&order))?)
    }

    /// Makes the object listed.
    pub(super) fn record(&self, woven: Woven, spent: &[Spent]) -> Result<(), Failure> {
        let (capsule, class) = (woven.capsule.shape(), woven.capsule.head().class);
        let now = self.vault.now_unix_s();
        let (_, verdicts) = woven.capsule.into_parts();
        // Compressed, or a stream, it may have become shorter than was planned for.
        let needed = |share: &PlannedShare| {
            need(self.request.threshold, woven.geometry, share.role, share.channel)
        };
        let stored_bytes = self.shares.iter().map(|share| needed(share).store_bytes).sum();
        let shares = verdicts.into_iter().zip(spent).zip(&self.shares);
        let shares = shares.map(|((verdict, spent), share)| CommittedShare {
            verdict,
            sent_bytes: spent.sent_bytes,
            key_bytes: spent.key_bytes,
            reserve: KeyBytes {
                to_site_bytes: needed(share).reserve_to_site_bytes,
                from_site_bytes: needed(share).reserve_from_site_bytes,
            },
            receipt_unix_s: now,
        });
        let record = CommitRecord {
            geometry: woven.geometry,
            masks: woven.geometry.mask_count(),
            capsule,
            class,
            stored_bytes,
            random_bytes: self.random.drawn_bytes(),
            committed_unix_s: now,
            attempts: numbered(woven.geometry, &woven.attempts),
            shares: shares.collect(),
        };
        Ok(self.vault.catalog()?.commit(&self.object, &record)?)
    }

    /// Clears away what was written. The intent goes only where nothing can be left; what a site
    /// that is away still has is collected later.
    pub(super) fn give_up(&self, lanes: Vec<Box<dyn Lane>>, failure: Failure) -> Failure {
        lanes.into_iter().for_each(|mut lane| {
            lane.abandon();
            lane.close();
        });
        self.vault.return_random(&self.random);
        // Every site is asked, whatever the others said.
        let remaining = self.shares.iter().filter(|share| {
            let discarded = self.vault.discard(self.object, share.x, &share.site);
            discarded.inspect_err(|error| tracing::warn!(site = %share.site, %error)).is_err()
        });
        let cleared = remaining.count() == 0;
        let catalog = self.vault.catalog();
        if cleared && let Ok(catalog) = catalog {
            let abandoned = catalog.abandon(&self.object);
            drop(abandoned.inspect_err(|error| tracing::warn!(%error, "the intent remains")));
        }
        failure
    }
}

fn weave_data(
    driver: &Driver,
    weaver: &mut Weaver,
    lanes: &mut [Box<dyn Lane>],
    window: usize,
    source: OpenSource<'_>,
    watch: Watch<'_>,
) -> Result<(Geometry, u64), Failure> {
    let (stream, attributes, watched) = source.into_parts();
    let planned_bytes = watched.planned.payload_bytes;
    let mut payload = PayloadSource::new(stream, &attributes, watched.shape).map_err(|error| {
        Failure::new(Class::Usage, "source-name", "the source's name can't be stored")
            .because(error)
    })?;
    let mut index = 0;
    // Of the source: how much it takes when it is compressed shows at its end only.
    let read_bytes = Cell::new(0);
    let mut next = || {
        let chunk = payload.next_chunk();
        read_bytes.set(payload.data_bytes());
        if watch.stop.load(Ordering::Relaxed) {
            return Err(RunError::Stopped);
        }
        let Some(chunk) = chunk? else { return Ok(None) };
        if payload.payload_bytes() > planned_bytes {
            return Err(RunError::SourceGrew { planned_bytes });
        }
        let slot = Slot { class: ShareClass::Data, index };
        index += 1;
        Ok(Some((slot, chunk)))
    };
    let shares = lanes.len() as u64;
    let mut stored_bytes = 0;
    let mut done = |_: Slot| {
        stored_bytes = (stored_bytes + CHUNK).min(planned_bytes);
        let key_bytes = stored_bytes * shares;
        let (done_bytes, total_bytes) = (read_bytes.get(), watched.planned.data_bytes);
        (watch.progress)(Progress { done_bytes, total_bytes, key_bytes });
    };
    let ran = run(driver, weaver, lanes, window, &mut next, &mut done);
    ran.map_err(|error| watched.explained(error))?;
    watched.expect_unchanged(payload.data_bytes())?;
    let geometry = Geometry::new(payload.payload_bytes()).map_err(|error| {
        Failure::new(Class::Limit, "source-too-long", "the source is too long").because(error)
    })?;
    Ok((geometry, payload.data_bytes()))
}

fn weave_masks(
    driver: &Driver,
    weaver: &mut Weaver,
    lanes: &mut [Box<dyn Lane>],
    window: usize,
    masks: u32,
) -> Result<(), Failure> {
    let mut left = 0..u64::from(masks);
    let mut next = || {
        let slot = left.next().map(|index| Slot { class: ShareClass::Mask, index });
        Ok(slot.map(|slot| (slot, Block::zeroed(0))))
    };
    Ok(run(driver, weaver, lanes, window, &mut next, &mut |_| ())?)
}

fn weave_capsule(
    driver: &Driver,
    weaver: &mut Weaver,
    lanes: &mut [Box<dyn Lane>],
    window: usize,
    capsule: &[u8],
) -> Result<(), Failure> {
    let mut pieces = capsule.chunks(CHUNK_BYTES as usize).zip(0..);
    let mut next = || {
        let piece = pieces.next().map(|(piece, index)| {
            let slot = Slot { class: ShareClass::Capsule, index };
            let mut block = Block::zeroed(piece.len());
            block.copy_from_slice(piece);
            (slot, block)
        });
        Ok(piece)
    };
    Ok(run(driver, weaver, lanes, window, &mut next, &mut |_| ())?)
}

/// Chunks on their way at once under a memory ceiling: each holds its payload, its pads, and the
/// frames of its computed shares.
pub(crate) fn window(memory_bytes: u64, threshold: Threshold) -> usize {
    let each = (threshold.n() as u64 + 2) * u64::from(CHUNK_BYTES);
    (memory_bytes.saturating_sub(MEMORY_FIXED_BYTES) / each).clamp(1, WINDOW_MAX) as usize
}

/// Refuses an object whose hashes alone would not leave room under the memory ceiling: they are
/// held until the end, in the lanes, in the verdicts, and in the capsule.
///
/// # Errors
/// Where the object is too large for the ceiling.
pub(crate) fn expect_room_for_hashes(
    memory_bytes: u64,
    threshold: Threshold,
    geometry: Geometry,
) -> Result<(), Failure> {
    const COPIES: u64 = 4;
    let hashes = 16 * threshold.n() as u64 * (geometry.chunk_count() + 1);
    let needed = MEMORY_FIXED_BYTES + COPIES * hashes + (threshold.n() as u64 + 2) * CHUNK;
    match needed <= memory_bytes {
        true => Ok(()),
        false => Err(Failure::new(
            Class::Limit,
            "memory-ceiling",
            format!("storing this at {threshold} takes about {needed} bytes of memory"),
        )
        .next("raise limits.memory_bytes in config.toml, or store it in parts")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_before_it_is_needed() {
        let threshold = Threshold::new(3, 5).unwrap();
        let ceiling = 256 << 20;
        let gib = |count: u64| Geometry::new(count << 30).unwrap();
        assert!(expect_room_for_hashes(ceiling, threshold, gib(100)).is_ok());
        let refused = expect_room_for_hashes(ceiling, threshold, gib(1000)).unwrap_err();
        assert_eq!(refused.class(), Class::Limit);
        assert!(expect_room_for_hashes(1 << 30, threshold, gib(1000)).is_ok());
        assert!((1..=8).contains(&window(ceiling, threshold)));
        assert_eq!(window(64 << 20, Threshold::new(2, 255).unwrap()), 1);
    }
}
