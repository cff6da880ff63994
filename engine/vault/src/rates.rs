//! How fast key arrives: learnt from what arrived, whatever the source.
//!
//! What a pool held when it was first seen is stock, not arrival. A key-management entity delivers
//! day and night: its rate is that of the last week, so that hours of the day average out. A
//! courier comes now and then: a drive a month is a rate too, taken over a quarter of a year, so
//! that neither the day on which it came nor the weeks in which it did not say much. Where less
//! has been seen than a window is long, the rate is over what was seen, but never over less than
//! [`KME_SEEN_S_MIN`] or [`COURIER_SEEN_S_MIN`]: three drives in one afternoon are no rate of
//! three drives an afternoon.

use crate::Vault;
use crate::failure::Failure;
use crate::plan::error_chain;
use std::collections::BTreeMap;
use warifu_catalog::Arrival;
use warifu_core::plan::{LinkRate, Rates};
use warifu_core::{Direction, PoolId, SiteName};
use warifu_keystore::{PoolKind, PoolStatus};

const DAY_S: u64 = 86_400;

/// What a rate of continuous delivery is taken over, in seconds.
const KME_WINDOW_S: u64 = 7 * DAY_S;

/// What a rate of couriers is taken over, in seconds.
const COURIER_WINDOW_S: u64 = 90 * DAY_S;

/// The least that continuous delivery counts as seen for, in seconds.
const KME_SEEN_S_MIN: u64 = 600;

/// The least that couriers count as seen for, in seconds.
const COURIER_SEEN_S_MIN: u64 = 7 * DAY_S;

/// How the name of a source begins that delivers by itself, such as `kme:tokyo`.
const KME_PREFIX: &str = "kme:";

/// How key comes into a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coming {
    /// Carried there, or made there by order: a lot at once.
    ByCourier,
    /// From a key-management entity, all the time.
    FromKme,
}

impl Coming {
    /// By the names of its sources: one that delivers by itself decides.
    pub(crate) fn of(sources: &[String]) -> Self {
        match sources.iter().any(|source| source.starts_with(KME_PREFIX)) {
            true => Self::FromKme,
            false => Self::ByCourier,
        }
    }

    /// In tables and JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ByCourier => "by courier",
            Self::FromKme => "from a KME",
        }
    }
}

/// Bytes a day that arrive, as the samples tell until `now_unix_s`; 0 where nothing arrived since
/// the pool was first seen.
pub(crate) fn bytes_per_day(samples: &[Arrival], coming: Coming, now_unix_s: u64) -> u64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0 };
    let (window_s, seen_s_min) = match coming {
        Coming::FromKme => (KME_WINDOW_S, KME_SEEN_S_MIN),
        Coming::ByCourier => (COURIER_WINDOW_S, COURIER_SEEN_S_MIN),
    };
    let begin = now_unix_s.saturating_sub(window_s);
    let base = samples.iter().rev().find(|sample| sample.unix_s <= begin).unwrap_or(first);
    let seen_s = now_unix_s.saturating_sub(base.unix_s).clamp(seen_s_min, window_s);
    let arrived = last.bytes_total.saturating_sub(base.bytes_total);
    let per_day = u128::from(arrived) * u128::from(DAY_S) / u128::from(seen_s);
    u64::try_from(per_day).unwrap_or(u64::MAX)
}

impl Vault {
    /// Notes what every pool has taken in by now. Called wherever key may have arrived; that it
    /// can't be written keeps nothing from going on.
    pub fn note_arrivals(&self) {
        if let Err(failure) = self.try_note_arrivals() {
            let error = error_chain(&failure);
            tracing::warn!(error, "what key arrived is not noted: rates will tell too little");
        }
    }

    fn try_note_arrivals(&self) -> Result<(), Failure> {
        let Some(catalog) = &self.catalog else { return Ok(()) };
        let unix_s = self.now_unix_s();
        for pool in self.keys.pools()?.iter().filter(|pool| pool.kind != PoolKind::Witness) {
            for side in &pool.directions {
                let seen = Arrival { unix_s, bytes_total: side.bytes_total };
                catalog.note_arrival(pool.pool, side.direction, seen)?;
            }
        }
        Ok(())
    }

    /// Bytes a day that arrive in a direction of a pool.
    pub(crate) fn fill_per_day(
        &self,
        pool: &PoolStatus,
        direction: Direction,
    ) -> Result<u64, Failure> {
        let Some(catalog) = &self.catalog else { return Ok(0) };
        let samples = catalog.arrivals(pool.pool, direction)?;
        Ok(bytes_per_day(&samples, Coming::of(&pool.sources), self.now_unix_s()))
    }

    /// How fast key arrives everywhere, as the planner asks it.
    pub(crate) fn rates(&self) -> Result<Rates, Failure> {
        let mut rates = Rates { links: BTreeMap::new(), random_bytes_per_day: 0 };
        let sites = self.catalog()?.sites()?;
        let site_of = |pool: PoolId| -> Option<SiteName> {
            let site = sites.iter().find(|site| site.link.map(PoolId::from) == Some(pool));
            site.map(|site| site.site.clone())
        };
        for pool in self.keys.pools()? {
            match (pool.kind, site_of(pool.pool)) {
                (PoolKind::Random, _) => {
                    rates.random_bytes_per_day = self.fill_per_day(&pool, Direction::AToB)?;
                }
                (_, Some(site)) => {
                    let rate = LinkRate {
                        to_site_bytes_per_day: self.fill_per_day(&pool, Direction::AToB)?,
                        from_site_bytes_per_day: self.fill_per_day(&pool, Direction::BToA)?,
                    };
                    rates.links.insert(site, rate);
                }
                (_, None) => {}
            }
        }
        Ok(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[(u64, u64)]) -> Vec<Arrival> {
        of.iter().map(|&(unix_s, bytes_total)| Arrival { unix_s, bytes_total }).collect()
    }

    #[test]
    fn what_was_there_when_it_was_first_seen_is_no_arrival() {
        for coming in [Coming::ByCourier, Coming::FromKme] {
            assert_eq!(bytes_per_day(&[], coming, 1_000), 0);
            assert_eq!(bytes_per_day(&samples(&[(0, 1 << 40)]), coming, 1_000), 0);
        }
    }

    #[test]
    fn a_drive_a_month_is_a_rate_whenever_it_is_asked_for() {
        let drives: Vec<(u64, u64)> =
            (0..13).map(|month| (month * 30 * DAY_S, (month + 1) * 3_000_000)).collect();
        for hours in (0..30 * 24).step_by(7) {
            let now = 12 * 30 * DAY_S + hours * 3_600;
            let rate = bytes_per_day(&samples(&drives), Coming::ByCourier, now);
            // 100,000 a day.
            assert!((99_999..=133_334).contains(&rate), "{rate} after {hours} h");
        }
        // Once they stop coming, so does the rate.
        let later = (12 * 30 + 91) * DAY_S;
        assert_eq!(bytes_per_day(&samples(&drives), Coming::ByCourier, later), 0);
    }

    #[test]
    fn several_drives_in_one_afternoon_are_no_rate_of_an_afternoon() {
        let burst = samples(&[(0, 1), (60, 7_000_001), (120, 14_000_001)]);
        assert_eq!(bytes_per_day(&burst, Coming::ByCourier, 130), 2_000_000);
        assert_eq!(bytes_per_day(&burst, Coming::ByCourier, 14 * DAY_S), 1_000_000);
        // A KME that begins is believed sooner.
        assert_eq!(bytes_per_day(&burst, Coming::FromKme, 600), 14_000_000 * 144);
    }

    #[test]
    fn nights_without_key_average_out() {
        // Eight hours of 1,000 bytes a second, then sixteen of none.
        let mut of = vec![(0, 0)];
        let mut total = 0;
        for day in 0..20 {
            for hour in 1..=8 {
                total += 3_600_000;
                of.push((day * DAY_S + hour * 3_600, total));
            }
        }
        for hour in [1, 5, 8, 12, 23] {
            let now = 14 * DAY_S + hour * 3_600;
            let seen: Vec<(u64, u64)> = of.iter().copied().filter(|one| one.0 <= now).collect();
            let rate = bytes_per_day(&samples(&seen), Coming::FromKme, now);
            assert_eq!(rate, 8 * 3_600_000, "at hour {hour}");
        }
    }

    #[test]
    fn a_clock_set_back_or_a_total_that_shrank_makes_no_nonsense() {
        let odd = samples(&[(1_000, 50), (2_000, 40)]);
        assert_eq!(bytes_per_day(&odd, Coming::FromKme, 10), 0);
        assert_eq!(bytes_per_day(&samples(&[(0, 0), (1, u64::MAX)]), Coming::FromKme, 1), u64::MAX);
    }

    #[test]
    fn a_source_that_delivers_by_itself_is_told_from_a_drive() {
        let of =
            |names: &[&str]| Coming::of(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&["system"]), Coming::ByCourier);
        assert_eq!(of(&["system", "kme:tokyo"]), Coming::FromKme);
        assert_eq!(of(&[]).as_str(), "by courier");
    }
}
