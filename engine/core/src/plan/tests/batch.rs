//! Batches: everybody's turn, budgets that shrink, and speed by the same rules as one object.

use super::*;
use crate::schedule::Dice;
use std::collections::BTreeMap;

fn item(mebibytes: u64, individual: u64) -> BatchItem<'static> {
    BatchItem {
        threshold: "2/3".parse().unwrap(),
        geometry: Geometry::new(mebibytes << 20).unwrap(),
        overrides: &[],
        pins: &[],
        exclusions: &[],
        individual,
    }
}

/// Key for this many objects of a mebibyte.
fn with_objects(site: &str, objects: u64) -> Candidate {
    let need = any_role_need(&request("2/3", 1, &[]), Channel::Otp);
    let mut candidate = linked(site, 0);
    candidate.to_site_bytes = need.to_site_bytes * objects;
    candidate.from_site_bytes = need.from_site_bytes * objects;
    candidate
}

/// Checks that the answers can all be carried out together, and counts them.
fn carried_out(answers: &[Result<Plan, Refusal>], world: &[Candidate], random_bytes: u64) -> u64 {
    let mut left: BTreeMap<_, _> =
        world.iter().map(|site| (&site.site, (site.to_site_bytes, site.from_site_bytes))).collect();
    let mut random_left = random_bytes;
    for plan in answers.iter().flatten() {
        random_left = random_left.checked_sub(plan.random_bytes).unwrap();
        let mut zones = std::collections::BTreeSet::new();
        for share in &plan.shares {
            let (to_site, from_site) = left.get_mut(&share.site).unwrap();
            *to_site = to_site.checked_sub(share.need.to_site_bytes).unwrap();
            *from_site = from_site.checked_sub(share.need.from_site_bytes).unwrap();
            assert!(zones.insert(&share.zone), "2/3 has one share in each zone");
        }
        assert_eq!(plan.shares.len(), 3);
    }
    answers.iter().flatten().count() as u64
}

#[test]
fn equal_objects_reach_the_optimum() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let world: Vec<_> =
            (0..9).map(|at| with_objects(&format!("s{at}"), dice.below(120))).collect();
        let held: Vec<u64> = {
            let need = any_role_need(&request("2/3", 1, &[]), Channel::Otp);
            world.iter().map(|site| site.to_site_bytes / need.to_site_bytes).collect()
        };
        let lasts = |t: &u64| held.iter().map(|shares| t.min(shares)).sum::<u64>() >= 3 * t;
        let best = (1..).take_while(lasts).count() as u64;
        let items: Vec<_> = (0..400).map(|at| item(1, at)).collect();
        let answers = plan_batch(&items, &world, 1 << 40, BatchOrder::Given);
        assert_eq!(carried_out(&answers, &world, 1 << 40), best.min(400), "seed {seed}");
        let first_refused = answers.iter().position(Result::is_err).unwrap_or(400);
        assert_eq!(first_refused as u64, best.min(400), "none is passed over");
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let Refusal::KeyShortfall { sites } = refused else { panic!("{refused}") };
            assert!(!sites.is_empty());
        }
    }
}

#[test]
fn sizes_and_pins_of_all_kinds_can_be_carried_out_together() {
    let pin = [name("s3")];
    let exclusion = [name("s0"), name("s1")];
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut world: Vec<_> =
            (0..8).map(|at| with_objects(&format!("s{at}"), dice.below(200))).collect();
        world[5].room_bytes = Some(40 << 20);
        let items: Vec<_> = (0..300)
            .map(|at| BatchItem {
                pins: if dice.below(5) == 0 { &pin } else { &[] },
                exclusions: if dice.below(3) == 0 { &exclusion } else { &[] },
                ..item(1 + dice.below(6), at / 3)
            })
            .collect();
        for order in [BatchOrder::Given, BatchOrder::Smallest, BatchOrder::Fair] {
            let random_bytes = 20_000 + dice.below(20_000);
            let answers = plan_batch(&items, &world, random_bytes, order);
            let stored = carried_out(&answers, &world, random_bytes);
            assert!(stored > 0 || world.iter().filter(|s| s.to_site_bytes > 0).count() < 4);
            for (item, answer) in items.iter().zip(&answers) {
                let Ok(plan) = answer else { continue };
                let has = |name| plan.shares.iter().any(|share| &share.site == name);
                assert!(item.pins.iter().all(has) && !item.exclusions.iter().any(has));
            }
        }
    }
}

#[test]
fn what_a_batch_refuses_does_not_fit_what_it_leaves() {
    let mut world: Vec<_> = (0..6).map(|at| with_objects(&format!("s{at}"), 30 + at)).collect();
    world[2].draining = true;
    let items: Vec<_> = (0..200).map(|at| item(1 + at % 7, at)).collect();
    let answers = plan_batch(&items, &world, 1 << 40, BatchOrder::Given);
    for share in answers.iter().flatten().flat_map(|plan| &plan.shares) {
        assert_ne!(share.site, name("s2"));
        let site = world.iter_mut().find(|site| site.site == share.site).unwrap();
        site.charge(&share.need);
    }
    let refused: Vec<_> =
        items.iter().zip(&answers).filter(|(_, answer)| answer.is_err()).collect();
    assert!(!refused.is_empty() && refused.len() < 200);
    for (item, answer) in refused {
        let alone = plan(&PlanRequest { geometry: item.geometry, ..request("2/3", 1, &world) });
        assert!(alone.is_err(), "{answer:?}");
    }
}

#[test]
fn the_fair_order_goes_round() {
    let items = [(3, 1), (1, 1), (2, 2), (1, 3), (1, 2)].map(|(size, who)| item(size, who));
    assert_eq!(BatchOrder::Given.of(&items), [0, 1, 2, 3, 4]);
    assert_eq!(BatchOrder::Smallest.of(&items), [1, 3, 4, 2, 0]);
    assert_eq!(BatchOrder::Fair.of(&items), [3, 2, 0, 1, 4]);
    assert_eq!(plan_batch(&[], &[], 0, BatchOrder::Fair), []);
    let refused = plan_batch(&items, &[], 0, BatchOrder::Fair);
    assert!(refused.iter().all(|one| matches!(one, Err(Refusal::NotEnoughSites { .. }))));
}
