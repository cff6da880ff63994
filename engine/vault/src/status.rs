//! `status`: what could be lost now, and how long the key lasts.

use crate::alarms::alarms;
use crate::failure::{Class, Failure};
use crate::outlook::{PoolOutlook, outlook};
use crate::plan::{error_chain, hang_up};
use crate::{Finding, JobRow, Vault};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use warifu_catalog::{Object, ShareState};
use warifu_core::{Channel, SiteName};

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
    /// Shares there.
    pub shares: usize,
    /// Bytes free in its store; `null` where it was not asked or does not say.
    pub room_bytes: Option<u64>,
}

/// What `status` answers.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// Version of this document.
    pub v: u32,
    /// The sites.
    pub sites: Vec<SiteStatus>,
    /// Every largest set of sites that may be lost with all objects still restorable.
    pub can_lose: Vec<Vec<String>>,
    /// Stored objects.
    pub objects: usize,
    /// Objects with fewer than n shares known to be good.
    pub degraded: usize,
    /// When the object whose shares were looked at longest ago was; `null`: never.
    pub oldest_verification: Option<String>,
    /// The pools, and how long they last.
    pub pools: Vec<PoolOutlook>,
    /// Interrupted backups that are not settled yet.
    pub interrupted: usize,
    /// Backups that are not complete, running ones included.
    pub jobs: Vec<JobRow>,
    /// What someone should look at, the worst first.
    pub alarms: Vec<Finding>,
}

/// Above so many sites, sets that can be lost are not enumerated.
const ENUMERATED_SITES_MAX: usize = 16;

impl Vault {
    /// What holds and what could be lost now. Asking the sites takes a little key of each link.
    ///
    /// # Errors
    /// Where catalog or key store fails.
    pub fn status(&self) -> Result<StatusReport, Failure> {
        self.status_of(self.ask_sites()?)
    }

    /// Asks every site, all at once, whether it is there. Takes a little key of each link.
    ///
    /// # Errors
    /// Where catalog or key store fails.
    pub fn ask_sites(&self) -> Result<Vec<SiteStatus>, Failure> {
        let sites = self.catalog()?.sites()?;
        let mut reached = self.reach(sites.iter(), &mut BTreeMap::new())?;
        let mut rows = self.unasked_sites()?;
        for (row, site) in rows.iter_mut().zip(&sites) {
            let answer = match (site.channel, reached.remove(&site.site)) {
                (Channel::Local, _) => {
                    self.local_store(site).and_then(|store| Ok(store.room_bytes()?))
                }
                (_, None) => Err(Failure::new(Class::Key, "link-missing", "it has no link yet")),
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
                Err(failure) => row.trouble = Some(error_chain(&failure)),
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
            shares: site.shares,
            room_bytes: None,
        };
        Ok(self.sites()?.into_iter().map(row).collect())
    }

    /// What holds and what could be lost, given what was seen of the sites. Takes no key.
    ///
    /// # Errors
    /// Where catalog or key store fails.
    pub fn status_of(&self, sites: Vec<SiteStatus>) -> Result<StatusReport, Failure> {
        let objects = self.catalog()?.objects()?;
        let jobs = self.jobs()?;
        let witness = self.catalog()?.witness()?.map(|site| site.to_string());
        let mut report = StatusReport {
            v: 1,
            sites,
            can_lose: can_lose(&objects),
            objects: objects.len(),
            degraded: objects.iter().filter(|object| object.is_degraded()).count(),
            oldest_verification: None,
            pools: outlook(self.key_status()?, &objects, self.now_unix_s()),
            interrupted: jobs.iter().filter(|job| job.state == "interrupted").count(),
            jobs,
            alarms: Vec::new(),
        };
        report.alarms = alarms(&report, witness.as_deref());
        Ok(report)
    }
}

/// Every maximal set of sites whose loss leaves k good shares of each object.
fn can_lose(objects: &[Object]) -> Vec<Vec<String>> {
    let names: BTreeSet<&SiteName> =
        objects.iter().flat_map(|object| &object.shares).map(|share| &share.site).collect();
    let names: Vec<&SiteName> = names.into_iter().collect();
    if names.is_empty() || names.len() > ENUMERATED_SITES_MAX {
        return Vec::new();
    }
    let bit = |site: &SiteName| names.iter().position(|name| *name == site);
    let held: Vec<(u32, usize)> = objects
        .iter()
        .map(|object| {
            let good = object.shares.iter().filter(|share| share.state == ShareState::Good);
            let sites = good.filter_map(|share| bit(&share.site)).fold(0, |set, at| set | 1 << at);
            (sites, object.threshold.k())
        })
        .collect();
    let survives =
        |lost: u32| held.iter().all(|(sites, k)| (sites & !lost).count_ones() as usize >= *k);
    let all = 1_u32 << names.len();
    let losable: Vec<u32> = (1..all).filter(|lost| survives(*lost)).collect();
    let is_maximal =
        |set: u32| (0..names.len()).all(|at| set & (1 << at) != 0 || !survives(set | 1 << at));
    losable
        .into_iter()
        .filter(|set| is_maximal(*set))
        .map(|set| {
            let lost = (0..names.len()).filter(|at| set & (1 << at) != 0);
            lost.map(|at| names[at].to_string()).collect()
        })
        .collect()
}
