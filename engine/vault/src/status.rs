//! `status`: what could be lost now, and how long the key lasts.

use crate::alarms::alarms;
use crate::doctor::not_enforced;
use crate::failure::{Class, Failure};
use crate::losses::{BringBack, standing};
use crate::outlook::{PoolOutlook, history_s, outlook};
use crate::plan::{error_chain, hang_up};
use crate::policy::Asked;
use crate::{Finding, JobRow, Vault};
use serde::Serialize;
use std::collections::BTreeMap;
use warifu_core::plan::{Health, PlanRequest, plan};
use warifu_core::{Channel, Geometry, SiteName, Threshold};

/// A site as `status` tells it.
#[derive(Debug, Clone, Serialize)]
pub struct SiteStatus {
    /// Its name.
    pub site: String,
    /// What burns together with it.
    pub zone: String,
    /// Whether it answered when it was last asked; `null`: not asked.
    pub up: Option<bool>,
    /// Why not.
    pub trouble: Option<String>,
    /// What to do about it.
    pub next: Option<String>,
    /// Shares there.
    pub shares: usize,
    /// Bytes free in its store; `null` where it was not asked or does not say.
    pub room_bytes: Option<u64>,
}

/// The trouble of a site that no courier has been to.
pub(crate) const NO_LINK: &str = "it has no link yet";

impl SiteStatus {
    pub(crate) fn has_no_link(&self) -> bool {
        self.trouble.as_deref() == Some(NO_LINK)
    }
}

/// What `status` answers.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// Version of this document.
    pub v: u32,
    /// The sites.
    pub sites: Vec<SiteStatus>,
    /// Objects that the sites which answer can rebuild now; `null` where sites were not asked.
    pub restorable_now: Option<usize>,
    /// What would make the others restorable; `null` where nothing is missing.
    pub bring_back: Option<BringBack>,
    /// Every largest set of sites that may be lost now, besides those that are down, with all
    /// objects still restorable. Empty above 16 sites.
    pub can_lose: Vec<Vec<String>>,
    /// Whether these are all; else there are too many sites to tell.
    pub can_lose_enumerated: bool,
    /// How many sites may be lost now besides, whichever they are; `null` where nothing is stored.
    pub can_lose_any: Option<usize>,
    /// Whether a backup can start now; `null` where sites were not asked and nothing else is in
    /// its way.
    pub can_back_up: Option<bool>,
    /// Why not.
    pub no_backup_because: Option<String>,
    /// The site that witnesses the random pool: while it is away, no backup can start.
    pub witness: Option<String>,
    /// Stored objects.
    pub objects: usize,
    /// Objects with fewer than n shares known to be good.
    pub degraded: usize,
    /// When the object whose shares were looked at longest ago was; `null`: never.
    pub oldest_verification: Option<String>,
    /// The pools, and how long they last.
    pub pools: Vec<PoolOutlook>,
    /// For how long the spend of key has been seen, in seconds.
    pub history_seconds: u64,
    /// Interrupted backups that are not settled yet.
    pub interrupted: usize,
    /// Backups that wait in the queue, those that are held back included.
    pub queued: usize,
    /// Seconds until the last of them fits by the forecast; `null`: none waits, or for one of them
    /// it can't be told.
    pub queue_fits_in_seconds: Option<u64>,
    /// Backups that are not complete, running ones and queued ones included.
    pub jobs: Vec<JobRow>,
    /// Percent of a full reserve that is kept for restores.
    pub reserve_percent: u8,
    /// What someone should look at, the worst first.
    pub alarms: Vec<Finding>,
}

/// What the next backup is likely to ask for, by which it is told whether one can start.
#[derive(Debug, Clone)]
pub struct NextBackup {
    /// Its scheme.
    pub threshold: Threshold,
    /// Sites that must get a share.
    pub pins: Vec<SiteName>,
    /// Sites that must not.
    pub exclusions: Vec<SiteName>,
}

/// The smallest backup that is worth the name, in bytes.
const SMALL_BACKUP_BYTES: u64 = 64 << 10;

impl Vault {
    /// Asks every site, all at once, whether it is there. Takes a little key of each link.
    ///
    /// # Errors
    /// Where catalog or key store fails.
    pub fn ask_sites(&self) -> Result<Vec<SiteStatus>, Failure> {
        let sites = self.catalog()?.sites()?;
        let mut reached = self.reach(sites.iter(), &mut BTreeMap::new())?;
        let mut rows = self.unasked_sites()?;
        for (row, site) in rows.iter_mut().zip(&sites) {
            let answer =
                match (site.channel, reached.remove(&site.site)) {
                    (Channel::Local, _) => {
                        self.local_store(site).and_then(|store| Ok(store.room_bytes()?))
                    }
                    (_, None) => Err(Failure::new(Class::Key, "link-missing", NO_LINK)
                        .next(link_order(&row.site))),
                    (_, Some(Err(error))) => Err(Failure::from(error)),
                    (_, Some(Ok(answer))) => {
                        hang_up(answer.peer);
                        match answer.name == site.site {
                            true => Ok(Some(answer.room_bytes).filter(|room| *room != u64::MAX)),
                            false => {
                                let what = format!("the site at {} is {}", site.url, answer.name);
                                Err(Failure::new(Class::Authentication, "site-other", what))
                            }
                        }
                    }
                };
            row.up = Some(answer.is_ok());
            match answer {
                Ok(room_bytes) => row.room_bytes = room_bytes,
                Err(failure) => {
                    row.next = Some(match failure.class() {
                        Class::Temporary => {
                            format!("check that the site runs; see `warifu site test {}`", row.site)
                        }
                        _ => failure.advice().to_owned(),
                    });
                    row.trouble = Some(trouble(&failure));
                }
            }
        }
        Ok(rows)
    }

    /// The sites without asking any: takes no key.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn unasked_sites(&self) -> Result<Vec<SiteStatus>, Failure> {
        let row = |site: crate::SiteRow| SiteStatus {
            site: site.site,
            zone: site.zone,
            up: None,
            trouble: None,
            next: None,
            shares: site.shares,
            room_bytes: None,
        };
        Ok(self.sites()?.into_iter().map(row).collect())
    }

    /// What holds and what could be lost, given what was seen of the sites. Takes no key.
    ///
    /// # Errors
    /// Where catalog or key store fails.
    pub fn status_of(
        &self,
        sites: Vec<SiteStatus>,
        next: &NextBackup,
    ) -> Result<StatusReport, Failure> {
        let objects = self.catalog()?.objects()?;
        let jobs = self.jobs()?;
        let is_down = |site: &&SiteStatus| site.up == Some(false);
        let down = sites.iter().filter(is_down).map(|site| site.site.as_str()).collect();
        let standing = standing(&objects, &down);
        let is_asked = sites.iter().all(|site| site.up.is_some());
        let hindrance = self.hindrance(&sites, next)?;
        let now = self.now_unix_s();
        let mut report = StatusReport {
            v: 1,
            restorable_now: Some(standing.restorable).filter(|_| is_asked),
            bring_back: standing.bring_back,
            can_lose: standing.can_lose,
            can_lose_enumerated: standing.is_enumerated,
            can_lose_any: standing.can_lose_any,
            can_back_up: if hindrance.is_some() { Some(false) } else { is_asked.then_some(true) },
            no_backup_because: hindrance,
            witness: self.witness()?.map(|site| site.to_string()),
            objects: objects.len(),
            degraded: objects.iter().filter(|object| object.is_degraded()).count(),
            oldest_verification: None,
            pools: outlook(self.key_status()?, &objects, now, next.threshold),
            history_seconds: history_s(&objects, now),
            interrupted: jobs.iter().filter(|job| job.state == "interrupted").count(),
            queued: jobs.iter().filter(|job| job.queue.is_some()).count(),
            queue_fits_in_seconds: queue_fits_in_s(&jobs),
            jobs,
            reserve_percent: self.config.restore.reserve_percent,
            alarms: Vec::new(),
            sites,
        };
        report.alarms = alarms(&report, standing.beyond);
        report.alarms.extend(self.config.consent.warning().map(not_enforced));
        Ok(report)
    }

    /// The site that witnesses leases of the random pool. A site's vault has no such pool.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn witness(&self) -> Result<Option<SiteName>, Failure> {
        match self.is_site() {
            true => Ok(None),
            false => Ok(self.catalog()?.witness()?),
        }
    }

    /// Why no backup can start, of however little; `None` where one can, as far as is known.
    fn hindrance(
        &self,
        sites: &[SiteStatus],
        next: &NextBackup,
    ) -> Result<Option<String>, Failure> {
        let seen: BTreeMap<&str, &SiteStatus> =
            sites.iter().map(|site| (site.site.as_str(), site)).collect();
        let mut candidates = Vec::new();
        let known = self.catalog()?.sites()?;
        let asked = Asked { pins: &next.pins, exclusions: &next.exclusions, ..Asked::default() };
        let ruled = self.ruled(&known, asked);
        for site in known {
            // What it is without having been asked is what key and settings say of it.
            let mut candidate = self.candidate(&site, None)?;
            let Some(seen) = seen.get(site.site.as_str()) else { continue };
            candidate.room_bytes = seen.room_bytes;
            if site.link.is_some() || site.channel == Channel::Local {
                candidate.health = match &seen.trouble {
                    Some(trouble) => Health::Down(trouble.clone()),
                    None => Health::Up,
                };
            }
            candidates.push(candidate);
        }
        let (threshold, n) = (next.threshold, next.threshold.n());
        let up = |candidate: &&warifu_core::plan::Candidate| {
            candidate.health == Health::Up
                && !candidate.draining
                && !ruled.exclusions.contains(&candidate.site)
        };
        let answering = candidates.iter().filter(up).count();
        if answering < n {
            let verb = if answering == 1 { "answers" } else { "answer" };
            return Ok(Some(format!("{threshold} needs {n} sites, {answering} {verb}")));
        }
        let witness = self.witness()?;
        let away = |site: &&SiteStatus| {
            witness.as_ref().is_some_and(|witness| site.site == witness.as_str())
                && site.up == Some(false)
        };
        if let Some(witness) = sites.iter().find(away) {
            let what = "which witnesses the random pool, does not answer";
            return Ok(Some(format!("{}, {what}", witness.site)));
        }
        let geometry = Geometry::new(SMALL_BACKUP_BYTES).map_err(|error| {
            Failure::new(Class::Other, "internal", "a small backup has no shape").because(error)
        })?;
        let request = PlanRequest {
            threshold,
            geometry,
            candidates: &candidates,
            random_bytes: self
                .random_left()?
                .saturating_sub(self.catalog()?.planned_random_bytes()?),
            overrides: &[],
            pins: &ruled.pins,
            exclusions: &ruled.exclusions,
            zone_shares_max: ruled.zone_shares_max,
        };
        Ok(plan(&request).err().map(|refusal| refusal.to_string()))
    }
}

/// When the last one in the queue fits; `None` where none waits or one has no time.
fn queue_fits_in_s(jobs: &[JobRow]) -> Option<u64> {
    let rows = jobs.iter().filter_map(|job| job.queue.as_ref());
    let waiting = rows.filter(|row| row.held_because.is_none());
    let times: Option<Vec<u64>> = waiting.map(|row| row.fits_in_seconds).collect();
    times?.into_iter().max()
}

/// How a site without a link gets one.
pub(crate) fn link_order(site: &str) -> String {
    format!("warifu key generate --site {site} --bytes SIZE --courier DRIVE")
}

/// Why a site can't be used: the causes alone, as that it can't be is said already.
fn trouble(failure: &Failure) -> String {
    std::error::Error::source(failure).map_or_else(|| failure.to_string(), error_chain)
}
