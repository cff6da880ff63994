//! What the forecast adds: sets that leave the longest time, arrivals, networks, other policies.

use super::*;

/// Key for this many objects of a mebibyte, and some more.
fn with_objects(site: &str, objects: u64) -> Candidate {
    let need = any_role_need(&request("2/3", 1, &[]), Channel::Otp);
    let mut candidate = linked(site, 0);
    candidate.to_site_bytes = need.to_site_bytes * objects + 7;
    candidate.from_site_bytes = need.from_site_bytes * objects + 7;
    candidate
}

fn spend(world: &mut [Candidate], plan: &Plan) {
    for share in &plan.shares {
        world.iter_mut().find(|site| site.site == share.site).unwrap().charge(&share.need);
    }
}

/// Objects placed until it is refused.
fn lasting(mut world: Vec<Candidate>, choice: impl Fn(u64) -> Choice) -> u64 {
    for placed in 0.. {
        match plan_by(&request("2/3", 1, &world), choice(placed)) {
            Ok(plan) => spend(&mut world, &plan),
            Err(Refusal::KeyShortfall { .. }) => return placed,
            Err(refusal) => panic!("{refusal}"),
        }
    }
    unreachable!("key is finite")
}

fn under(policy: Policy) -> impl Fn(u64) -> Choice {
    move |turn| Choice { policy, turn }
}

#[test]
fn a_zone_that_every_set_needs_is_spared() {
    // Two zones are all but empty, and one share of each object must lie outside the full one,
    // where most key is.
    let mut world: Vec<_> = ["a", "b", "c"].map(|site| with_objects(site, 40)).into();
    for site in &mut world {
        site.zone = name("full");
    }
    world.extend([with_objects("d", 20), with_objects("e", 20)]);
    // Every set holds d and e: 20 objects.
    assert_eq!(lasting(world.clone(), under(Policy::Forecast)), 20);
    world.extend([with_objects("f", 10), with_objects("g", 10)]);
    assert_eq!(lasting(world.clone(), under(Policy::Forecast)), 30);
    for policy in Policy::ALL {
        assert!(lasting(world.clone(), under(policy)) <= 30, "{policy}");
    }
}

#[test]
fn unequal_keys_last_as_long_as_they_can() {
    let world: Vec<_> = [("a", 30), ("b", 12), ("c", 9), ("d", 5), ("e", 4), ("f", 2)]
        .map(|(site, objects)| with_objects(site, objects))
        .into();
    // With T = 16: 16 + 12 + 9 + 5 + 4 + 2 = 48 = 3 T.
    assert_eq!(lasting(world.clone(), under(Policy::Forecast)), 16);
    let equal: Vec<_> = ["a", "b", "c", "d"].map(|site| with_objects(site, 10)).into();
    assert_eq!(lasting(equal.clone(), under(Policy::Forecast)), 13);
    assert_eq!(lasting(equal, under(Policy::Fixed)), 10);
}

#[test]
fn what_comes_counts_as_there() {
    let mut world: Vec<_> = [("a", 900), ("b", 900), ("c", 20), ("d", 10)]
        .map(|(site, objects)| with_objects(site, objects))
        .into();
    let chosen = |world: &[Candidate]| sites(&plan(&request("2/3", 1, world)).unwrap()).concat();
    assert_eq!(chosen(&world), "abc");
    let need = any_role_need(&request("2/3", 1, &[]), Channel::Otp);
    world[3].to_site_fill_bytes_per_day = need.to_site_bytes * 100;
    assert_eq!(chosen(&world), "abc", "one direction alone helps nobody");
    world[3].from_site_fill_bytes_per_day = need.from_site_bytes * 100;
    // With T = 910: 900 + 900 + 20 + 910 = 3 T, so d must be in every set, little as it has now.
    assert_eq!(chosen(&world), "abd");
}

#[test]
fn pads_go_to_the_slowest_networks() {
    let mut world = [9, 8, 7, 6].map(|gib| linked(&format!("s{gib}"), gib * GIB));
    world[2].network_bytes_per_second = Some(5_000_000);
    world[3].network_bytes_per_second = Some(1_000_000);
    let found = plan(&request("3/4", 1, &world)).unwrap();
    assert_eq!(sites(&found), ["s6", "s7", "s9", "s8"], "then what is not known, by key left");
    let mut rooms = world.clone();
    rooms[3].channel = Channel::Local;
    let found = plan(&request("3/4", 1, &rooms)).unwrap();
    assert_eq!(sites(&found), ["s7", "s9", "s8", "s6"], "a pad in a room takes random numbers");
}

#[test]
fn other_policies_go_by_their_own_order() {
    let world = [1, 2, 3, 4, 5].map(|gib| linked(&format!("s{gib}"), gib * GIB));
    let chosen = |policy, turn| {
        let plan = plan_by(&request("2/3", 1, &world), Choice { policy, turn }).unwrap();
        let mut names: Vec<_> = plan.shares.iter().map(|share| share.site.to_string()).collect();
        names.sort_unstable();
        names.concat()
    };
    assert_eq!(chosen(Policy::Fixed, 3), "s1s2s3");
    assert_eq!(chosen(Policy::MostRemaining, 3), "s3s4s5");
    assert_eq!(chosen(Policy::RoundRobin, 0), "s1s2s3");
    assert_eq!(chosen(Policy::RoundRobin, 3), "s1s4s5");
    let lots: std::collections::BTreeSet<_> = (0..40).map(|t| chosen(Policy::Random, t)).collect();
    assert!(lots.len() > 5, "{lots:?}");
    for policy in Policy::ALL {
        assert_eq!(policy.as_str().parse(), Ok(policy));
    }
    assert!("Forecast".parse::<Policy>().unwrap_err().to_string().contains("round-robin"));
}
