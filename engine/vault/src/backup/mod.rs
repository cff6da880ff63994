//! `backup`: a source becomes n shares at n sites, or nothing.

mod job;
mod rest;
mod resume;
mod source;
mod weaving;

pub(crate) use job::share_name;
pub(crate) use resume::{is_made_here, request_of};
pub(crate) use source::{Treatment, bytes_at_most, identify, lies_within, measure, measure_stream};

use crate::batch::Carried;
use crate::failure::{Class, Failure};
use crate::jobs::running;
use crate::journal::{Header, SharePlace, Standing};
use crate::memory::expect_room_for_hashes;
use crate::plan::{Placed, Wanted, hang_up};
use crate::policy::Asked;
use crate::report::{ObjectReport, ShareReport, overridden};
use crate::{Vault, Watch};
use job::Job;
use resume::{Ready, Taken, encoding};
use serde::Serialize;
use source::OpenSource;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use warifu_buffers::copied_bytes;
use warifu_catalog::{NewObject, NewShare, StoredShare};
use warifu_core::plan::{Override, Plan, PlannedShare};
use warifu_core::{Channel, Geometry, IndividualId, ObjectId, SiteName, Threshold};
use warifu_pipeline::peer::Peer;
use warifu_pipeline::source::Compression;
use weaving::Diary;

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

/// What clock and counter said when a run began.
#[derive(Clone, Copy)]
struct Started {
    at: Duration,
    copied_bytes: u64,
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

impl BackupRequest {
    /// A backup of `source` as it is: not compressed, not padded, without a label, wherever the
    /// policy allows.
    #[must_use]
    pub const fn new(source: Source, individual: IndividualId, threshold: Threshold) -> Self {
        Self {
            source,
            individual,
            threshold,
            label: None,
            overrides: Vec::new(),
            pins: Vec::new(),
            exclusions: Vec::new(),
            compression: Compression::None,
            pad: false,
        }
    }
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

/// Whether to begin afresh or to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To go on where there is something to go on with.
    Either,
    /// To go on and not to begin.
    Resume,
    /// To go on with this very object.
    ResumeOf(ObjectId),
}

impl Vault {
    /// Stores one source. When it returns, n shares are durable at n sites and the catalog knows.
    /// A backup of the same unchanged file that was interrupted goes on where it stopped.
    ///
    /// # Errors
    /// Where no placement is admissible, key does not cover it, the source can't be read or
    /// changes, another process stores it already, or a site fails. Nothing is listed then. What
    /// was written is kept where it can go on, and cleared away else.
    pub fn backup(
        &self,
        request: &BackupRequest,
        watch: Watch<'_>,
    ) -> Result<ObjectReport, Failure> {
        self.store_alone(request, watch, Wish::Either)
    }

    /// As [`backup`](Self::backup), for a backup that was interrupted: a new one is not begun.
    ///
    /// # Errors
    /// As `backup`, and where there is nothing to go on with.
    pub fn resume_backup(
        &self,
        request: &BackupRequest,
        watch: Watch<'_>,
    ) -> Result<ObjectReport, Failure> {
        self.store_alone(request, watch, Wish::Resume)
    }

    /// Stores one source over connections of its own.
    pub(crate) fn store_alone(
        &self,
        request: &BackupRequest,
        watch: Watch<'_>,
        wish: Wish,
    ) -> Result<ObjectReport, Failure> {
        self.catalog()?.individual(&request.individual)?;
        self.expect_card(&request.individual)?;
        self.collect_litter()?;
        let mut asked = vec![request.clone()];
        // A journal tells what was done, and not whether just that was asked for.
        if matches!(wish, Wish::ResumeOf(_)) && source::is_automatic(request) {
            asked.push(BackupRequest { compression: Compression::Auto, ..request.clone() });
        }
        let note = self.note_of(&asked)?;
        let mut before_listing = |object| note.iter().for_each(|note| note.write(object));
        let mut carried = Carried::nothing(&mut before_listing);
        let stored = self.store(request, watch, wish, &mut carried);
        carried.hang_up();
        stored
    }

    fn starts(&self) -> Started {
        Started { at: self.clock.elapsed(), copied_bytes: copied_bytes() }
    }

    /// Stores one source, over the connections that are `carried` from the one before. Litter is
    /// left to the caller.
    pub(crate) fn store(
        &self,
        request: &BackupRequest,
        watch: Watch<'_>,
        wish: Wish,
        carried: &mut Carried<'_>,
    ) -> Result<ObjectReport, Failure> {
        let started = self.starts();
        self.catalog()?.individual(&request.individual)?;
        self.expect_card(&request.individual)?;
        self.expect_not_own(request)?;
        let mut source = source::open(request, watch.stop)?;
        let found = self.interrupted(request, &source, wish)?;
        let object = found.as_ref().map(|intent| intent.object);
        let taken = match found {
            None if wish == Wish::Either => Taken::Gone,
            None => return Err(nothing_to_resume(&request.source)),
            Some(intent) => {
                carried.begins(intent.object)?;
                self.take_up(request, intent)?
            }
        };
        match (taken, object) {
            (Taken::Ready(ready), _) => {
                let Ready { job, lanes, journal } = *ready;
                source.layout.payload_bytes = job.header.geometry.payload_bytes();
                let diary = Diary::new(Some(journal), &job, &source, watch);
                let lanes = carried.timed(lanes);
                let data_bytes = job.carry_out(lanes, source, &diary, carried)?;
                let key_bytes = job.standing.spent.iter().map(|spent| spent.key_bytes).sum();
                let before = (job.standing.done_bytes(), Some(key_bytes));
                self.stored(&job.header.object, data_bytes, before, started)
            }
            (Taken::Listed, Some(object)) => {
                (carried.before_listing)(object);
                self.journals().erase(object)?;
                let stored_bytes = self.catalog()?.object(&object)?.geometry.payload_bytes();
                self.stored(&object, source.layout.data_bytes, (stored_bytes, None), started)
            }
            (Taken::Listed | Taken::Gone, _) => {
                self.store_afresh(request, source, (watch, started), carried)
            }
        }
    }

    fn store_afresh(
        &self,
        request: &BackupRequest,
        mut source: OpenSource<'_>,
        (watch, started): (Watch<'_>, Started),
        carried: &mut Carried<'_>,
    ) -> Result<ObjectReport, Failure> {
        let planned = carried.planned_sites;
        let placed =
            self.place_source(request, (&mut source, planned), &mut carried.peers, watch.stop)?;
        let (job, peers, planning) = self.begin(request, &source, placed, carried)?;
        let journal = match &job.header.source {
            Some(_) => self.journals().create(&job.header).map(Some),
            None => Ok(None),
        };
        // From here on, who looks for a backup of the same file finds this one.
        drop(planning);
        let journal = match journal {
            Ok(journal) => journal,
            Err(error) => {
                peers.into_values().for_each(hang_up);
                return Err(job.give_up(Vec::new(), error.into()));
            }
        };
        let diary = Diary::new(journal, &job, &source, watch);
        let lanes = match job.lanes(peers, BTreeMap::new()) {
            Ok(lanes) => carried.timed(lanes),
            Err(failure) => return Err(job.give_up(Vec::new(), failure)),
        };
        let data_bytes = job.carry_out(lanes, source, &diary, carried)?;
        self.stored(&job.header.object, data_bytes, (0, Some(0)), started)
    }

    /// What is said of an object that was just listed. Of what earlier runs stored and the key that
    /// they used, `None` stands for all.
    fn stored(
        &self,
        object: &ObjectId,
        data_bytes: u64,
        (resumed_bytes, resumed_key_bytes): (u64, Option<u64>),
        started: Started,
    ) -> Result<ObjectReport, Failure> {
        let object = self.catalog()?.object(object)?;
        let seconds = (self.clock.elapsed() - started.at).as_secs_f64();
        let key_bytes = object.shares.iter().map(|share| share.key_bytes).sum();
        let stored_bytes = object.geometry.payload_bytes();
        let stored_now = stored_bytes.saturating_sub(resumed_bytes) as f64;
        let data_now = data_bytes as f64 * stored_now / stored_bytes.max(1) as f64;
        let tls = object.shares.iter().filter(|share| share.channel == Channel::Tls).count();
        Ok(ObjectReport {
            v: 1,
            r#type: "object",
            object: object.object.to_string(),
            individual: object.individual.to_string(),
            bytes: data_bytes,
            stored_bytes,
            k: object.threshold.k_byte(),
            n: object.threshold.n_byte(),
            class: object.class.as_str(),
            tolerates_corrupt_sites: object.threshold.pads().saturating_sub(tls),
            shares: object.shares.iter().map(share_report).collect(),
            random_bytes: object.random_bytes,
            overridden: object.overridden.iter().map(overridden).collect(),
            resumed_bytes,
            resumed_key_bytes: resumed_key_bytes.unwrap_or(key_bytes),
            copied_bytes: copied_bytes() - started.copied_bytes,
            seconds,
            bytes_per_second: data_now / seconds.max(1e-9),
        })
    }

    /// Plans a backup and spends nothing but the key of asking the sites.
    ///
    /// # Errors
    /// As [`backup`](Self::backup), before anything is stored.
    pub fn dry_run(&self, request: &BackupRequest) -> Result<PlanReport, Failure> {
        self.catalog()?.individual(&request.individual)?;
        self.expect_card(&request.individual)?;
        self.expect_not_own(request)?;
        let never = AtomicBool::new(false);
        let mut source = source::open(request, &never)?;
        let placed =
            self.place_source(request, (&mut source, &[]), &mut BTreeMap::new(), &never)?;
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
    /// be compressed, it is read once to count what it takes. It goes to the planned sites where
    /// these still can take it.
    fn place_source(
        &self,
        request: &BackupRequest,
        (source, planned_sites): (&mut OpenSource<'_>, &[SiteName]),
        peers: &mut BTreeMap<SiteName, Peer>,
        stop: &AtomicBool,
    ) -> Result<Placed, Failure> {
        let mut place = |geometry| {
            expect_room_for_hashes(self.config.limits.memory_bytes, request.threshold, geometry)?;
            self.place(&Wanted { planned_sites, ..wanted(request, geometry) }, peers)
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
        source: &OpenSource<'_>,
        mut placed: Placed,
        carried: &mut Carried<'_>,
    ) -> Result<(Job<'a>, BTreeMap<SiteName, Peer>, File), Failure> {
        let object = self.fresh_object()?;
        let untaken = self.expect_untaken(request, source, carried);
        if let Err(failure) = untaken.and_then(|()| carried.begins(object)) {
            carried.peers.append(&mut placed.peers);
            return Err(failure);
        }
        let random = self.random_source(placed.plan.random_bytes, &mut placed.peers);
        let random = random.inspect_err(|_| {
            std::mem::take(&mut placed.peers).into_values().for_each(hang_up);
        })?;
        let chosen: Vec<&SiteName> = placed.plan.shares.iter().map(|share| &share.site).collect();
        let (peers, idle): (BTreeMap<_, _>, BTreeMap<_, _>) =
            placed.peers.into_iter().partition(|(site, _)| chosen.contains(&site));
        let claim = self.claim(object)?;
        let place = |share: &PlannedShare| {
            Ok(SharePlace {
                x: share.x,
                role: share.role,
                channel: share.channel,
                link: placed.sites.get(&share.site).and_then(|site| site.link),
                r: random.block()?,
                site: share.site.clone(),
                zone: share.zone.clone(),
                domain: share.domain.clone(),
            })
        };
        let header = Header {
            object,
            created_unix_s: self.now_unix_s(),
            threshold: request.threshold,
            class: placed.class,
            geometry: source.layout.geometry(),
            random_bytes: placed.plan.random_bytes,
            individual: request.individual.clone(),
            label: request.label.clone(),
            encoding: encoding(source.shape),
            source: source.resumable().cloned(),
            shares: placed.plan.shares.iter().map(place).collect::<Result<_, Failure>>()?,
        };
        self.catalog()?.begin(&self.intent_of(&header, &placed.plan))?;
        carried.take_idle(idle, header.geometry);
        let standing = Standing::new(&header);
        let (shares, sites, class) = (placed.plan.shares, placed.sites, placed.class);
        let job = Job {
            vault: self,
            request,
            header,
            shares,
            sites,
            class,
            random,
            standing,
            _claim: Some(claim),
        };
        Ok((job, peers, placed.lock))
    }

    /// Refuses to begin what somebody else began, or stored, since it was looked for. Nobody begins
    /// anything meanwhile.
    fn expect_untaken(
        &self,
        request: &BackupRequest,
        source: &OpenSource<'_>,
        carried: &Carried<'_>,
    ) -> Result<(), Failure> {
        self.interrupted(request, source, Wish::Either)?;
        // In this order: what is not running any more is in the record.
        carried.stored_meanwhile()?.map_or(Ok(()), |object| Err(running(&object)))
    }

    /// Refuses what lies in this vault's own folder: its key, of all things.
    fn expect_not_own(&self, request: &BackupRequest) -> Result<(), Failure> {
        let Source::File(path) = &request.source else { return Ok(()) };
        match lies_within(path, &self.dir) {
            false => Ok(()),
            true => {
                let what =
                    format!("{} is a part of this vault, which is not stored", path.display());
                Err(Failure::new(Class::Usage, "source-in-vault", what)
                    .next("leave it out: key that lies at the sites keeps no secret from them"))
            }
        }
    }

    fn intent_of(&self, header: &Header, plan: &Plan) -> NewObject {
        let places = plan.shares.iter().zip(&header.shares);
        let shares =
            places.map(|(planned, place)| NewShare { planned: planned.clone(), link: place.link });
        NewObject {
            object: header.object,
            individual: header.individual.clone(),
            threshold: header.threshold,
            class: header.class,
            label: header.label.clone(),
            created_unix_s: header.created_unix_s,
            geometry: header.geometry,
            random_bytes: header.random_bytes,
            overridden: plan.overridden.clone(),
            shares: shares.collect(),
            holder: self.holder(),
        }
    }
}

fn nothing_to_resume(source: &Source) -> Failure {
    let what = match source {
        Source::File(path) => {
            format!("there is no interrupted backup of {} as it is asked for", path.display())
        }
        Source::Stdin { .. } => "a stream can't be gone on with: it can't be read again".to_owned(),
    };
    Failure::new(Class::NotFound, "nothing-to-resume", what)
        .next("see `warifu jobs list`; without --resume it is stored from its beginning")
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
        asked: Asked::from(request),
        planned_sites: &[],
    }
}

fn share_report(share: &StoredShare) -> ShareReport {
    ShareReport {
        site: share.site.to_string(),
        x: share.x.get(),
        role: share.role.as_str(),
        channel: share.channel.as_str(),
        key_bytes: share.key_bytes,
        sent_bytes: share.sent_bytes,
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
