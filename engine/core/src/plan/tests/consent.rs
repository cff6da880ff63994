//! Sites that release shares without their person's consent.

use super::*;
use crate::plan::when::{Queue, Rates};
use proptest::prelude::*;

fn lawless(site: &str, key_bytes: u64) -> Candidate {
    Candidate { enforces_consent: false, ..linked(site, key_bytes) }
}

#[test]
fn fewer_than_k_shares_lie_where_nobody_asks_for_consent() {
    // By their key alone all would go to a, b and c.
    let world: Vec<_> = ["a", "b", "c"]
        .map(|site| lawless(site, 9 * GIB))
        .into_iter()
        .chain(["x", "y", "z"].map(|site| linked(site, GIB)))
        .collect();
    let chosen = plan(&request("2/3", 64, &world)).unwrap();
    assert_eq!(without(&world, &chosen), 0, "{chosen:?}");
    assert!(chosen.overridden.is_empty());
    // Two of three must not be there; one may.
    let chosen = plan(&request("2/3", 64, &world[..5])).unwrap();
    assert_eq!(without(&world, &chosen), 1, "{chosen:?}");
    let refusal = plan(&request("2/3", 64, &world[..4])).unwrap_err();
    let Refusal::ConsentReach { k: 2, n: 3, sites } = &refusal else { panic!("{refusal:?}") };
    assert_eq!(sites.len(), 3);
    assert!(refusal.to_string().contains("--override consent=REASON"), "{refusal}");
    let named = overrides(&["consent"]);
    let forced = PlanRequest { overrides: &named, ..request("2/3", 64, &world[..4]) };
    assert_eq!(plan(&forced).unwrap().overridden, named);
    let not_needed = PlanRequest { overrides: &named, ..request("2/3", 64, &world) };
    assert!(plan(&not_needed).unwrap().overridden.is_empty(), "used only where it must be");
}

#[test]
fn a_batch_keeps_to_it_too() {
    let world: Vec<_> = ["a", "b", "c"]
        .map(|site| lawless(site, 9 * GIB))
        .into_iter()
        .chain(["x", "y"].map(|site| linked(site, GIB)))
        .collect();
    let one = request("2/3", 8, &world);
    let rates = Rates::default();
    let mut queue = Queue::new(&world, 1 << 40, &rates).of_many();
    for _ in 0..8 {
        let planned = queue.next(&one).plan.unwrap();
        assert!(without(&world, &planned) < 2, "{planned:?}");
    }
}

fn without(world: &[Candidate], plan: &Plan) -> usize {
    let is_lawless = |share: &&PlannedShare| {
        world.iter().any(|site| site.site == share.site && !site.enforces_consent)
    };
    plan.shares.iter().filter(is_lawless).count()
}

proptest! {
    /// Whether there is a plan at all: against every set of sites.
    #[test]
    fn there_is_a_plan_just_where_a_set_keeps_the_rules(
        sites in prop::collection::vec((0..5u8, 0..6u8, any::<bool>(), 1..4u64), 3..9),
        k in 2..4u32, spare in 1..3u32,
    ) {
        let world: Vec<_> = sites.iter().enumerate().map(|(at, (zone, domain, enforces, key))| {
            Candidate {
                zone: name(&format!("z{zone}")),
                domain: name(&format!("d{domain}")),
                enforces_consent: *enforces,
                ..linked(&format!("s{at}"), key * GIB)
            }
        }).collect();
        let scheme = format!("{k}/{}", k + spare);
        let request = request(&scheme, 4, &world);
        let (n, k) = ((k + spare) as usize, k as usize);
        let admissible = (0u32..1 << world.len()).any(|set| {
            let set: Vec<_> = (0..world.len()).filter(|at| set >> at & 1 == 1).collect();
            let most = |name: fn(&Candidate) -> &SiteName| set.iter().map(|at| {
                set.iter().filter(|other| name(&world[**other]) == name(&world[*at])).count()
            }).max().unwrap_or(0);
            let lawless = set.iter().filter(|at| !world[**at].enforces_consent).count();
            set.len() == n && lawless < k && most(|s| &s.zone) <= n - k && most(|s| &s.domain) <= 1
        });
        match plan(&request) {
            Ok(plan) => {
                prop_assert!(admissible && without(&world, &plan) < k, "{plan:?}");
            }
            Err(refusal) => prop_assert!(!admissible, "{refusal}"),
        }
    }
}
