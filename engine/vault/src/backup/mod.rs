//! `backup`: a source becomes n shares at n sites, or nothing.

mod job;
mod source;

pub(crate) use job::{MEMORY_FIXED_BYTES, expect_room_for_hashes, share_name, window};

use crate::batch::Carried;
use crate::failure::{Class, Failure};
use crate::plan::{Placed, Wanted, hang_up};
use crate::report::{ObjectReport, ShareReport, overridden};
use crate::{Vault, Watch};
use job::Job;
use serde::Serialize;
use source::OpenSource;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use warifu_catalog::{Holder, NewObject, NewShare};
use warifu_core::plan::{Override, PlannedShare};
use warifu_core::{Geometry, IndividualId, SiteName, Threshold};
use warifu_pipeline::backup::lane::Spent;
use warifu_pipeline::peer::Peer;
use warifu_pipeline::random::RandomSource;
use warifu_pipeline::source::Compression;

/// What is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input, of at most so many bytes; asked of the system where it is a file.
    Stdin {
        /// Upper bound that key is planned for.
        size_bytes: Option<u64>,
    },
}

/// A backup to be made.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// What to store.
    pub source: Source,
    /// Whose it is; enrolled.
    pub individual: IndividualId,
    /// The scheme.
    pub threshold: Threshold,
    /// A label that the operator declares public.
    pub label: Option<String>,
    /// Placement rules gone against by name.
    pub overrides: Vec<Override>,
    /// Sites that must be used.
    pub pins: Vec<SiteName>,
    /// Sites that must not be used.
    pub exclusions: Vec<SiteName>,
    /// Whether the source is compressed.
    pub compression: Compression,
    /// Whether the length is rounded up coarsely; that of what is compressed always is.
    pub pad: bool,
}

/// One share of a placement that was only planned.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedRow {
    /// Its site.
    pub site: String,
    /// Its x-coordinate.
    pub x: u8,
    /// `pad` or `computed`.
    pub role: &'static str,
    /// `otp` or `local`.
    pub channel: &'static str,
    /// Key towards the site, at most.
    pub to_site_bytes: u64,
    /// Key from the site, a restore's reserve included, at most.
    pub from_site_bytes: u64,
}

/// What a backup would do.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// Version of this document.
    pub v: u32,
    /// `plan`.
    pub r#type: &'static str,
    /// Bytes that would be protected.
    pub stored_bytes: u64,
    /// `information-theoretic` or `computational`.
    pub class: &'static str,
    /// Corrupt sites that would say nothing together.
    pub tolerates_corrupt_sites: usize,
    /// Key of the `random` pool, at most.
    pub random_bytes: u64,
    /// The shares.
    pub shares: Vec<PlannedRow>,
}

impl Vault {
    /// Stores one source. When it returns, n shares are durable at n sites and the catalog knows.
    ///
    /// # Errors
    /// Where no placement is admissible, key does not cover it, the source can't be read or
    /// changes, or a site fails. Nothing is listed then, and what was written is cleared away.
    pub fn backup(
        &self,
        request: &BackupRequest,
        watch: Watch<'_>,
    ) -> Result<ObjectReport, Failure> {
        self.catalog()?.individual(&request.individual)?;
        self.collect_litter()?;
        let mut nobody = |_| ();
        let mut carried = Carried::nothing(&mut nobody);
        let stored = self.backup_carrying(request, watch, &mut carried);
        carried.hang_up();
        stored
    }

    /// As [`backup`](Self::backup), for one of several objects: over the connections that are
    /// `carried` from the one before. Litter is left to the caller.
    pub(crate) fn backup_carrying(
        &self,
        request: &BackupRequest,
        watch: Watch<'_>,
        carried: &mut Carried<'_>,
    ) -> Result<ObjectReport, Failure> {
        let started = self.clock.elapsed();
        self.catalog()?.individual(&request.individual)?;
        let mut source = source::open(request, watch.stop)?;
        let placed = self.place_source(request, &mut source, &mut carried.peers, watch.stop)?;
        let planned = source.layout.geometry();
        let plan = placed.plan.clone();
        let (job, peers) = self.begin(request, planned, placed, carried)?;
        let mut lanes = match job.lanes(peers) {
            Ok(lanes) => carried.timed(lanes),
            Err(failure) => return Err(job.give_up(Vec::new(), failure)),
        };
        let woven = match job.weave(&mut lanes, source, watch) {
            Ok(woven) => woven,
            Err(failure) => return Err(job.give_up(lanes, failure)),
        };
        let (woven, data_bytes) = woven;
        (carried.before_listing)(job.object);
        if let Err(failure) = job.commit(&mut lanes, &woven) {
            return Err(job.give_up(lanes, failure));
        }
        let spent: Vec<Spent> = lanes.iter().map(|lane| lane.spent()).collect();
        let (stored_bytes, class) = (woven.geometry.payload_bytes(), woven.capsule.head().class);
        job.record(woven, &spent)?;
        carried.take_back(lanes);
        self.return_random(&job.random);
        let seconds = (self.clock.elapsed() - started).as_secs_f64();
        Ok(ObjectReport {
            v: 1,
            r#type: "object",
            object: job.object.to_string(),
            individual: request.individual.to_string(),
            bytes: data_bytes,
            stored_bytes,
            k: request.threshold.k_byte(),
            n: request.threshold.n_byte(),
            class: class.as_str(),
            tolerates_corrupt_sites: plan.tolerates_corrupt_sites,
            shares: plan.shares.iter().zip(&spent).map(share_report).collect(),
            random_bytes: job.random.drawn_bytes(),
            overridden: plan.overridden.iter().map(overridden).collect(),
            seconds,
            bytes_per_second: data_bytes as f64 / seconds.max(1e-9),
        })
    }

    /// Plans a backup and spends nothing but the key of asking the sites.
    ///
    /// # Errors
    /// As [`backup`](Self::backup), before anything is stored.
    pub fn dry_run(&self, request: &BackupRequest) -> Result<PlanReport, Failure> {
        self.catalog()?.individual(&request.individual)?;
        let never = AtomicBool::new(false);
        let mut source = source::open(request, &never)?;
        let placed = self.place_source(request, &mut source, &mut BTreeMap::new(), &never)?;
        let geometry = source.layout.geometry();
        drop(placed.lock);
        placed.peers.into_values().for_each(hang_up);
        Ok(PlanReport {
            v: 1,
            r#type: "plan",
            stored_bytes: geometry.payload_bytes(),
            class: placed.class.as_str(),
            tolerates_corrupt_sites: placed.plan.tolerates_corrupt_sites,
            random_bytes: placed.plan.random_bytes,
            shares: placed.plan.shares.iter().map(planned_row).collect(),
        })
    }

    /// Plans for a source as long as it may get. Where that is too much and the source is a file to
    /// be compressed, it is read once to count what it takes.
    fn place_source(
        &self,
        request: &BackupRequest,
        source: &mut OpenSource<'_>,
        peers: &mut BTreeMap<SiteName, Peer>,
        stop: &AtomicBool,
    ) -> Result<Placed, Failure> {
        let mut place = |geometry| {
            expect_room_for_hashes(self.config.limits.memory_bytes, request.threshold, geometry)?;
            self.place(&wanted(request, geometry), peers)
        };
        match place(source.layout.geometry()) {
            Err(failure) if is_short(&failure) && source.count(stop)? => {
                place(source.layout.geometry())
            }
            outcome => outcome,
        }
    }

    /// Records the intent and leases the random numbers; from here on something may be left
    /// behind, and the intent tells where.
    fn begin<'a>(
        &'a self,
        request: &'a BackupRequest,
        geometry: Geometry,
        mut placed: Placed,
        carried: &mut Carried<'_>,
    ) -> Result<(Job<'a>, BTreeMap<SiteName, Peer>), Failure> {
        let random = self.lease_random(placed.plan.random_bytes, &mut placed.peers);
        let random = random.map(RandomSource::new);
        let random = random.inspect_err(|_| {
            std::mem::take(&mut placed.peers).into_values().for_each(hang_up);
        })?;
        let chosen: Vec<&SiteName> = placed.plan.shares.iter().map(|share| &share.site).collect();
        let (peers, idle): (BTreeMap<_, _>, BTreeMap<_, _>) =
            placed.peers.into_iter().partition(|(site, _)| chosen.contains(&site));
        let (object, created_unix_s) = (self.fresh_object()?, self.now_unix_s());
        let shares = placed.plan.shares.iter().map(|planned| NewShare {
            link: placed.sites.get(&planned.site).and_then(|site| site.link),
            planned: planned.clone(),
        });
        self.catalog()?.begin(&NewObject {
            object,
            individual: request.individual.clone(),
            threshold: request.threshold,
            class: placed.class,
            label: request.label.clone(),
            created_unix_s,
            geometry,
            random_bytes: placed.plan.random_bytes,
            overridden: placed.plan.overridden.clone(),
            shares: shares.collect(),
            holder: Holder { incarnation: self.keys.incarnation(), pid: std::process::id() },
        })?;
        drop(placed.lock);
        carried.take_idle(idle, geometry);
        let (shares, sites, class) = (placed.plan.shares, placed.sites, placed.class);
        let job =
            Job { vault: self, request, object, created_unix_s, shares, sites, class, random };
        Ok((job, peers))
    }
}

/// Whether less to store could have gone through.
fn is_short(failure: &Failure) -> bool {
    matches!(failure.class(), Class::Key | Class::Limit)
}

fn wanted(request: &BackupRequest, geometry: Geometry) -> Wanted<'_> {
    Wanted {
        threshold: request.threshold,
        geometry,
        overrides: &request.overrides,
        pins: &request.pins,
        exclusions: &request.exclusions,
    }
}

fn share_report((share, spent): (&PlannedShare, &Spent)) -> ShareReport {
    ShareReport {
        site: share.site.to_string(),
        x: share.x.get(),
        role: share.role.as_str(),
        channel: share.channel.as_str(),
        key_bytes: spent.key_bytes,
        sent_bytes: spent.sent_bytes,
    }
}

fn planned_row(share: &PlannedShare) -> PlannedRow {
    PlannedRow {
        site: share.site.to_string(),
        x: share.x.get(),
        role: share.role.as_str(),
        channel: share.channel.as_str(),
        to_site_bytes: share.need.to_site_bytes,
        from_site_bytes: share.need.from_site_bytes,
    }
}
