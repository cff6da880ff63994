//! How long the key lasts: what stored objects took in the last weeks against what is left.
//!
//! What an object takes from a budget is what was used for it and what is kept for its restore.
//! Restores themselves draw on what is kept, so they don't count here.

use crate::keys::PoolRow;
use serde::Serialize;
use std::collections::BTreeMap;
use warifu_catalog::Object;
use warifu_core::plan::need;
use warifu_core::{Channel, Geometry, Role, Threshold};

/// Over how long the spend is taken, in days.
const SPEND_DAYS: u64 = 30;

const DAY_S: u64 = 86_400;

/// With less history than this nothing is foretold, in days.
const HISTORY_DAYS_MIN: u64 = 7;

/// A pool as `status` tells it: as `key status` does, and how long it lasts.
#[derive(Debug, Clone, Serialize)]
pub struct PoolOutlook {
    /// The row of `key status`.
    #[serde(flatten)]
    pub pool: PoolRow,
    /// Key that backups took a day, reserves included, over the last 30 days or since the first
    /// object where that is later; `null` where they took none.
    pub spent_bytes_per_day: Option<u64>,
    /// Days until what is free is gone at this spend, less what arrives; `null`: not known, as
    /// with less than seven days of history, or never at these rates.
    pub days_left: Option<f64>,
    /// How many genomes what is free takes at the vault's usual scheme.
    pub genomes: Genomes,
}

/// How many genomes of 30-fold coverage fit, by how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Genomes {
    /// As CRAM files of 15 GB.
    pub cram_15gb: u64,
    /// As BAM files of 60 GB.
    pub bam_60gb: u64,
}

impl Genomes {
    /// What `count` says of each size, in bytes.
    pub(crate) fn of(count: impl Fn(u64) -> u64) -> Self {
        Self { cram_15gb: count(15_000_000_000), bam_60gb: count(60_000_000_000) }
    }
}

impl PoolOutlook {
    /// What is neither used nor kept for restores, in bytes.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.pool.free_bytes()
    }
}

/// For how long the spend of key has been seen, in seconds: since the first stored object.
pub(crate) fn history_s(objects: &[Object], now_unix_s: u64) -> u64 {
    let first = objects.iter().map(|object| object.committed_unix_s).min();
    first.map_or(0, |first| now_unix_s.saturating_sub(first))
}

/// The pools with what `objects` tell of their spend until `now_unix_s`.
pub(crate) fn outlook(
    pools: Vec<PoolRow>,
    objects: &[Object],
    now_unix_s: u64,
    threshold: Threshold,
) -> Vec<PoolOutlook> {
    let spent = spent_per_day(objects, now_unix_s);
    let is_foretold = history_s(objects, now_unix_s) >= HISTORY_DAYS_MIN * DAY_S;
    let row = |pool: PoolRow| {
        let spent_bytes_per_day = spent.get(&pool.pool).copied().filter(|bytes| *bytes > 0);
        let genomes = Genomes::of(|bytes| fitting(&pool, bytes, threshold));
        let mut row = PoolOutlook { pool, spent_bytes_per_day, days_left: None, genomes };
        let fill = row.pool.fill_bytes_per_day;
        let known = spent_bytes_per_day.filter(|spent| is_foretold && *spent > fill);
        let days = known.map(|spent| row.free_bytes() as f64 / (spent - fill) as f64);
        row.days_left = days.map(|days| (days * 10.0).floor() / 10.0);
        row
    };
    pools.into_iter().map(row).collect()
}

/// How many objects of so many bytes what is free of a pool takes.
fn fitting(pool: &PoolRow, bytes: u64, threshold: Threshold) -> u64 {
    let Ok(geometry) = Geometry::new(bytes.next_multiple_of(4096)) else { return 0 };
    pool.free_bytes() / fitting_need(&pool.pool, geometry, threshold).max(1)
}

/// What one object takes of a pool, by the pool's name, whichever role the site gets.
pub(crate) fn fitting_need(pool: &str, geometry: Geometry, threshold: Threshold) -> u64 {
    let of = |role| need(threshold, geometry, role, Channel::Otp);
    let (pad, computed) = (of(Role::Pad), of(Role::Computed));
    match pool.rsplit_once('/') {
        Some((_, "to")) => pad.to_site_bytes.max(computed.to_site_bytes),
        Some((_, "from")) => pad.from_site_bytes.max(computed.from_site_bytes),
        _ => random_bytes(threshold, pad.random_bytes.max(computed.random_bytes)),
    }
}

/// Of the `random` pool, where all shares go over links.
fn random_bytes(threshold: Threshold, of_share_bytes: u64) -> u64 {
    let n = threshold.n() as u64;
    n * of_share_bytes + 16 * (n + 1)
}

/// Bytes a day by the pool's name. Rounded up: what is left is never overstated.
fn spent_per_day(objects: &[Object], now_unix_s: u64) -> BTreeMap<String, u64> {
    let seen_s = history_s(objects, now_unix_s).clamp(DAY_S, SPEND_DAYS * DAY_S);
    let begin = now_unix_s.saturating_sub(SPEND_DAYS * DAY_S);
    let mut spent: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |pool: String, bytes: u64| {
        let sum = spent.entry(pool).or_default();
        *sum = sum.saturating_add(bytes);
    };
    for object in objects.iter().filter(|object| object.committed_unix_s >= begin) {
        add("random".to_owned(), object.random_bytes);
        for share in object.shares.iter().filter(|share| share.link.is_some()) {
            // Receipts come the other way; they are a ten-thousandth part of it.
            let to = share.key_bytes.saturating_add(share.reserve.to_site_bytes);
            add(format!("{}/to", share.site), to);
            add(format!("{}/from", share.site), share.reserve.from_site_bytes);
        }
    }
    let per_day = |bytes: u64| {
        let daily = (u128::from(bytes) * u128::from(DAY_S)).div_ceil(u128::from(seen_s));
        u64::try_from(daily).unwrap_or(u64::MAX)
    };
    spent.into_iter().map(|(pool, bytes)| (pool, per_day(bytes))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use warifu_catalog::{KeyBytes, ShareState, StoredShare};
    use warifu_core::share_file::CapsuleShape;
    use warifu_core::{KeyClass, LinkId, ObjectId, SiteName, XCoord};

    /// An object at `a`, `b` and `c` that took 1,000 bytes at each, stored over 10 seconds.
    pub(crate) fn object(committed_unix_s: u64) -> Object {
        let geometry = Geometry::new(8 << 20).unwrap();
        let share = |(site, x): (&str, u8)| StoredShare {
            x: XCoord::new(x).unwrap(),
            site: site.parse().unwrap(),
            role: Role::Computed,
            channel: Channel::Otp,
            zone: site.parse().unwrap(),
            domain: site.parse::<SiteName>().unwrap(),
            link: Some(LinkId::from_bytes([x; 16])),
            sent_bytes: 900,
            key_bytes: 900,
            reserve: KeyBytes { to_site_bytes: 100, from_site_bytes: 500 },
            receipt_unix_s: committed_unix_s,
            state: ShareState::Good,
        };
        Object {
            object: ObjectId::from_bytes([7; 16]),
            individual: "P1".parse().unwrap(),
            threshold: Threshold::new(2, 3).unwrap(),
            class: KeyClass::InformationTheoretic,
            label: None,
            created_unix_s: committed_unix_s - 10,
            committed_unix_s,
            geometry,
            masks: 0,
            capsule: CapsuleShape { head_bytes: 48, verdict_bytes: 48 },
            stored_bytes: 3000,
            random_bytes: 64,
            attempts: Vec::new(),
            overridden: Vec::new(),
            shares: [("a", 1), ("b", 2), ("c", 3)].map(share).into(),
        }
    }

    pub(crate) fn pool(name: &str, bytes_left: u64, reserved: u64) -> PoolRow {
        PoolRow {
            pool: name.to_owned(),
            site: name.split_once('/').map(|(site, _)| site.to_owned()),
            bytes_left,
            bytes_too_short: 0,
            bytes_reserved_for_restore: reserved,
            bytes_consumed: 0,
            bytes_burned: 0,
            bytes_leased: 0,
            fill_bytes_per_second: 0,
            fill_bytes_per_day: 0,
            fill: "by courier",
            source: String::new(),
            class: "information-theoretic",
            witnessed: true,
            source_state: None,
        }
    }

    #[test]
    fn days_follow_from_what_the_last_month_took() {
        let now = 1_000 * DAY_S;
        let pools =
            || vec![pool("a/to", 5_000, 1_000), pool("a/from", 9_000, 0), pool("d/to", 9, 0)];
        let told = |objects: &[Object]| -> Vec<(Option<u64>, Option<f64>)> {
            let rows = outlook(pools(), objects, now, Threshold::new(2, 3).unwrap());
            rows.iter().map(|row| (row.spent_bytes_per_day, row.days_left)).collect()
        };
        let unknown = (None, None);
        assert_eq!(told(&[]), [unknown; 3]);
        // Ten days of two objects a day; a pool that nothing used stays unknown.
        let objects: Vec<Object> =
            (0..20).map(|half| object(now - 10 * DAY_S + half * DAY_S / 2)).collect();
        assert_eq!(told(&objects), [(Some(2_000), Some(2.0)), (Some(1_000), Some(9.0)), unknown]);
        // One object of an hour ago is a day's spend, not an hour's, and foretells nothing.
        let young = told(&[object(now - 3_600)]);
        assert_eq!(young, [(Some(1_000), None), (Some(500), None), unknown]);
        let nearly = told(&[object(now - 7 * DAY_S + 1)]);
        assert_eq!(nearly[0], (Some(143), None));
        assert_eq!(told(&[object(now - 7 * DAY_S)])[0], (Some(143), Some(27.9)));
        // What is older than the window counts as time seen, not as spend.
        let old = [object(now - 400 * DAY_S), object(now - 15 * DAY_S)];
        assert_eq!(told(&old)[0], (Some(34), Some(117.6)));
        assert_eq!(told(&old[..1]), [unknown; 3]);
    }

    #[test]
    fn what_arrives_counts_against_what_is_spent_and_genomes_by_the_worse_need() {
        let now = 1_000 * DAY_S;
        let objects: Vec<Object> = (0..20).map(|day| object(now - (20 - day) * DAY_S)).collect();
        let told = |fill_bytes_per_day, bytes_left| {
            let row = PoolRow { fill_bytes_per_day, ..pool("a/to", bytes_left, 0) };
            outlook(vec![row], &objects, now, Threshold::new(3, 5).unwrap()).remove(0)
        };
        assert_eq!(told(0, 10_000).days_left, Some(10.0));
        assert_eq!(told(500, 10_000).days_left, Some(20.0));
        assert_eq!(told(1_000, 10_000).days_left, None, "as much comes as goes");
        assert_eq!(told(5_000, 10_000).days_left, None);
        let genomes = |bytes_left| told(0, bytes_left).genomes;
        assert_eq!(genomes(15_000_000_000), Genomes::default(), "frames and tags take some too");
        assert_eq!(genomes(61_000_000_000), Genomes { cram_15gb: 4, bam_60gb: 1 });
    }
}
