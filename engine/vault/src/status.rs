//! `status`: what could be lost now.

use crate::Vault;
use crate::failure::Failure;
use crate::keys::PoolRow;
use serde::Serialize;
use std::collections::BTreeSet;
use warifu_catalog::{Object, ShareState};
use warifu_core::SiteName;

/// A site as `status` tells it.
#[derive(Debug, Clone, Serialize)]
pub struct SiteStatus {
    /// Its name.
    pub site: String,
    /// What burns together with it.
    pub zone: String,
    /// Whether it answered just now.
    pub up: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// Shares there.
    pub shares: usize,
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
    /// The pools.
    pub pools: Vec<PoolRow>,
    /// Interrupted backups whose litter is still to be collected.
    pub interrupted: usize,
}

/// Above so many sites, sets that can be lost are not enumerated.
const ENUMERATED_SITES_MAX: usize = 16;

impl Vault {
    /// What holds and what could be lost now.
    ///
    /// # Errors
    /// Where catalog or key store fails.
    pub fn status(&self) -> Result<StatusReport, Failure> {
        let objects = self.catalog()?.objects()?;
        let sites = self.sites()?;
        let mut rows = Vec::new();
        for site in &sites {
            let name: SiteName = site.site.parse().map_err(|error| {
                Failure::new(crate::Class::Damage, "catalog-damaged", "a site's name is damaged")
                    .because(error)
            })?;
            let tested = self.test_site(&name);
            rows.push(SiteStatus {
                site: site.site.clone(),
                zone: site.zone.clone(),
                up: tested.is_ok(),
                trouble: tested.err().map(|failure| failure.to_string()),
                shares: site.shares,
            });
        }
        Ok(StatusReport {
            v: 1,
            sites: rows,
            can_lose: can_lose(&objects),
            objects: objects.len(),
            degraded: objects.iter().filter(|object| object.is_degraded()).count(),
            oldest_verification: None,
            pools: self.key_status()?,
            interrupted: self.catalog()?.intents()?.len(),
        })
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
