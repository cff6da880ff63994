//! `key forecast`: how long key lasts at what is spent and what arrives, as lines.

use crate::Vault;
use crate::failure::Failure;
use crate::outlook::{Genomes, PoolOutlook, fitting_need, history_s, outlook};
use crate::policy::{Asked, Ruled};
use crate::report::time;
use serde::Serialize;
use std::collections::BTreeMap;
use warifu_core::plan::{Candidate, PlanRequest, plan};
use warifu_core::{Channel, Geometry, SiteName, Threshold};

const DAY_S: f64 = 86_400.0;

/// What the smallest backup takes by whose placement it is told whether any can be made, in bytes.
const SMALL_BYTES: u64 = 64 << 10;

/// Moments after this many days are not told: nobody knows the rates of then.
const DAYS_MAX: f64 = 36_500.0;

/// What key will be like.
#[derive(Debug, Clone, Serialize)]
pub struct KeyForecast {
    /// Version of this document.
    pub v: u32,
    /// `key-forecast`.
    pub r#type: &'static str,
    /// When it was made.
    pub made: String,
    /// How many days it covers.
    pub days: u32,
    /// For how long the spend has been seen, in seconds: of a short time it says little.
    pub history_seconds: u64,
    /// The scheme that genomes and placements are counted by.
    pub scheme: String,
    /// The pools, each direction by itself.
    pub pools: Vec<PoolForecast>,
    /// Days until no set of sites can take a backup any more, however small; `null`: not at these
    /// rates.
    pub no_backup_in_days: Option<f64>,
    /// What is short then.
    pub no_backup_because: Option<String>,
    /// Genomes that fit now, all sites together.
    pub genomes: Genomes,
}

/// A direction of a pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolForecast {
    /// The pool and direction: `random`, `SITE/to` or `SITE/from`.
    pub pool: String,
    /// The site at the other end; `null` for the `random` pool.
    pub site: Option<String>,
    /// What is free now, in bytes.
    pub free_bytes: u64,
    /// What is kept for restores, in bytes.
    pub bytes_reserved_for_restore: u64,
    /// What backups took a day; 0: nothing.
    pub spent_bytes_per_day: u64,
    /// What arrived a day.
    pub fill_bytes_per_day: u64,
    /// How it arrives.
    pub fill: &'static str,
    /// Days until nothing is free; `null`: not at these rates.
    pub empty_in_days: Option<f64>,
    /// What is free along the way: the corners of the line.
    pub points: Vec<Point>,
    /// Genomes that fit in this direction alone.
    pub genomes: Genomes,
}

/// A corner of a line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Days from now.
    pub day: f64,
    /// Bytes that are free then.
    pub free_bytes: u64,
}

impl Vault {
    /// The pools as `key status` tells them, with what is spent, how long they last, and how many
    /// genomes fit at this scheme.
    ///
    /// # Errors
    /// Where the key store or the catalog fails.
    pub fn key_outlook(&self, threshold: Threshold) -> Result<Vec<PoolOutlook>, Failure> {
        // A site's vault has no catalog, and spends nothing by itself.
        let objects = match &self.catalog {
            Some(catalog) => catalog.objects()?,
            None => Vec::new(),
        };
        Ok(outlook(self.key_status()?, &objects, self.now_unix_s(), threshold))
    }

    /// What free key will be over the next `days`, at what was spent and what arrived lately.
    ///
    /// # Errors
    /// Where the key store or the catalog fails, or this is a site's vault.
    pub fn key_forecast(&self, days: u32, threshold: Threshold) -> Result<KeyForecast, Failure> {
        let objects = self.catalog()?.objects()?;
        let now = self.now_unix_s();
        let rows = outlook(self.key_status()?, &objects, now, threshold);
        let pools: Vec<PoolForecast> = rows.iter().map(|row| of_pool(row, days)).collect();
        let candidates = self.candidates_unasked()?;
        let ruled = self.ruled(&self.catalog()?.sites()?, Asked::default());
        let end = breaks(&candidates, self.random_unplanned()?, &pools, (threshold, &ruled));
        let admitted: Vec<Candidate> = (candidates.iter())
            .filter(|one| !ruled.exclusions.contains(&one.site))
            .cloned()
            .collect();
        let count = |bytes| genomes(&admitted, (threshold, ruled.zone_shares_max), bytes);
        Ok(KeyForecast {
            v: 1,
            r#type: "key-forecast",
            made: time(now),
            days,
            history_seconds: history_s(&objects, now),
            scheme: threshold.to_string(),
            no_backup_in_days: end.as_ref().map(|(days, _)| rounded(*days)),
            no_backup_because: end.map(|(_, why)| why),
            genomes: Genomes::of(count),
            pools,
        })
    }
}

fn of_pool(row: &PoolOutlook, days: u32) -> PoolForecast {
    let (free, fill) = (row.free_bytes(), row.pool.fill_bytes_per_day);
    let spent = row.spent_bytes_per_day.unwrap_or(0);
    let (points, empty) = line(free, fill, spent, days);
    PoolForecast {
        pool: row.pool.pool.clone(),
        site: row.pool.site.clone(),
        free_bytes: free,
        bytes_reserved_for_restore: row.pool.bytes_reserved_for_restore,
        spent_bytes_per_day: spent,
        fill_bytes_per_day: fill,
        fill: row.pool.fill,
        empty_in_days: empty.map(rounded),
        points,
        genomes: row.genomes,
    }
}

/// What is free over so many days, and when nothing is: straight down or up, never below nothing.
fn line(free: u64, fill: u64, spent: u64, days: u32) -> (Vec<Point>, Option<f64>) {
    let day = |day: f64, bytes: f64| Point { day, free_bytes: bytes.max(0.0) as u64 };
    let net = fill as f64 - spent as f64;
    let empty = match (free, net < 0.0) {
        (0, _) if net <= 0.0 => Some(0.0),
        (_, true) => Some(free as f64 / -net).filter(|days| *days <= DAYS_MAX),
        _ => None,
    };
    let (days, start) = (f64::from(days), Point { day: 0.0, free_bytes: free });
    let end = day(days, free as f64 + net * days);
    let points = match empty {
        Some(at) if at > 0.0 && at < days => vec![start, day(at, 0.0), end],
        _ => vec![start, end],
    };
    (points, empty)
}

/// Days until no admissible set of sites has key for the smallest backup, and what is short then.
/// Only where a line falls below what that takes can a set be lost.
fn breaks(
    candidates: &[Candidate],
    random_bytes: u64,
    pools: &[PoolForecast],
    (threshold, ruled): (Threshold, &Ruled),
) -> Option<(f64, String)> {
    let geometry = Geometry::new(SMALL_BYTES).ok()?;
    let of: BTreeMap<&str, (u64, u64)> = (pools.iter())
        .map(|row| (row.pool.as_str(), (row.fill_bytes_per_day, row.spent_bytes_per_day)))
        .collect();
    let net = |pool: &str| of.get(pool).map_or(0.0, |(fill, spent)| *fill as f64 - *spent as f64);
    let way = |site: &SiteName, way: &str| net(&format!("{site}/{way}"));
    let at = |left: u64, net: f64, days: f64| (left as f64 + net * days).max(0.0) as u64;
    let refusal_at = |days: f64| {
        let later: Vec<Candidate> = (candidates.iter())
            .map(|one| Candidate {
                to_site_bytes: at(one.to_site_bytes, way(&one.site, "to"), days),
                from_site_bytes: at(one.from_site_bytes, way(&one.site, "from"), days),
                ..one.clone()
            })
            .collect();
        let request = PlanRequest {
            threshold,
            geometry,
            candidates: &later,
            random_bytes: at(random_bytes, net("random"), days),
            overrides: &[],
            pins: &ruled.pins,
            exclusions: &ruled.exclusions,
            zone_shares_max: ruled.zone_shares_max,
        };
        plan(&request).err().map(|refusal| refusal.to_string())
    };
    let mut moments = vec![0.0];
    let mut falls = |left: u64, needed: u64, net: f64| {
        if net < 0.0 && left >= needed {
            // A second later, so that it is below.
            moments.push((left - needed) as f64 / -net + 1.0 / DAY_S);
        }
    };
    for one in candidates.iter().filter(|one| one.channel == Channel::Otp) {
        falls(one.to_site_bytes, fitting_need("x/to", geometry, threshold), way(&one.site, "to"));
        let needed = fitting_need("x/from", geometry, threshold);
        falls(one.from_site_bytes, needed, way(&one.site, "from"));
    }
    falls(random_bytes, fitting_need("random", geometry, threshold), net("random"));
    moments.sort_by(f64::total_cmp);
    moments.retain(|days| *days <= DAYS_MAX);
    moments.into_iter().find_map(|days| Some((days, refusal_at(days)?)))
}

/// How many objects of so many bytes all sites together take: the largest count for which the
/// domains' and the zones' parts make up all shares. Sites without a link count as endless.
fn genomes(
    candidates: &[Candidate],
    (threshold, zone_shares_max): (Threshold, Option<usize>),
    bytes: u64,
) -> u64 {
    let Ok(geometry) = Geometry::new(bytes.next_multiple_of(4096)) else { return 0 };
    let needed = |pool| fitting_need(pool, geometry, threshold).max(1);
    let takes = |one: &Candidate| match one.channel {
        Channel::Otp => {
            (one.to_site_bytes / needed("x/to")).min(one.from_site_bytes / needed("x/from"))
        }
        Channel::Local => COUNT_MAX,
        Channel::Tls => 0,
    };
    let usable = candidates.iter().filter(|one| !one.draining);
    let sites: Vec<(&SiteName, &SiteName, u64)> =
        usable.map(|one| (&one.zone, &one.domain, takes(one))).collect();
    let spare = threshold.n() - threshold.k();
    most(&sites, threshold, zone_shares_max.map_or(spare, |most| most.min(spare)))
}

const COUNT_MAX: u64 = 1 << 32;

/// The largest T for which the sum over zones of min(z T, sum over the zone's domains of
/// min(T, what its sites take)) reaches n T, where a zone may hold z shares of an object.
fn most(sites: &[(&SiteName, &SiteName, u64)], threshold: Threshold, per_zone: usize) -> u64 {
    let (n, per_zone) = (threshold.n() as u64, per_zone as u64);
    let fits = |count: u64| {
        let mut domains: BTreeMap<(&SiteName, &SiteName), u64> = BTreeMap::new();
        for (zone, domain, takes) in sites {
            let sum = domains.entry((*zone, *domain)).or_default();
            *sum = sum.saturating_add((*takes).min(count)).min(count);
        }
        let mut zones: BTreeMap<&SiteName, u64> = BTreeMap::new();
        for ((zone, _), takes) in domains {
            let sum = zones.entry(zone).or_default();
            *sum = sum.saturating_add(takes).min(per_zone.saturating_mul(count));
        }
        zones.values().sum::<u64>() >= n.saturating_mul(count)
    };
    let (mut low, mut high) = (0, COUNT_MAX);
    while high > low {
        let middle = low + (high - low).div_ceil(2);
        match fits(middle) {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    low
}

fn rounded(days: f64) -> f64 {
    (days * 100.0).floor() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_core::plan::Health;

    const GIB: u64 = 1 << 30;

    fn point(day: f64, free_bytes: u64) -> Point {
        Point { day, free_bytes }
    }

    #[test]
    fn a_line_falls_to_nothing_and_stays_there() {
        assert_eq!(
            line(100, 0, 10, 30),
            (vec![point(0.0, 100), point(10.0, 0), point(30.0, 0)], Some(10.0))
        );
        assert_eq!(line(100, 5, 10, 10), (vec![point(0.0, 100), point(10.0, 50)], Some(20.0)));
        assert_eq!(line(100, 10, 10, 10), (vec![point(0.0, 100), point(10.0, 100)], None));
        assert_eq!(line(0, 10, 0, 10), (vec![point(0.0, 0), point(10.0, 100)], None));
        assert_eq!(line(0, 0, 0, 10), (vec![point(0.0, 0), point(10.0, 0)], Some(0.0)));
        assert_eq!(line(u64::MAX, 0, 1, 1).1, None, "in more than a hundred years");
    }

    fn candidate(site: &str, to_site_bytes: u64, from_site_bytes: u64) -> Candidate {
        Candidate {
            site: site.parse().unwrap(),
            zone: site.parse().unwrap(),
            domain: site.parse().unwrap(),
            channel: Channel::Otp,
            health: Health::Up,
            draining: false,
            room_bytes: None,
            to_site_bytes,
            from_site_bytes,
            to_site_fill_bytes_per_day: 0,
            from_site_fill_bytes_per_day: 0,
            network_bytes_per_second: None,
            enforces_consent: true,
        }
    }

    fn pool(name: &str, fill: u64, spent: u64) -> PoolForecast {
        PoolForecast {
            pool: name.to_owned(),
            site: None,
            free_bytes: 0,
            bytes_reserved_for_restore: 0,
            spent_bytes_per_day: spent,
            fill_bytes_per_day: fill,
            fill: "by courier",
            empty_in_days: None,
            points: Vec::new(),
            genomes: Genomes::default(),
        }
    }

    #[test]
    fn backups_end_when_the_last_set_of_sites_does_and_not_with_the_first_site() {
        let threshold: Threshold = "2/3".parse().unwrap();
        let sites = ["a", "b", "c", "d"].map(|site| candidate(site, 10 * GIB, 100 * GIB));
        let spend = |site: &str, days: u64| pool(&format!("{site}/to"), 0, 10 * GIB / days);
        let all = Ruled::default();
        let ends = |pools: &[PoolForecast]| breaks(&sites, GIB, pools, (threshold, &all));
        assert_eq!(ends(&[]), None);
        assert_eq!(ends(&[spend("a", 5)]), None, "three are left");
        let (days, why) = ends(&[spend("a", 5), spend("b", 20)]).unwrap();
        assert!((19.9..20.0).contains(&days), "{days}");
        assert!(why.contains('a') && why.contains("key left does not cover"), "{why}");
        let filled = PoolForecast { fill_bytes_per_day: GIB, ..spend("b", 20) };
        assert_eq!(ends(&[spend("a", 5), filled]), None);
        let (days, why) = ends(&[pool("random", 0, GIB / 8)]).unwrap();
        assert!((7.9..8.1).contains(&days) && why.contains("random pool"), "{days} {why}");
        let none = breaks(&sites[..2], GIB, &[], (threshold, &all)).unwrap();
        assert_eq!(none.0, 0.0);
        // What the policy keeps out is none of those that are left.
        let without = Ruled { exclusions: vec!["d".parse().unwrap()], ..all };
        let (days, _) = breaks(&sites, GIB, &[spend("a", 5)], (threshold, &without)).unwrap();
        assert!((4.9..5.0).contains(&days), "{days}");
    }

    #[test]
    fn genomes_are_counted_by_what_all_sites_take_together() {
        let threshold: Threshold = "2/3".parse().unwrap();
        let names = ["a", "b", "c", "d"].map(|name| name.parse::<SiteName>().unwrap());
        let count = |takes: &[u64]| {
            let sites: Vec<_> =
                names.iter().zip(takes).map(|(name, takes)| (name, name, *takes)).collect();
            most(&sites, threshold, 1)
        };
        assert_eq!(count(&[5, 5, 5]), 5);
        assert_eq!(count(&[9, 5, 5]), 5);
        assert_eq!(count(&[6, 6, 6, 6]), 8);
        assert_eq!(count(&[9, 9, 1, 1]), 2);
        assert_eq!(count(&[9, 9]), 0);
        // In two zones, at most one share of three in each: never.
        let two = [(&names[0], &names[0], 9), (&names[0], &names[1], 9), (&names[2], &names[2], 9)];
        assert_eq!(most(&two, threshold, 1), 0);
        // Two sites of one domain take as one.
        let one = [
            (&names[0], &names[0], 4),
            (&names[0], &names[0], 4),
            (&names[1], &names[1], 9),
            (&names[2], &names[2], 9),
        ];
        assert_eq!(most(&one, threshold, 1), 8);
    }
}
