//! The planner against hand-made worlds, and (in `oracle`) against brute force.

mod batch;
mod consent;
mod costs;
mod explain;
mod forecast;
mod oracle;
mod when;

use super::*;
use crate::direction::Direction;

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn request<'a>(scheme: &str, mebibytes: u64, candidates: &'a [Candidate]) -> PlanRequest<'a> {
    PlanRequest {
        threshold: scheme.parse().unwrap(),
        geometry: Geometry::new(mebibytes << 20).unwrap(),
        candidates,
        random_bytes: 1 << 40,
        overrides: &[],
        pins: &[],
        exclusions: &[],
        zone_shares_max: None,
    }
}

/// A healthy site on a link with this much key in each direction, alone in zone and domain.
fn linked(site: &str, key_bytes: u64) -> Candidate {
    Candidate {
        site: name(site),
        zone: name(&format!("{site}-zone")),
        domain: name(&format!("{site}-domain")),
        channel: Channel::Otp,
        health: Health::Up,
        draining: false,
        room_bytes: None,
        to_site_bytes: key_bytes,
        from_site_bytes: key_bytes,
        to_site_fill_bytes_per_day: 0,
        from_site_fill_bytes_per_day: 0,
        network_bytes_per_second: None,
        enforces_consent: true,
    }
}

fn reached_by(channel: Channel, site: &str) -> Candidate {
    Candidate { channel, ..linked(site, 0) }
}

fn overrides(words: &[&str]) -> Vec<Override> {
    let one = |word: &&str| Override { rule: word.parse().unwrap(), reason: "a lab".to_owned() };
    words.iter().map(one).collect()
}

fn sites(plan: &Plan) -> Vec<&str> {
    plan.shares.iter().map(|share| share.site.as_str()).collect()
}

const GIB: u64 = 1 << 30;

#[test]
fn most_key_comes_first_and_pads_go_to_the_front() {
    let mut world: Vec<_> =
        [("a", 2), ("b", 9), ("c", 4), ("d", 9), ("e", 3)].map(|(s, g)| linked(s, g * GIB)).into();
    world[4].to_site_bytes = 100 * GIB;
    let plan = plan(&request("3/4", 64, &world)).unwrap();
    assert_eq!(sites(&plan), ["b", "d", "c", "e"], "the lesser direction counts, ties by name");
    let xs: Vec<_> = plan.shares.iter().map(|share| share.x.get()).collect();
    assert_eq!(xs, [1, 2, 3, 4]);
    let roles: Vec<_> = plan.shares.iter().map(|share| share.role).collect();
    assert_eq!(roles, [Role::Pad, Role::Pad, Role::Computed, Role::Computed]);
    assert_eq!((plan.tolerates_corrupt_sites, plan.overridden.len()), (2, 0));
    assert_eq!(plan.random_bytes, 4 * 16 + 5 * 16, "links hardly touch the random pool");
}

#[test]
fn links_come_before_rooms_and_take_the_pads() {
    let mut world: Vec<_> = ["a", "b", "c"].map(|s| reached_by(Channel::Local, s)).into();
    world.extend(["x", "y"].map(|s| linked(s, GIB)));
    let plan = plan(&request("3/5", 64, &world)).unwrap();
    assert_eq!(sites(&plan), ["x", "y", "a", "b", "c"]);
    assert!(plan.random_bytes < 4 * 65 * (1 << 20) / 64, "three masks, no pad: {plan:?}");
}

#[test]
fn two_of_two_needs_the_operators_word() {
    let world = [linked("a", GIB), linked("b", GIB)];
    let mut request = request("2/2", 1, &world);
    let refusal = plan(&request).unwrap_err();
    assert!(matches!(refusal, Refusal::ZoneLoss { k: 2, n: 2, .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("--override zone=REASON"), "{refusal}");
    let named = overrides(&["zone", "domain"]);
    request.overrides = &named;
    let plan = plan(&request).unwrap();
    assert_eq!(plan.overridden, named[..1], "the other rule is kept and not recorded");
}

#[test]
fn an_override_is_used_only_where_it_must_be() {
    let mut world = [linked("a", 9 * GIB), linked("b", 8 * GIB), linked("c", GIB)];
    world[1].domain = world[0].domain.clone();
    let named = overrides(&["domain"]);
    let mut request = request("2/3", 1, &world);
    request.overrides = &named;
    assert_eq!(plan(&request).unwrap().overridden, named);
    let mut more = world.to_vec();
    more.push(linked("d", GIB / 2));
    request.candidates = &more;
    let plan = plan(&request).unwrap();
    assert_eq!(sites(&plan), ["a", "c", "d"]);
    assert!(plan.overridden.is_empty());
}

#[test]
fn greed_does_not_walk_into_a_corner() {
    // Taking the richest first, c, would block a by its domain and b by its zone.
    let mut world = ["a", "b", "c", "d"].map(|s| linked(s, GIB));
    world[2].to_site_bytes *= 9;
    world[2].from_site_bytes *= 9;
    world[2].domain = world[0].domain.clone();
    world[2].zone = world[1].zone.clone();
    let request = request("2/3", 1, &world);
    assert_eq!(sites(&plan(&request).unwrap()), ["a", "b", "d"]);
    let found = plan(&PlanRequest { pins: &[name("c")], ..request });
    assert!(matches!(found, Err(Refusal::ZoneLoss { .. })), "{found:?}");
}

#[test]
fn no_room_is_used_where_links_suffice() {
    // Taking the richest first, a, would leave only the room beside d.
    let mut world = [linked("a", 9 * GIB), linked("b", 5 * GIB), linked("c", 4 * GIB)].to_vec();
    world[1].zone = world[0].zone.clone();
    world[2].domain = world[0].domain.clone();
    world.extend([linked("d", GIB), reached_by(Channel::Local, "l")]);
    world[4].zone = world[2].zone.clone();
    world[4].domain = world[1].domain.clone();
    assert_eq!(sites(&plan(&request("2/3", 1, &world)).unwrap()), ["b", "c", "d"]);
}

#[test]
fn tls_counts_against_the_threshold() {
    let mut world: Vec<_> = ["a", "b"].map(|s| linked(s, GIB)).into();
    world.extend(["t", "u"].map(|s| reached_by(Channel::Tls, s)));
    let mut request = request("3/4", 1, &world);
    let refusal = plan(&request).unwrap_err();
    assert!(matches!(refusal, Refusal::NotEnoughSites { needed: 4, admissible: 2, .. }));
    assert!(refusal.to_string().contains("--override channel=REASON"), "{refusal}");
    let named = overrides(&["channel"]);
    request.overrides = &named;
    let found = plan(&request).unwrap();
    assert_eq!((found.tolerates_corrupt_sites, &found.overridden), (0, &named));
    request.threshold = "2/4".parse().unwrap();
    assert_eq!(plan(&request), Err(Refusal::TlsReach { limit: 1 }));
}

#[test]
fn rooms_replace_tls_where_tls_alone_would_tell() {
    // With x, only t and u complete the set; without it, the three rooms do.
    let mut world = vec![linked("x", GIB)];
    world.extend(["t", "u"].map(|s| reached_by(Channel::Tls, s)));
    world.extend(["l", "m", "p"].map(|s| reached_by(Channel::Local, s)));
    let places = [(1, 1), (2, 2), (3, 3), (1, 2), (2, 3), (3, 1)];
    for (site, (zone, domain)) in world.iter_mut().zip(places) {
        site.zone = name(&format!("zone-{zone}"));
        site.domain = name(&format!("domain-{domain}"));
    }
    let named = overrides(&["channel"]);
    let mut request = request("2/3", 1, &world);
    request.overrides = &named;
    let plan = plan(&request).unwrap();
    assert_eq!((sites(&plan), plan.overridden.len()), (vec!["l", "m", "p"], 0));
}

#[test]
fn what_bars_a_site_is_told() {
    let mut world = ["a", "b", "c", "d"].map(|s| linked(s, GIB));
    world[0].health = Health::Down("connection refused".to_owned());
    world[1].draining = true;
    let exclusions = [name("c")];
    let request = PlanRequest { exclusions: &exclusions, ..request("2/3", 1, &world) };
    let refusal = plan(&request).unwrap_err();
    let text = refusal.to_string();
    for part in ["3 sites are needed and 1 are", "a: down (connection refused)", "b: draining"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("c: excluded"), "{text}");
    let found = plan(&PlanRequest { pins: &exclusions, ..request });
    assert!(matches!(found, Err(Refusal::PinUnusable { .. })), "{found:?}");
}

#[test]
fn shortfalls_say_how_much_is_missing() {
    let need =
        need("2/3".parse().unwrap(), Geometry::new(64 << 20).unwrap(), Role::Pad, Channel::Otp);
    let mut world = ["a", "b", "c"].map(|s| linked(s, GIB));
    world[1].to_site_bytes = need.to_site_bytes - 7;
    world[1].from_site_bytes = 1000;
    let refusal = plan(&request("2/3", 64, &world)).unwrap_err();
    let Refusal::KeyShortfall { sites } = &refusal else { panic!("{refusal:?}") };
    let missing: Vec<_> = sites.iter().map(|s| (s.direction, s.missing_bytes())).collect();
    let from = need.from_site_bytes - 1000;
    assert_eq!(missing, [(Direction::AToB, 7), (Direction::BToA, from)]);
    let told = refusal.to_string();
    assert!(told.contains("\n  b     to it        66 MiB       7 B\n"), "{told}");
    // A quarter more than the worse direction lacks, in round figures.
    assert!((64 << 20..100 << 20).contains(&from));
    let next = "\n  warifu key generate --site b --bytes 128MiB --courier DRIVE";
    assert!(told.ends_with(next), "{told}");
    world[1].to_site_bytes += 7;
    world[1].from_site_bytes += from;
    assert!(plan(&request("2/3", 64, &world)).is_ok(), "what was said to be missing suffices");
}

#[test]
fn random_bytes_and_room_are_counted() {
    let world = ["a", "b", "c"].map(|s| reached_by(Channel::Local, s));
    let mut request = request("2/3", 3, &world);
    let needed_bytes = plan(&request).unwrap().random_bytes;
    request.random_bytes = needed_bytes;
    assert!(plan(&request).is_ok());
    request.random_bytes -= 1;
    let refusal = Refusal::RandomShortfall { needed_bytes, left_bytes: needed_bytes - 1 };
    assert_eq!(plan(&request), Err(refusal.clone()));
    assert!(refusal.to_string().contains("`warifu key generate --random --bytes 1MiB`"));

    let store = need(request.threshold, request.geometry, Role::Pad, Channel::Local).store_bytes;
    let mut full = world.clone();
    full[2].room_bytes = Some(store - 1);
    let request = PlanRequest { random_bytes: GIB, candidates: &full, ..request };
    let refusal = Refusal::NoRoom { needed_bytes: store, sites: vec![(name("c"), store - 1)] };
    assert_eq!(plan(&request), Err(refusal));
}

#[test]
fn wrong_names_are_refused() {
    let world = ["a", "b", "c"].map(|s| linked(s, GIB));
    let (stranger, twice) = ([name("z")], [name("a"), name("a")]);
    let base = request("2/2", 1, &world);
    let with = |pins, exclusions| plan(&PlanRequest { pins, exclusions, ..base }).unwrap_err();
    assert_eq!(with(&stranger, &[]), Refusal::UnknownSite(name("z")));
    assert_eq!(with(&[], &stranger), Refusal::UnknownSite(name("z")));
    assert_eq!(with(&twice, &[]), Refusal::NamedTwice(name("a")));
    let all = ["a", "b", "c"].map(name);
    assert_eq!(with(&all, &[]), Refusal::TooManyPins { pins: 3, n: 2 });
    let doubled = [world[0].clone(), world[0].clone()];
    let found = plan(&PlanRequest { candidates: &doubled, ..base });
    assert_eq!(found, Err(Refusal::NamedTwice(name("a"))));
    assert!("Zone".parse::<Rule>().is_err());
}

#[test]
fn the_largest_scheme_is_planned() {
    let world: Vec<_> = (0..300).map(|at| linked(&format!("s{at:03}"), GIB + at)).collect();
    let plan = plan(&request("128/255", 1, &world)).unwrap();
    assert_eq!(plan.shares.len(), 255);
    assert_eq!(plan.shares[0].site, name("s299"));
    assert_eq!(plan.shares[254].site, name("s045"));
}
