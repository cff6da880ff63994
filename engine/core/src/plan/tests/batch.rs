//! Many objects at once: budgets that shrink, and speed by the same rules as one object.

use super::*;
use crate::plan::when::{LinkRate, Queue, Rates};
use crate::schedule::Dice;
use std::collections::{BTreeMap, BTreeSet};

/// Key for this many objects of a mebibyte.
fn with_objects(site: &str, objects: u64) -> Candidate {
    let need = any_role_need(&request("2/3", 1, &[]), Channel::Otp);
    let mut candidate = linked(site, 0);
    candidate.to_site_bytes = need.to_site_bytes * objects;
    candidate.from_site_bytes = need.from_site_bytes * objects;
    candidate
}

/// What becomes of them, one after the other, where no key arrives.
fn planned(items: &[PlanRequest<'_>], world: &[Candidate], random_bytes: u64) -> Vec<Option<Plan>> {
    let rates = Rates::default();
    let mut queue = Queue::new(world, random_bytes, &rates).of_many();
    let planned = items.iter().map(|item| {
        let turn = queue.next(item);
        assert_eq!(turn.seconds, turn.plan.as_ref().map(|_| 0), "no key arrives");
        turn.plan
    });
    planned.collect()
}

/// Checks that the answers can all be carried out together, and counts them.
fn carried_out(answers: &[Option<Plan>], world: &[Candidate], random_bytes: u64) -> u64 {
    let left = |site: &Candidate| (site.to_site_bytes, site.from_site_bytes, site.room_bytes);
    let mut left: BTreeMap<_, _> = world.iter().map(|site| (&site.site, left(site))).collect();
    let mut random_left = random_bytes;
    for plan in answers.iter().flatten() {
        random_left = random_left.checked_sub(plan.random_bytes).unwrap();
        let mut zones = BTreeSet::new();
        for share in &plan.shares {
            let (to_site, from_site, room) = left.get_mut(&share.site).unwrap();
            *to_site = to_site.checked_sub(share.need.to_site_bytes).unwrap();
            *from_site = from_site.checked_sub(share.need.from_site_bytes).unwrap();
            *room = room.map(|room| room.checked_sub(share.need.store_bytes).unwrap());
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
        let answers = planned(&vec![request("2/3", 1, &[]); 400], &world, 1 << 40);
        assert_eq!(carried_out(&answers, &world, 1 << 40), best.min(400), "seed {seed}");
        let first_refused = answers.iter().position(Option::is_none).unwrap_or(400);
        assert_eq!(first_refused as u64, best.min(400), "none is passed over");
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
            .map(|_| PlanRequest {
                pins: if dice.below(5) == 0 { &pin } else { &[] },
                exclusions: if dice.below(3) == 0 { &exclusion } else { &[] },
                ..request("2/3", 1 + dice.below(6), &[])
            })
            .collect();
        let random_bytes = 20_000 + dice.below(20_000);
        let answers = planned(&items, &world, random_bytes);
        let stored = carried_out(&answers, &world, random_bytes);
        assert!(stored > 0 || world.iter().filter(|s| s.to_site_bytes > 0).count() < 4);
        for (item, answer) in items.iter().zip(&answers) {
            let Some(plan) = answer else { continue };
            let has = |name| plan.shares.iter().any(|share| &share.site == name);
            assert!(item.pins.iter().all(has) && !item.exclusions.iter().any(has));
        }
    }
}

#[test]
fn what_a_batch_refuses_does_not_fit_what_it_leaves() {
    let mut world: Vec<_> = (0..6).map(|at| with_objects(&format!("s{at}"), 30 + at)).collect();
    world[2].draining = true;
    let items: Vec<_> = (0..200).map(|at| request("2/3", 1 + at % 7, &[])).collect();
    let answers = planned(&items, &world, 1 << 40);
    for share in answers.iter().flatten().flat_map(|plan| &plan.shares) {
        assert_ne!(share.site, name("s2"));
        let site = world.iter_mut().find(|site| site.site == share.site).unwrap();
        site.charge(&share.need);
    }
    let refused: Vec<_> =
        items.iter().zip(&answers).filter(|(_, answer)| answer.is_none()).collect();
    assert!(!refused.is_empty() && refused.len() < 200);
    for (item, _) in refused {
        let alone = plan(&PlanRequest { candidates: &world, ..*item });
        assert!(alone.is_err());
    }
}

/// Zones and domains that cross, little room here and there, key that arrives, sizes of all kinds.
#[test]
fn many_fit_as_many_whether_or_not_a_course_is_set() {
    for seed in 0..12 {
        let mut dice = Dice::new(seed);
        let mut world: Vec<_> =
            (0..12).map(|at| with_objects(&format!("s{at}"), dice.below(160))).collect();
        for site in &mut world {
            site.zone = name(&format!("z{}", dice.below(5)));
            site.domain = name(&format!("d{}", dice.below(9)));
            site.room_bytes = (dice.below(6) == 0).then_some(60 << 20);
        }
        let rate = |site: &Candidate| {
            let rate =
                LinkRate { to_site_bytes_per_day: 1 << 20, from_site_bytes_per_day: 1 << 20 };
            (site.site.clone(), rate)
        };
        let links = world.iter().take(4).map(rate).collect();
        let rates = Rates { links, random_bytes_per_day: 0 };
        let items: Vec<_> = (0..400).map(|_| request("2/4", 1 + dice.below(2), &[])).collect();
        let of = |mut queue: Queue<'_>| -> (usize, Vec<Option<u64>>) {
            let turns: Vec<_> = items.iter().map(|item| queue.next(item).seconds).collect();
            (turns.iter().filter(|seconds| **seconds == Some(0)).count(), turns)
        };
        let (alone, _) = of(Queue::new(&world, 1 << 40, &rates));
        let (many, turns) = of(Queue::new(&world, 1 << 40, &rates).of_many());
        assert!(many * 100 >= alone * 98, "seed {seed}: {many} instead of {alone}");
        assert!(many > 20 || alone < 30, "seed {seed}: {alone}");
        assert_eq!(turns.len(), 400);
    }
}

#[test]
fn fewer_shares_in_a_zone_than_the_scheme_bears() {
    let mut world: Vec<_> = (0..8).map(|at| with_objects(&format!("s{at}"), 50)).collect();
    for (at, site) in world.iter_mut().enumerate() {
        site.zone = name(&format!("z{}", at / 2));
    }
    let most_in_a_zone = |plan: &Plan| {
        let zones = plan.shares.iter().map(|share| &share.zone);
        zones.clone().map(|zone| zones.clone().filter(|one| *one == zone).count()).max()
    };
    let base = request("2/4", 1, &world);
    let tight = PlanRequest { zone_shares_max: Some(1), ..base };
    for answer in planned(&[tight; 30], &world, 1 << 40) {
        assert_eq!(answer.as_ref().and_then(most_in_a_zone), Some(1));
    }
    assert_eq!(most_in_a_zone(&plan(&tight).unwrap()), Some(1));
    // More than the scheme bears is not allowed by it.
    let loose = PlanRequest { zone_shares_max: Some(9), candidates: &world[..3], ..base };
    assert!(plan(&PlanRequest { threshold: "2/3".parse().unwrap(), ..loose }).is_err());
    // Six sites in three zones make no set of four, but by name.
    let few = PlanRequest { candidates: &world[..6], ..tight };
    let refusal = plan(&few).unwrap_err();
    assert!(matches!(refusal, Refusal::ZoneLoss { most: 1, .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("max_per_zone"), "{refusal}");
    let by_name = overrides(&["zone"]);
    let found = plan(&PlanRequest { overrides: &by_name, ..few }).unwrap();
    assert_eq!(found.overridden, by_name, "it is recorded");
    let explained = explain(&tight, Choice::default(), plan(&tight).as_ref().ok());
    let full = |one: &&Explained| matches!(&one.verdict, Verdict::ZoneFull { shares: 1, .. });
    assert_eq!(explained.iter().filter(full).count(), 4);
}
