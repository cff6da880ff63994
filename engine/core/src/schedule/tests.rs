//! The scheduler against an exact oracle on small worlds, and against the formula on large ones.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn spot(zone: u32, domain: u32, budget_bytes: u64) -> Spot {
    Spot {
        zone,
        domain,
        budget_bytes,
        fill_bytes_per_day: 0.0,
        network_bytes_per_second: None,
        is_open: true,
    }
}

fn threshold(scheme: &str) -> Threshold {
    scheme.parse().unwrap()
}

/// Whether a set keeps the rules of zones and domains.
fn keeps_rules(set: &[usize], spots: &[Spot], threshold: Threshold) -> bool {
    let most = |group: fn(&Spot) -> u32| {
        let mut counts = BTreeMap::new();
        set.iter().for_each(|at| *counts.entry(group(&spots[*at])).or_insert(0) += 1);
        counts.into_values().max().unwrap_or(0)
    };
    let mut distinct = set.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.len() == threshold.n()
        && most(|spot| spot.domain) <= 1
        && most(|spot| spot.zone) <= threshold.n() - threshold.k()
}

/// The most objects of need 1 that any choice places: every order tried.
fn most_by_force(budgets: &[u64], sets: &[Vec<usize>], known: &mut BTreeMap<Vec<u64>, u64>) -> u64 {
    if let Some(found) = known.get(budgets) {
        return *found;
    }
    let mut best = 0;
    for set in sets.iter().filter(|set| set.iter().all(|at| budgets[*at] > 0)) {
        let mut after = budgets.to_vec();
        set.iter().for_each(|at| after[*at] -= 1);
        best = best.max(1 + most_by_force(&after, sets, known));
    }
    known.insert(budgets.to_vec(), best);
    best
}

fn admissible_sets(spots: &[Spot], threshold: Threshold) -> Vec<Vec<usize>> {
    (0u32..1 << spots.len())
        .map(|bits| (0..spots.len()).filter(|at| bits >> at & 1 == 1).collect::<Vec<_>>())
        .filter(|set| keeps_rules(set, spots, threshold))
        .collect()
}

/// The largest `T` with `n T <= ` what `reach(T)` says, which is concave.
fn largest(n: u64, high: u64, reach: impl Fn(u64) -> u64) -> u64 {
    let (mut low, mut high) = (0, high + 1);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if reach(middle) >= n * middle { low = middle } else { high = middle }
    }
    low
}

/// The optimum by the formula, where every domain lies in one zone and has one site.
fn by_formula(spots: &[Spot], threshold: Threshold, need_bytes: u64) -> u64 {
    let (n, k) = (threshold.n() as u64, threshold.k() as u64);
    let zones: std::collections::BTreeSet<u32> = spots.iter().map(|spot| spot.zone).collect();
    let all: u64 = spots.iter().map(|spot| spot.budget_bytes / need_bytes).sum();
    largest(n, all, |t| {
        let of_zone = |zone: &u32| {
            let here = spots.iter().filter(|spot| spot.zone == *zone);
            here.map(|spot| (spot.budget_bytes / need_bytes).min(t)).sum::<u64>().min((n - k) * t)
        };
        zones.iter().map(of_zone).sum()
    })
}

/// Places until it is refused, and checks every set and the account.
fn run(
    spots: &[Spot],
    threshold: Threshold,
    policy: Policy,
    needs: impl Iterator<Item = u64>,
) -> Scheduler {
    let mut scheduler = Scheduler::new(spots.to_vec(), threshold, policy, 7);
    let mut budgets: Vec<u64> = spots.iter().map(|spot| spot.budget_bytes).collect();
    for need in needs {
        let Some(set) = scheduler.choose(need) else { break };
        assert!(keeps_rules(&set, spots, threshold), "{policy}: {set:?}");
        for &at in &set {
            assert!(spots[at].is_open && budgets[at] >= need, "{policy}: {set:?}");
            budgets[at] -= need;
        }
        let now: Vec<u64> = (0..spots.len()).map(|at| scheduler.budget_bytes(at)).collect();
        assert_eq!(now, budgets, "{policy}");
    }
    scheduler
}

fn small_world() -> impl Strategy<Value = (Threshold, Vec<Spot>)> {
    let threshold = prop_oneof![Just("2/3"), Just("2/4"), Just("3/4"), Just("3/5"), Just("2/2")];
    let one = (0..4u32, 0..6u32, 0..5u64).prop_map(|(zone, domain, budget)| (zone, domain, budget));
    (threshold, prop::collection::vec(one, 3..8)).prop_map(|(scheme, sites)| {
        let spots = sites.into_iter().map(|(zone, domain, budget)| spot(zone, domain, budget));
        (scheme.parse().unwrap(), spots.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_forecast_reaches_what_force_finds((threshold, spots) in small_world(), need in 1..9u64) {
        let sets = admissible_sets(&spots, threshold);
        let budgets: Vec<u64> = spots.iter().map(|spot| spot.budget_bytes).collect();
        let best = most_by_force(&budgets, &sets, &mut BTreeMap::new());
        let scaled: Vec<Spot> = spots
            .iter()
            .enumerate()
            .map(|(at, spot)| Spot {
                budget_bytes: spot.budget_bytes * need + at as u64 % need,
                ..*spot
            })
            .collect();
        let fits = Scheduler::new(scaled.clone(), threshold, Policy::Forecast, 0).fits(need);
        prop_assert_eq!(fits, best);
        let found = run(&scaled, threshold, Policy::Forecast, std::iter::repeat(need));
        prop_assert_eq!(found.stored(), best);
        for policy in Policy::ALL {
            let found = run(&scaled, threshold, policy, std::iter::repeat(need));
            prop_assert!(found.stored() <= best);
            let is_stuck = sets.iter().all(|set| {
                set.iter().any(|at| found.budget_bytes(*at) < need)
            });
            prop_assert!(is_stuck || policy == Policy::Fixed, "{} gave up", policy);
        }
    }

    #[test]
    fn sizes_of_all_kinds_keep_the_rules(
        (threshold, spots) in small_world(),
        needs in prop::collection::vec(1..3000u64, 1..60),
        closed in 0..8usize,
    ) {
        let mut spots: Vec<Spot> = spots
            .into_iter()
            .map(|spot| Spot { budget_bytes: spot.budget_bytes * 4321, ..spot })
            .collect();
        if let Some(spot) = spots.get_mut(closed) {
            spot.is_open = false;
        }
        for policy in Policy::ALL {
            run(&spots, threshold, policy, needs.iter().copied());
        }
    }
}

/// Budgets as unequal as a seed makes them.
fn random_world(seed: u64, sites: u32, zones: u32, objects: u64, need_bytes: u64) -> Vec<Spot> {
    let mut dice = Dice::new(seed);
    (0..sites)
        .map(|at| spot(dice.below(u64::from(zones)) as u32, at, dice.below(objects) * need_bytes))
        .collect()
}

#[test]
fn a_thousand_objects_reach_the_formula() {
    for seed in 0..24 {
        let need = 1 + seed * 999;
        for (scheme, zones) in [("3/5", 1_000), ("3/5", 9), ("5/9", 5), ("2/3", 4)] {
            let spots = random_world(seed, 20, zones, 600, need);
            let best = by_formula(&spots, threshold(scheme), need);
            let policy = Policy::Forecast;
            let found = run(&spots, threshold(scheme), policy, std::iter::repeat(need));
            assert_eq!(found.stored(), best, "seed {seed}, {scheme}, {zones} zones");
        }
    }
}

#[test]
fn unequal_sizes_come_within_a_hundredth() {
    for seed in 0..6 {
        let mut dice = Dice::new(seed + 100);
        let spots = random_world(seed, 20, 8, 2_000, 1_000_000);
        let scheme = threshold("3/5");
        let needs: Vec<u64> = (0..20_000).map(|_| 500_000 + dice.below(1_000_000)).collect();
        // No choice places more bytes at each site of a set than one of single bytes does.
        let best = by_formula(&spots, scheme, 1);
        let found = run(&spots, scheme, Policy::Forecast, needs.iter().copied());
        let stored = usize::try_from(found.stored()).unwrap();
        let bytes: u64 = needs[..stored].iter().sum();
        assert!(bytes * 100 >= best * 99, "seed {seed}: {bytes} of {best}");
    }
}
