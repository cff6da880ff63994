//! The planner against every set of sites there is, and against every cut through what they hold.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn counts_within<'a>(names: impl Iterator<Item = &'a SiteName>, most: usize) -> bool {
    let names: Vec<_> = names.collect();
    names.iter().all(|name| names.iter().filter(|other| other == &name).count() <= most)
}

fn named(request: &PlanRequest<'_>, rule: Rule) -> bool {
    request.overrides.iter().any(|named| named.rule == rule)
}

/// Whether a site may get any share at all, in the words of the contract.
fn may_serve(site: &Candidate, request: &PlanRequest<'_>) -> bool {
    [Role::Pad, Role::Computed].into_iter().all(|role| {
        let need = need(request.threshold, request.geometry, role, site.channel);
        let keyed = site.channel != Channel::Otp
            || (need.to_site_bytes <= site.to_site_bytes
                && need.from_site_bytes <= site.from_site_bytes);
        keyed && site.room_bytes.is_none_or(|room| room >= need.store_bytes)
    }) && site.health == Health::Up
        && !site.draining
        && !request.exclusions.contains(&site.site)
        && (site.channel != Channel::Tls || named(request, Rule::Channel))
}

/// Whether a set is admissible, given the rules that are set aside.
fn admissible(set: &[&Candidate], request: &PlanRequest<'_>) -> bool {
    let (n, k) = (request.threshold.n(), request.threshold.k());
    let per_zone = request.zone_shares_max.unwrap_or(n).min(n - k);
    if set.len() != n {
        return false;
    }
    let unlinked = set.iter().filter(|site| site.channel != Channel::Otp).count();
    let pads_unlinked = (k - 1).saturating_sub(n - unlinked);
    let cost =
        |role, channel| need(request.threshold, request.geometry, role, channel).random_bytes;
    let random = pads_unlinked as u64 * cost(Role::Pad, Channel::Local)
        + (unlinked - pads_unlinked) as u64 * cost(Role::Computed, Channel::Local)
        + (n - unlinked) as u64 * 16
        + (n as u64 + 1) * 16;
    (named(request, Rule::Zone) || counts_within(set.iter().map(|s| &s.zone), per_zone))
        && (named(request, Rule::Domain) || counts_within(set.iter().map(|s| &s.domain), 1))
        && set.iter().filter(|site| site.channel == Channel::Tls).count() < k
        && request.pins.iter().all(|pin| set.iter().any(|site| &site.site == pin))
        && random <= request.random_bytes
}

/// Every admissible set, as the ranks of its sites, best first in the planner's own words.
fn all_admissible(request: &PlanRequest<'_>) -> BTreeSet<(usize, Vec<usize>)> {
    let mut ranked: Vec<_> =
        request.candidates.iter().filter(|site| may_serve(site, request)).collect();
    ranked.sort_by(|a, b| {
        let key = |site: &Candidate| match site.channel {
            Channel::Otp => site.to_site_bytes.min(site.from_site_bytes),
            _ => 0,
        };
        a.channel.cmp(&b.channel).then(key(b).cmp(&key(a))).then(a.site.cmp(&b.site))
    });
    let mut found = BTreeSet::new();
    for bits in 0u32..1 << ranked.len() {
        let ranks: Vec<_> = (0..ranked.len()).filter(|at| bits >> at & 1 == 1).collect();
        let set: Vec<_> = ranks.iter().map(|at| ranked[*at]).collect();
        if admissible(&set, request) {
            let unlinked = set.iter().filter(|site| site.channel != Channel::Otp).count();
            found.insert((unlinked, ranks));
        }
    }
    found
}

#[derive(Debug)]
struct World {
    threshold: Threshold,
    candidates: Vec<Candidate>,
    random_bytes: u64,
    overrides: Vec<Override>,
    pins: Vec<SiteName>,
    exclusions: Vec<SiteName>,
    zone_shares_max: Option<usize>,
}

fn candidate(at: usize, threshold: Threshold) -> impl Strategy<Value = Candidate> {
    let geometry = Geometry::new(1 << 20).unwrap();
    let need = need(threshold, geometry, Role::Pad, Channel::Otp);
    let channel = prop_oneof![
        5 => Just(Channel::Otp), 2 => Just(Channel::Local), 1 => Just(Channel::Tls)
    ];
    let state = prop_oneof![20 => Just(0), 1 => Just(1), 1 => Just(2), 1 => Just(3)];
    // Below, exactly at, and above what so many objects need, with ties.
    let key = || prop_oneof![1 => Just(None), 16 => (1u64..5, 0u64..3).prop_map(Some)];
    (0..6u8, 0..7u8, channel, state, key(), key()).prop_map(
        move |(zone, domain, channel, state, to, from)| Candidate {
            site: name(&format!("s{at}")),
            zone: name(&format!("z{zone}")),
            domain: name(&format!("d{domain}")),
            channel,
            health: if state == 1 { Health::Down("off".to_owned()) } else { Health::Up },
            draining: state == 2,
            room_bytes: match state {
                3 => Some(need.store_bytes - 1),
                _ => (zone == 0).then_some(2 * need.store_bytes),
            },
            to_site_bytes: to
                .map_or(need.to_site_bytes - 1, |(times, more)| need.to_site_bytes * times + more),
            from_site_bytes: from.map_or(need.from_site_bytes - 1, |(times, more)| {
                need.from_site_bytes * times + more * 3
            }),
            to_site_fill_bytes_per_day: 0,
            from_site_fill_bytes_per_day: 0,
            network_bytes_per_second: None,
            enforces_consent: true,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    (2u32..4, prop_oneof![1 => 0u32..1, 6 => 1u32..4]).prop_flat_map(|(k, spare)| {
        let threshold = Threshold::new(k, k + spare).unwrap();
        let candidates: Vec<_> = (0..9).map(|at| candidate(at, threshold).boxed()).collect();
        let rules = prop::sample::subsequence(vec!["zone", "domain", "channel"], 0..=2);
        let random = prop_oneof![1 => Just(0u64), 2 => 0u64..(6 << 20), 4 => Just(1 << 40)];
        let pins = prop::sample::subsequence((0..9).collect::<Vec<usize>>(), 0..=1);
        let per_zone = prop_oneof![3 => Just(None), 1 => (1..3usize).prop_map(Some)];
        (candidates, rules, random, pins.clone(), pins, 4..10usize, per_zone).prop_map(
            move |(mut candidates, rules, random_bytes, pins, exclusions, count, per_zone)| {
                candidates.truncate(count);
                let some = |ranks: Vec<usize>| {
                    let within = ranks.into_iter().filter(|at| *at < count);
                    within.map(|at| name(&format!("s{at}"))).collect()
                };
                let (pins, exclusions) = (some(pins), some(exclusions));
                let overrides = overrides(&rules);
                World {
                    threshold,
                    candidates,
                    random_bytes,
                    overrides,
                    pins,
                    exclusions,
                    zone_shares_max: per_zone,
                }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn agrees_with_brute_force(world in world()) {
        let request = PlanRequest {
            threshold: world.threshold,
            geometry: Geometry::new(1 << 20).unwrap(),
            candidates: &world.candidates,
            random_bytes: world.random_bytes,
            overrides: &world.overrides,
            pins: &world.pins,
            exclusions: &world.exclusions,
            zone_shares_max: world.zone_shares_max,
        };
        let all = all_admissible(&request);
        match plan(&request) {
            Ok(plan) => check(&plan, &request, &all)?,
            Err(refusal) => {
                prop_assert!(all.is_empty(), "{refusal} although {all:?}");
                check_refusal(&refusal, &request)?;
            }
        }
    }
}

fn check(
    plan: &Plan,
    request: &PlanRequest<'_>,
    all: &BTreeSet<(usize, Vec<usize>)>,
) -> Result<(), TestCaseError> {
    let threshold = request.threshold;
    let set: Vec<_> = plan
        .shares
        .iter()
        .map(|share| request.candidates.iter().find(|site| site.site == share.site).unwrap())
        .collect();
    let distinct: BTreeSet<_> = plan.shares.iter().map(|share| &share.site).collect();
    prop_assert_eq!(distinct.len(), threshold.n());
    prop_assert!(admissible(&set, request) && set.iter().all(|site| may_serve(site, request)));
    let mut random = 16 * (threshold.n() as u64 + 1);
    for (at, share) in plan.shares.iter().enumerate() {
        prop_assert_eq!(usize::from(share.x.get()), at + 1);
        prop_assert_eq!(share.role == Role::Pad, at < threshold.k() - 1);
        prop_assert_eq!((&share.zone, &share.domain), (&set[at].zone, &set[at].domain));
        prop_assert_eq!(share.channel, set[at].channel);
        let cost = need(threshold, request.geometry, share.role, share.channel);
        prop_assert_eq!(share.need, cost);
        random += cost.random_bytes;
    }
    prop_assert_eq!(plan.random_bytes, random);
    let tls = set.iter().filter(|site| site.channel == Channel::Tls).count();
    prop_assert_eq!(plan.tolerates_corrupt_sites + tls, threshold.k() - 1);
    let strict = PlanRequest { overrides: &plan.overridden, ..*request };
    prop_assert!(admissible(&set, &strict), "it breaks a rule that it does not record");
    for rule in &plan.overridden {
        let without: Vec<_> = plan.overridden.iter().filter(|one| *one != rule).cloned().collect();
        let strict = PlanRequest { overrides: &without, ..*request };
        let serving = set.iter().all(|site| may_serve(site, &strict));
        prop_assert!(!(serving && admissible(&set, &strict)), "{rule:?} is recorded in vain");
    }
    if request.overrides.is_empty() {
        let unlinked = set.iter().filter(|site| site.channel != Channel::Otp).count();
        let best = all.first().map(|(unlinked, _)| *unlinked);
        prop_assert_eq!(best, Some(unlinked), "another set has more links");
        if unlinked == 0 && request.pins.is_empty() {
            let (before, after) = (lasting(request, &[]), lasting(request, &set));
            prop_assert_eq!(after + 1, before, "another set leaves a longer time");
        }
    }
    Ok(())
}

/// How many objects like this one the links can still take after these sites took one, by the
/// narrowest of all cuts: whichever domains are cut off, each zone is cut where it is narrower.
fn lasting(request: &PlanRequest<'_>, taken: &[&Candidate]) -> u64 {
    let (n, k) = (request.threshold.n() as u64, request.threshold.k() as u64);
    let per_zone = request.zone_shares_max.map_or(n - k, |most| (most as u64).min(n - k));
    let shares: Vec<_> = request
        .candidates
        .iter()
        .filter(|site| site.channel == Channel::Otp && may_serve(site, request))
        .map(|site| {
            let need = any_role_need(request, site.channel);
            let room = site.room_bytes.map_or(u64::MAX, |room| room / need.store_bytes);
            let key = (site.to_site_bytes / need.to_site_bytes)
                .min(site.from_site_bytes / need.from_site_bytes);
            (site, key.min(room) - u64::from(taken.iter().any(|one| one.site == site.site)))
        })
        .collect();
    let domains: Vec<_> =
        shares.iter().map(|(site, _)| &site.domain).collect::<BTreeSet<_>>().into_iter().collect();
    let zones: BTreeSet<_> = shares.iter().map(|(site, _)| &site.zone).collect();
    let width = |objects: u64, cut_off: u32| {
        let is_off = |name: &SiteName| {
            (0..domains.len()).any(|at| domains[at] == name && cut_off >> at & 1 == 1)
        };
        let through = zones.iter().map(|zone| {
            let here =
                shares.iter().filter(|(site, _)| &&site.zone == zone && !is_off(&site.domain));
            here.map(|(_, shares)| objects.min(*shares)).sum::<u64>().min(per_zone * objects)
        });
        u64::from(cut_off.count_ones()) * objects + through.sum::<u64>()
    };
    let fits = |objects: &u64| {
        (0u32..1 << domains.len()).all(|cut_off| width(*objects, cut_off) >= n * objects)
    };
    (1..).take_while(fits).count() as u64
}

/// What a refusal names must be so.
fn check_refusal(refusal: &Refusal, request: &PlanRequest<'_>) -> Result<(), TestCaseError> {
    let with = |rules: &[&str]| {
        let mut all = request.overrides.to_vec();
        all.extend(overrides(rules));
        let plenty: Vec<_> = request
            .candidates
            .iter()
            .map(|site| Candidate {
                to_site_bytes: u64::MAX,
                from_site_bytes: u64::MAX,
                room_bytes: None,
                ..site.clone()
            })
            .collect();
        let better = PlanRequest {
            overrides: &all,
            candidates: &plenty,
            random_bytes: u64::MAX,
            ..*request
        };
        plan(&better).is_ok()
    };
    match refusal {
        Refusal::ZoneLoss { .. } => prop_assert!(!with(&[]) && with(&["zone"])),
        Refusal::DomainReach { .. } => prop_assert!(!with(&[]) && with(&["domain"])),
        Refusal::ZoneAndDomain { .. } => {
            prop_assert!(!with(&["zone"]) && !with(&["domain"]) && with(&["zone", "domain"]));
        }
        Refusal::KeyShortfall { sites } => {
            prop_assert!(with(&[]) && !sites.is_empty());
            prop_assert!(sites.iter().all(|short| short.missing_bytes() > 0));
        }
        Refusal::NoRoom { sites, .. } => prop_assert!(with(&[]) && !sites.is_empty()),
        Refusal::RandomShortfall { needed_bytes, left_bytes } => {
            let richer = PlanRequest { random_bytes: *needed_bytes, ..*request };
            prop_assert!(needed_bytes > left_bytes && plan(&richer).is_ok());
        }
        Refusal::NotEnoughSites { needed, admissible, .. } => prop_assert!(admissible < needed),
        Refusal::PinUnusable { site, .. } => prop_assert!(request.pins.contains(site)),
        Refusal::TlsReach { .. } => prop_assert!(!with(&["zone", "domain", "channel"])),
        Refusal::ConsentReach { .. } => prop_assert!(false, "all of them ask for consent"),
        Refusal::TooManyPins { .. } | Refusal::UnknownSite(_) | Refusal::NamedTwice(_) => {
            prop_assert!(false, "no such name is made here: {refusal}");
        }
    }
    Ok(())
}
