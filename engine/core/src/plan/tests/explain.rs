//! What is told of each site.

use super::*;

fn told(request: &PlanRequest<'_>) -> Vec<Verdict> {
    let plan = plan(request).ok();
    explain(request, Choice::default(), plan.as_ref()).into_iter().map(|one| one.verdict).collect()
}

#[test]
fn every_site_is_told_of() {
    let mut world: Vec<_> =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|site| linked(site, GIB)).into();
    world[3].domain = world[0].domain.clone();
    world[3].to_site_bytes -= 1;
    world[4].zone = world[1].zone.clone();
    world[4].to_site_bytes -= 1;
    world[5].health = Health::Down("connection refused".to_owned());
    world[6].room_bytes = Some(5);
    world[7].to_site_bytes = 7;
    world[8].to_site_bytes /= 2;
    let exclusions = [name("i")];
    let request = PlanRequest { exclusions: &exclusions, ..request("2/3", 1, &world) };
    let found = told(&request);
    assert_eq!(found[0], Verdict::Chosen(Role::Pad));
    assert_eq!(found[1..3], [Verdict::Chosen(Role::Computed), Verdict::Chosen(Role::Computed)]);
    assert_eq!(found[3], Verdict::DomainTaken(name("a")));
    assert_eq!(found[4], Verdict::ZoneFull { zone: name("b-zone"), shares: 1 });
    assert_eq!(found[5], Verdict::Barred("down (connection refused)".to_owned()));
    assert!(matches!(found[6], Verdict::NoRoom { left_bytes: 5, .. }), "{:?}", found[6]);
    assert!(matches!(&found[7], Verdict::ShortOfKey(short) if short.len() == 1));
    assert_eq!(found[8], Verdict::Barred("excluded".to_owned()));
    let open = PlanRequest { exclusions: &[], ..request };
    assert_eq!(told(&open)[8], Verdict::Spared);
    let ranks: Vec<_> =
        explain(&open, Choice::default(), None).into_iter().map(|one| one.rank).collect();
    assert_eq!(ranks[..5], [Some(1), Some(2), Some(3), Some(4), Some(5)]);
    assert_eq!(ranks[5..], [None, None, None, Some(6)]);
    let few = PlanRequest { candidates: &world[..2], exclusions: &[], ..request };
    assert_eq!(told(&few), [Verdict::NoSet, Verdict::NoSet]);
}

#[test]
fn as_many_fit_as_are_placed() {
    let mut world: Vec<_> = ["a", "b", "c", "d"].map(|site| linked(site, 40 << 20)).into();
    world[0].to_site_bytes = 90 << 20;
    world[1].to_site_fill_bytes_per_day = GIB;
    world[1].from_site_fill_bytes_per_day = GIB;
    let mut placed = 0;
    let expected = fits(&request("2/3", 1, &world));
    while let Ok(plan) = plan(&request("2/3", 1, &world)) {
        for share in &plan.shares {
            world.iter_mut().find(|one| one.site == share.site).unwrap().charge(&share.need);
        }
        placed += 1;
    }
    assert!(expected > 20 && placed <= expected, "{placed} of {expected}");
    assert_eq!(fits(&request("2/3", 1, &world)), 0);
    let rooms = ["a", "b", "c"].map(|site| reached_by(Channel::Local, site));
    let cost = plan(&request("2/3", 1, &rooms)).unwrap().random_bytes;
    let request = PlanRequest { random_bytes: cost * 5 + 1, ..request("2/3", 1, &rooms) };
    assert_eq!(fits(&request), 5, "rooms take random numbers");
}
