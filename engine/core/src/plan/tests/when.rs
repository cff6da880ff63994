//! When things will fit.

use super::*;
use crate::plan::when::{HORIZON_S, LinkRate, Queue, Rates, when};
use proptest::prelude::*;

const DAY_S: u64 = 86_400;

fn rates(of: &[(&str, u64, u64)], random_bytes_per_day: u64) -> Rates {
    let rate = |&(site, to, from): &(&str, u64, u64)| {
        let rate = LinkRate { to_site_bytes_per_day: to, from_site_bytes_per_day: from };
        (site.parse().unwrap(), rate)
    };
    Rates { links: of.iter().map(rate).collect(), random_bytes_per_day }
}

fn asked<'a>(candidates: &'a [Candidate], bytes: u64) -> PlanRequest<'a> {
    PlanRequest {
        threshold: Threshold::new(2, 3).unwrap(),
        geometry: Geometry::new(bytes).unwrap(),
        candidates,
        random_bytes: 1 << 20,
        overrides: &[],
        pins: &[],
        exclusions: &[],
        zone_shares_max: None,
    }
}

#[test]
fn what_fits_now_waits_for_nothing_and_what_gets_no_key_waits_for_ever() {
    let full = [linked("a", 1 << 30), linked("b", 1 << 30), linked("c", 1 << 30)];
    assert_eq!(when(&asked(&full, 1 << 20), &Rates::default()), Some(0));
    let empty = [linked("a", 1 << 30), linked("b", 1 << 30), linked("c", 0)];
    assert_eq!(when(&asked(&empty, 1 << 20), &Rates::default()), None);
    // One direction alone is not enough.
    let half = rates(&[("c", 1 << 30, 0)], 0);
    assert_eq!(when(&asked(&empty, 1 << 20), &half), None);
    // Key does not bring a third site.
    let two = [linked("a", 1 << 30), linked("b", 1 << 30)];
    let much = rates(&[("a", u64::MAX, u64::MAX)], u64::MAX);
    assert_eq!(when(&asked(&two, 1 << 20), &much), None);
}

#[test]
fn the_second_is_the_first_at_which_the_need_is_met() {
    let sites = [linked("a", 1 << 30), linked("b", 1 << 30), linked("c", 0)];
    let request = asked(&sites, 5 << 20);
    let needs = [Role::Pad, Role::Computed]
        .map(|role| need(request.threshold, request.geometry, role, Channel::Otp));
    let to = needs.iter().map(|need| need.to_site_bytes).max().unwrap();
    let from = needs.iter().map(|need| need.from_site_bytes).max().unwrap();
    // A byte a second: as many seconds as bytes of the direction that is longest in coming.
    let slow = rates(&[("c", DAY_S, 2 * DAY_S)], 0);
    assert_eq!(when(&request, &slow), Some(to.max(from.div_ceil(2))));
    // Random numbers may be what is waited for.
    let dry = PlanRequest { random_bytes: 0, candidates: &sites[..2], ..request };
    let full = [sites[0].clone(), sites[1].clone(), linked("d", 1 << 30)];
    let dry = PlanRequest { candidates: &full, ..dry };
    let needed = plan(&PlanRequest { random_bytes: 1 << 20, ..dry }).unwrap().random_bytes;
    assert_eq!(when(&dry, &rates(&[], DAY_S)), Some(needed));
}

#[test]
fn a_queue_sets_aside_what_those_before_need() {
    let sites = [linked("a", 4 << 20), linked("b", 4 << 20), linked("c", 4 << 20)];
    let every =
        rates(&[("a", 1 << 20, 1 << 20), ("b", 1 << 20, 1 << 20), ("c", 1 << 20, 1 << 20)], 0);
    let (large, small) = (asked(&sites, 6 << 20), asked(&sites, 1 << 20));
    let seconds = |requests: &[PlanRequest<'_>], rates: &Rates| -> Vec<Option<u64>> {
        let mut queue = Queue::new(&sites, 1 << 20, rates);
        requests.iter().map(|request| queue.next(request).seconds).collect()
    };
    let alone = when(&large, &every).unwrap();
    assert!(alone > 0);
    let told = seconds(&[large, small], &every);
    assert_eq!(told[0], Some(alone));
    assert!(told[1].unwrap() > alone, "what comes later does not overtake: {told:?}");
    assert_eq!(seconds(&[small, large], &every)[0], Some(0));
    // Without any arrival the large one never fits, and holds nobody up.
    assert_eq!(seconds(&[large, small, small], &Rates::default()), [None, Some(0), Some(0)]);
    let fitting = seconds(&[small; 5], &Rates::default());
    assert_eq!(fitting, [Some(0), Some(0), Some(0), None, None]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_the_smallest_time_at_which_the_plan_succeeds(
        left in proptest::collection::vec(0_u64..12 << 20, 3..6),
        per_day in proptest::collection::vec((0_u64..1 << 22, 0_u64..1 << 22), 6),
        random_bytes in 0_u64..400,
        random_per_day in 0_u64..100,
        blocks in 1_u64..2048,
    ) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let sites: Vec<Candidate> =
            left.iter().zip(names).map(|(bytes, name)| linked(name, *bytes)).collect();
        let of: Vec<(&str, u64, u64)> =
            names.iter().zip(&per_day).map(|(name, (to, from))| (*name, *to, *from)).collect();
        let rates = rates(&of, random_per_day);
        let request = PlanRequest { random_bytes, ..asked(&sites, blocks * 4096) };
        let fits = |seconds: u64| {
            let grow = |left: u64, rate: u64| {
                left + u64::try_from(u128::from(rate) * u128::from(seconds) / 86_400).unwrap()
            };
            let later: Vec<Candidate> = sites.iter().zip(&of).map(|(site, (_, to, from))| {
                Candidate {
                    to_site_bytes: grow(site.to_site_bytes, *to),
                    from_site_bytes: grow(site.from_site_bytes, *from),
                    ..site.clone()
                }
            }).collect();
            let random_bytes = grow(random_bytes, random_per_day);
            plan(&PlanRequest { candidates: &later, random_bytes, ..request }).is_ok()
        };
        match when(&request, &rates) {
            Some(0) => prop_assert!(fits(0)),
            Some(seconds) => prop_assert!(fits(seconds) && !fits(seconds - 1)),
            None => prop_assert!(!fits(HORIZON_S)),
        }
    }
}
