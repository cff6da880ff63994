//! What comes of a simulation, as numbers.

use super::pools::{FROM, SiteState, TO};
use super::run::{Restores, Run};
use super::scenario::{DAY_S, Scenario};
use super::weather::Weather;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use warifu_core::schedule::Policy;

/// What all policies made of one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct SimulationReport {
    /// The scenario's name.
    pub scenario: String,
    /// What it is, in one line.
    pub title: String,
    /// From what chance was drawn.
    pub seed: u64,
    /// How many months of 30 days it lasted.
    pub months: u64,
    /// Shares that rebuild.
    pub k: usize,
    /// Shares of each object.
    pub n: usize,
    /// How many sites there are.
    pub sites: usize,
    /// How many individuals came.
    pub individuals: usize,
    /// How many files they brought.
    pub files: usize,
    /// How long these are together, in bytes.
    pub bytes: u64,
    /// One for each policy that was asked for.
    pub policies: Vec<PolicyReport>,
}

impl SimulationReport {
    /// How many objects a policy stored for each one that fixed sites stored; `None` where fixed
    /// sites were not asked for or stored nothing.
    #[must_use]
    pub fn gain_over_fixed(&self, policy: &PolicyReport) -> Option<f64> {
        let fixed = self.policies.iter().find(|one| one.policy == Policy::Fixed.as_str())?;
        (fixed.stored > 0).then(|| policy.stored as f64 / fixed.stored as f64)
    }
}

/// What one policy made of it.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub policy: &'static str,
    /// Objects stored.
    pub stored: usize,
    /// How long these are together, in bytes.
    pub stored_bytes: u64,
    /// Files that wait at the end.
    pub waiting: usize,
    /// Files that were refused; only where nobody waits.
    pub refused: usize,
    /// How long files waited.
    pub wait: WaitReport,
    /// The day on which first no admissible set of sites could pay for a file; `None`: never.
    pub first_short_day: Option<f64>,
    /// Restores that were asked for.
    pub restores: RestoreReport,
    /// Stored objects of which fewer than `n` shares are left.
    pub degraded: usize,
    /// Stored objects of which fewer than `k` shares are left.
    pub unrecoverable: usize,
    /// Key free for new objects, over all links, in bytes of the direction that has less.
    pub key_left_bytes: u64,
    /// Gini coefficient of how long individuals waited, each by the mean of their files.
    pub wait_gini: f64,
    /// Gini coefficient of the key that is free at sites with a link.
    pub key_left_gini: f64,
    /// One for each site.
    pub per_site: Vec<SiteReport>,
    /// One for each day, the beginning first.
    pub days: Vec<Sample>,
}

/// How long files waited from their coming to their placement, in hours. Those that wait at the
/// end count with what they have waited by then; those that were refused don't count.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct WaitReport {
    /// The mean.
    pub mean_hours: f64,
    /// Half of them waited no longer.
    pub p50_hours: f64,
    /// Of a hundred, 95 waited no longer.
    pub p95_hours: f64,
    /// The longest.
    pub max_hours: f64,
}

/// What became of restores. Those that were asked for before anything was stored don't count.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RestoreReport {
    /// Given back.
    pub served: u64,
    /// Not given back, whatever the reason.
    pub failed: u64,
    /// Of these: fewer than `k` shares are left for good.
    pub failed_unrecoverable: u64,
    /// Of these: too many sites were away.
    pub failed_away: u64,
    /// Of these: sites had no key left for it.
    pub failed_key_short: u64,
}

impl From<Restores> for RestoreReport {
    fn from(restores: Restores) -> Self {
        let Restores { served, unrecoverable, away, key_short } = restores;
        Self {
            served,
            failed: unrecoverable + away + key_short,
            failed_unrecoverable: unrecoverable,
            failed_away: away,
            failed_key_short: key_short,
        }
    }
}

/// What is at one site at the end.
#[derive(Debug, Clone, Serialize)]
pub struct SiteReport {
    /// The site.
    pub site: String,
    /// Its zone.
    pub zone: String,
    /// Whether its shares need no key.
    pub is_local: bool,
    /// Shares that are there.
    pub shares: usize,
    /// Key from gateway to site.
    pub to_site: KeyReport,
    /// Key from site to gateway.
    pub from_site: KeyReport,
}

/// The key of one direction, in bytes: `initial + arrived = left + spent + lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// At the beginning.
    pub initial_bytes: u64,
    /// Came since, by link or courier.
    pub arrived_bytes: u64,
    /// Was used.
    pub spent_bytes: u64,
    /// Went with the site.
    pub lost_bytes: u64,
    /// Is there.
    pub left_bytes: u64,
    /// Of what is there, this much is kept for restores.
    pub reserved_bytes: u64,
}

/// Where a run stood at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Days since the beginning.
    pub day: u64,
    /// Objects stored.
    pub stored: usize,
    /// Files that wait.
    pub waiting: usize,
    /// Key free for new objects, over all links, in bytes of the direction that has less.
    pub key_left_bytes: u64,
}

/// The numbers of one run.
pub(super) fn policy_report(
    scenario: &Scenario,
    weather: &Weather,
    policy: Policy,
    run: Run<'_>,
) -> PolicyReport {
    let mut shares = vec![0; scenario.sites.len()];
    let (mut degraded, mut unrecoverable, mut stored_bytes) = (0, 0, 0);
    for object in &run.stored {
        stored_bytes += weather.files[object.file].bytes;
        let held = |site: &&u16| run.sites[usize::from(**site)].holds(object.stored_s);
        let left: Vec<_> = object.sites.iter().filter(held).collect();
        degraded += usize::from(left.len() < scenario.threshold.n());
        unrecoverable += usize::from(left.len() < scenario.threshold.k());
        left.into_iter().for_each(|site| shares[usize::from(*site)] += 1);
    }
    let waits = waits_s(scenario, weather, &run);
    let linked = run.sites.iter().filter(|site| !site.is_local());
    let keys: Vec<f64> = linked.map(|site| site.budget_bytes() as f64).collect();
    PolicyReport {
        policy: policy.as_str(),
        stored: run.stored.len(),
        stored_bytes,
        waiting: run.waiting(),
        refused: run.refused,
        wait: wait_report(&waits),
        first_short_day: run.first_short_s.map(|at_s| at_s as f64 / DAY_S as f64),
        restores: run.restores.into(),
        degraded,
        unrecoverable,
        key_left_bytes: run.free_bytes(),
        wait_gini: gini(individual_means(weather, &waits)),
        key_left_gini: gini(keys),
        per_site: site_reports(scenario, &run.sites, &shares),
        days: run.samples,
    }
}

fn site_reports(scenario: &Scenario, states: &[SiteState], shares: &[usize]) -> Vec<SiteReport> {
    let key = |state: &SiteState, direction: usize| {
        let pool = &state.pools[direction];
        KeyReport {
            initial_bytes: pool.initial_bytes,
            arrived_bytes: pool.arrived_bytes,
            spent_bytes: pool.spent_bytes,
            lost_bytes: pool.lost_bytes,
            left_bytes: pool.left_bytes,
            reserved_bytes: pool.reserved_bytes,
        }
    };
    let rows = scenario.sites.iter().zip(states).zip(shares);
    rows.map(|((model, state), shares)| SiteReport {
        site: model.name.to_string(),
        zone: model.zone.to_string(),
        is_local: model.is_local,
        shares: *shares,
        to_site: key(state, TO),
        from_site: key(state, FROM),
    })
    .collect()
}

/// How long each file waited, by its number; those that were refused are left out.
fn waits_s(scenario: &Scenario, weather: &Weather, run: &Run<'_>) -> BTreeMap<usize, u64> {
    let came_s = |file: usize| weather.files[file].came_s;
    let mut waits: BTreeMap<usize, u64> = run
        .stored
        .iter()
        .map(|object| (object.file, object.stored_s - came_s(object.file)))
        .collect();
    if run.refused == 0 {
        for file in 0..weather.files.len() {
            waits.entry(file).or_insert_with(|| scenario.end_s() - came_s(file));
        }
    }
    waits
}

fn wait_report(waits: &BTreeMap<usize, u64>) -> WaitReport {
    // Three digits: the bounds of the histogram are good for any wait of a simulation.
    let mut histogram = Histogram::<u64>::new(3).ok();
    let (mut sum_s, mut max_s) = (0_u128, 0);
    for wait_s in waits.values() {
        sum_s += u128::from(*wait_s);
        max_s = max_s.max(*wait_s);
        if let Some(histogram) = &mut histogram {
            // It grows with what it is given, so it takes every wait.
            let _ = histogram.record(*wait_s);
        }
    }
    let hours = |seconds: u64| seconds as f64 / 3600.0;
    let at = |quantile: f64| {
        let known = histogram.as_ref().map(|histogram| histogram.value_at_quantile(quantile));
        hours(known.unwrap_or(0).min(max_s))
    };
    WaitReport {
        mean_hours: sum_s as f64 / waits.len().max(1) as f64 / 3600.0,
        p50_hours: at(0.5),
        p95_hours: at(0.95),
        max_hours: hours(max_s),
    }
}

/// How long each individual waited, by the mean of their files.
fn individual_means(weather: &Weather, waits: &BTreeMap<usize, u64>) -> Vec<f64> {
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (file, wait_s) in waits {
        let (sum, count) = sums.entry(weather.files[*file].individual).or_default();
        *sum += *wait_s as f64;
        *count += 1.0;
    }
    sums.into_values().map(|(sum, count)| sum / count).collect()
}

/// The Gini coefficient (C. Gini, Variabilità e mutabilità, 1912) in the form of A. Sen (On
/// economic inequality, 1973): of values `x_1 <= .. <= x_m` above or at 0,
/// `2 sum(i x_i) / (m sum(x_i)) - (m + 1) / m`. It is 0 where all are equal and `(m - 1) / m` where
/// one has all; 0 too where nobody has anything.
pub(super) fn gini(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
    if sum <= 0.0 {
        return 0.0;
    }
    let weighted: f64 = values.iter().zip(1_u32..).map(|(x, i)| f64::from(i) * x).sum();
    (2.0 * weighted / (count * sum) - (count + 1.0) / count).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gini_coefficient_is_that_of_its_definition() {
        let of = |values: &[f64]| gini(values.to_vec());
        assert_eq!(of(&[]), 0.0);
        assert_eq!(of(&[0.0, 0.0]), 0.0);
        assert!(of(&[7.0; 5]) < 1e-12);
        assert!((of(&[0.0, 0.0, 0.0, 9.0]) - 0.75).abs() < 1e-12);
        // By all pairs: sum |x_i - x_j| / (2 m^2 mean).
        let values = [3.0_f64, 1.0, 4.0, 1.0, 5.0, 9.0];
        let pairs: f64 = values.iter().flat_map(|x| values.map(|y| (x - y).abs())).sum();
        let mean = values.iter().sum::<f64>() / 6.0;
        assert!((of(&values) - pairs / (2.0 * 36.0 * mean)).abs() < 1e-12);
    }
}
