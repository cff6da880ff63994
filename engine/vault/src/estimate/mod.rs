//! `estimate`: what storing files would take, before anything is spent.
//!
//! The planner places every input in turn against budgets that shrink as they would, so many
//! inputs are judged together. Inputs that the key does not cover are planned once more as if it
//! did, which says how much is missing where.

mod measure;
mod tally;

use crate::Vault;
use crate::failure::Failure;
use crate::memory::expect_room_for_hashes;
use crate::plan::hang_up;
use crate::policy::Asked;
use measure::{Rate, inputs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tally::Tally;
use warifu_catalog::Site;
use warifu_core::plan::{Candidate, Health, Override};
use warifu_core::{Direction, SiteName, Threshold};
use warifu_link::hello::hello_reserve_bytes;
use warifu_pipeline::source::Compression;

/// What is to be estimated.
#[derive(Debug, Clone)]
pub struct EstimateRequest {
    /// Files, and folders with all files in them.
    pub paths: Vec<PathBuf>,
    /// A stream of at most so many bytes besides.
    pub stream_bytes: Option<u64>,
    /// Whether and how data is compressed.
    pub compression: Compression,
    /// Whether lengths are rounded up coarsely.
    pub pad: bool,
    /// Whether what is to be compressed is read, to tell just how long it gets.
    pub is_counted: bool,
    /// The scheme.
    pub threshold: Threshold,
    /// Placement rules gone against by name.
    pub overrides: Vec<Override>,
    /// Sites that must be used.
    pub pins: Vec<SiteName>,
    /// Sites that must not be used.
    pub exclusions: Vec<SiteName>,
    /// Whether sites are left alone: what they would say of themselves is taken for granted, and
    /// no key is used.
    pub is_offline: bool,
}

/// What one site would get. Key is an upper bound.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SiteEstimate {
    /// The site.
    pub site: String,
    /// `otp`, `local` or `tls`.
    pub channel: &'static str,
    /// Shares that it would get.
    pub shares: u64,
    /// Key of its link used by the backups, both directions.
    pub key_bytes: u64,
    /// Key of its link kept for restores, both directions.
    pub reserved_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Bytes that would lie there.
    pub store_bytes: u64,
    /// Free key towards it afterwards; `null` without a link.
    pub to_site_bytes_left: Option<u64>,
    /// Free key from it afterwards; `null` without a link.
    pub from_site_bytes_left: Option<u64>,
    /// Room in its store afterwards; `null` where it is not known.
    pub room_bytes_left: Option<u64>,
    /// Time during which it would be sent to; `null`: not known.
    pub seconds: Option<f64>,
}

/// How long it would take.
#[derive(Debug, Clone, Serialize)]
pub struct TimeEstimate {
    /// Wall time of one backup after the other; `null`: not known.
    pub seconds: Option<f64>,
    /// What that rests on.
    pub basis: String,
}

/// Key that is missing in one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shortfall {
    /// The pool: `SITE/to`, `SITE/from` or `random`.
    pub pool: String,
    /// Bytes to be delivered so that it suffices: of a link's key a small part is kept for
    /// connections.
    pub missing_bytes: u64,
}

/// What `estimate` answers.
#[derive(Debug, Clone, Serialize)]
pub struct EstimateReport {
    /// Version of this document.
    pub v: u32,
    /// `estimate`.
    pub r#type: &'static str,
    /// Files, or streams.
    pub inputs: usize,
    /// Entries of folders that are no regular files or can't be read: they are not counted.
    pub skipped: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that would be protected: payloads, padding included.
    pub stored_bytes: u64,
    /// Shares needed.
    pub k: u8,
    /// Shares made.
    pub n: u8,
    /// `information-theoretic` or `computational`; `null` where nothing fits.
    pub class: Option<&'static str>,
    /// Corrupt sites that would say nothing together, of every object; `null` where nothing fits.
    pub tolerates_corrupt_sites: Option<usize>,
    /// Key of all links used, both directions.
    pub key_bytes: u64,
    /// Key of all links kept for restores.
    pub reserved_bytes: u64,
    /// Key of the `random` pool.
    pub random_bytes: u64,
    /// What the `random` pool holds afterwards.
    pub random_bytes_left: u64,
    /// Whether all of it fits.
    pub fits: bool,
    /// Inputs that don't. The figures are of those that do.
    pub inputs_refused: usize,
    /// Key that is missing for them.
    pub shortfalls: Vec<Shortfall>,
    /// By site.
    pub sites: Vec<SiteEstimate>,
    /// How long it would take.
    pub time: TimeEstimate,
    /// Whether the sites were asked.
    pub asked_sites: bool,
}

/// An estimate, and why not all of it fits.
#[derive(Debug)]
pub struct Estimate {
    /// The figures.
    pub report: EstimateReport,
    /// Why inputs would be refused.
    pub refusal: Option<Failure>,
}

impl Vault {
    /// What storing these inputs would take. Nothing is spent but, unless it is offline, the key
    /// of asking the sites.
    ///
    /// # Errors
    /// Where a path can't be read, or catalog or key store fails. What does not fit is no error
    /// here: the estimate says why.
    pub fn estimate(&self, request: &EstimateRequest) -> Result<Estimate, Failure> {
        let sites = self.catalog()?.sites()?;
        let asked =
            Asked { pins: &request.pins, exclusions: &request.exclusions, ..Asked::default() };
        let ruled = self.ruled(&sites, asked);
        let (pins, exclusions) = (ruled.pins, ruled.exclusions);
        let request = &EstimateRequest { pins, exclusions, ..request.clone() };
        let (found, skipped) = inputs(request)?;
        let candidates = self.candidates(&sites, request)?;
        let random_bytes =
            self.random_left()?.saturating_sub(self.catalog()?.planned_random_bytes()?);
        let rate = Rate::measured(&self.catalog()?.objects()?);
        let mut tally =
            Tally::new((request, ruled.zone_shares_max), self.choice()?, candidates, random_bytes);
        for input in &found {
            let room = expect_room_for_hashes(
                self.config.limits.memory_bytes,
                request.threshold,
                input.geometry,
            );
            match room {
                Ok(()) => tally.place(input),
                Err(failure) => tally.refuse(failure),
            }
        }
        let used = sites.iter().filter(|site| tally.uses(&site.site));
        let class = match tally.is_empty() {
            true => None,
            false => Some(self.class_of(used.filter_map(|site| site.link))?.as_str()),
        };
        let mut estimate = tally.finish(&found, skipped, class, rate);
        for site in &sites {
            let Some(link) = site.link else { continue };
            let status = self.keys.pool_status(link.into())?;
            for (end, direction) in [("to", Direction::AToB), ("from", Direction::BToA)] {
                let total = status.direction(direction).map_or(0, |side| side.bytes_total);
                let pool = format!("{}/{end}", site.site);
                let short =
                    estimate.report.shortfalls.iter_mut().filter(|short| short.pool == pool);
                short.for_each(|short| {
                    short.missing_bytes = to_deliver(short.missing_bytes, total);
                });
            }
        }
        Ok(estimate)
    }

    /// The sites as the planner sees them, asked or not.
    pub(crate) fn candidates(
        &self,
        sites: &[Site],
        request: &EstimateRequest,
    ) -> Result<Vec<Candidate>, Failure> {
        let asked = sites.iter().filter(|site| {
            !request.is_offline && !site.drained && !request.exclusions.contains(&site.site)
        });
        let mut reached = self.reach(asked, &mut BTreeMap::new())?;
        let mut candidates = Vec::new();
        for site in sites {
            let answer = reached.remove(&site.site);
            let mut candidate = self.candidate(site, answer.as_ref())?;
            if let Some(Ok(answer)) = answer {
                hang_up(answer.peer);
            }
            if request.is_offline && site.link.is_some() {
                candidate.health = Health::Up;
            }
            candidates.push(candidate);
        }
        Ok(candidates)
    }
}

/// Key to deliver to a direction of a link that holds `total_bytes`, so that `missing_bytes` more
/// can be used: the part that is kept for connections grows with it.
fn to_deliver(missing_bytes: u64, total_bytes: u64) -> u64 {
    let enough = missing_bytes.saturating_add(missing_bytes / 15).saturating_add(16);
    let kept = |bytes| hello_reserve_bytes(bytes);
    missing_bytes.saturating_add(kept(total_bytes.saturating_add(enough)) - kept(total_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_delivered_suffices_and_is_little_more() {
        for total in [0, 1, 4096, 6 << 20, 16 << 20, (16 << 20) + 1, 1 << 40] {
            for missing in [1, 15, 16, 4096, 3_000_000, 1 << 30] {
                let delivered = to_deliver(missing, total);
                let usable = |total: u64| total - hello_reserve_bytes(total);
                let gained = usable(total + delivered) - usable(total);
                assert!((missing..=missing + missing / 64 + 16).contains(&gained), "{gained}");
            }
        }
    }
}
