//! What holds in every scenario, under every policy and from every seed.

use super::super::run::{Run, Stored};
use super::super::scenario::Part;
use super::super::weather::Event;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The text of any small scenario.
fn any_text() -> impl Strategy<Value = String> {
    let head = (0_usize..3, 0_usize..3, 1_u32..40, 1_u32..4, 0_u32..20);
    let sizes = prop::sample::select(vec![
        "size = 300000",
        "sizes = [\"1MB\", \"3MB\", \"70MB\"]",
        "median = \"2MB\"\nspread = 3",
    ]);
    let sites = prop::collection::vec(any_site(), 7..14);
    (head, sizes, sites).prop_map(|((scheme, queue, arrivals, files, restores), sizes, sites)| {
        let scheme = ["2/3", "3/5", "3/4"][scheme];
        let queue = ["first-come", "fairest", "refuse"][queue];
        let mut text = format!(
            "v = 1\nname = \"any\"\nmonths = 1\nscheme = \"{scheme}\"\nqueue = \"{queue}\"\n\
             restores_per_day = {}\n[arrivals]\nper_day = {}\nfiles = {files}\n{sizes}\n",
            f64::from(restores) / 10.0,
            f64::from(arrivals) / 10.0
        );
        for (at, site) in sites.iter().enumerate() {
            let _ = write!(text, "[[site]]\nname = \"s{at}\"\nzone = \"z{}\"\n{site}", at % 7);
        }
        text
    })
}

fn any_site() -> impl Strategy<Value = String> {
    let link = (0_u64..4000, 0_u64..4000, 0_u64..40_000_000, 0_u32..10);
    let mishaps = (prop::option::of(0_u32..30), 1_u32..20, prop::bool::ANY, 0_u32..4);
    let others = (0_u32..6, prop::option::of((1_u32..20, 0_u32..10)));
    (link, mishaps, others).prop_map(|(link, mishaps, (kind, courier))| {
        let (to, from, key, night) = link;
        let (outage, days, is_site, loss) = mishaps;
        let part = if is_site { "site" } else { "link" };
        let mut text = String::new();
        if kind == 0 {
            text += "channel = \"local\"\n";
        } else {
            let night = f64::from(night) / 10.0;
            let _ =
                write!(text, "rate_to = {to}\nrate_from = {from}\nkey = {key}\nnight = {night}\n");
            if let Some((every, first)) = courier {
                let _ = writeln!(
                    text,
                    "courier = {{ every_days = {every}, first_day = {first}, bytes = \"5MB\" }}"
                );
            }
        }
        if let Some(day) = outage {
            let _ = writeln!(text, "outages = [{{ day = {day}, days = {days}, of = \"{part}\" }}]");
            let _ = writeln!(text, "failures = {{ per_year = 40, hours = 20, of = \"{part}\" }}");
        }
        if loss == 0 {
            let back = days + 9;
            let _ = writeln!(text, "loss = {{ day = {days}, back_day = {back}, back_key = 9 }}");
        }
        text
    })
}

fn keeps_the_rules(scenario: &Scenario, object: &Stored) {
    let sites: BTreeSet<u16> = object.sites.iter().copied().collect();
    assert_eq!(sites.len(), scenario.threshold.n(), "{object:?}");
    let model = |site: &u16| &scenario.sites[usize::from(*site)];
    let domains: BTreeSet<_> = sites.iter().map(|site| &model(site).domain).collect();
    assert_eq!(domains.len(), sites.len(), "two shares in one domain: {object:?}");
    let mut zones = BTreeMap::new();
    sites.iter().for_each(|site| *zones.entry(&model(site).zone).or_insert(0) += 1);
    let most = scenario.threshold.n() - scenario.threshold.k();
    assert!(zones.values().all(|count| *count <= most), "a zone holds too many: {object:?}");
}

/// Whether a site was there, as the weather alone tells; what changes in that very second may
/// count or not.
fn was_up(weather: &Weather, site: usize, at_s: u64) -> bool {
    let until = |is_counted: &dyn Fn(u64) -> bool| {
        let (mut outages, mut is_lost) = (0_i64, false);
        for (when_s, event) in &weather.events {
            match event {
                _ if !is_counted(*when_s) => {}
                Event::Down { site: of, part: Part::Site } if *of == site => outages += 1,
                Event::Up { site: of, part: Part::Site } if *of == site => outages -= 1,
                Event::Loss { site: of } if *of == site => is_lost = true,
                Event::Return { site: of, .. } if *of == site => is_lost = false,
                _ => {}
            }
        }
        outages == 0 && !is_lost
    };
    until(&|when_s| when_s < at_s) || until(&|when_s| when_s <= at_s)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn key_is_conserved_and_every_placement_keeps_the_rules(
        text in any_text(),
        seed in any::<u64>(),
    ) {
        let scenario = scenario(&text);
        let weather = Weather::new(&scenario, seed);
        for policy in Policy::ALL {
            let run = Run::new(&scenario, &weather, policy, seed);
            let mut seen = BTreeSet::new();
            for object in &run.stored {
                prop_assert!(seen.insert(object.file), "{policy}: stored twice");
                prop_assert!(object.stored_s >= weather.files[object.file].came_s);
                keeps_the_rules(&scenario, object);
                for site in &object.sites {
                    let site = usize::from(*site);
                    prop_assert!(was_up(&weather, site, object.stored_s), "{policy}: {object:?}");
                }
            }
            for pool in run.sites.iter().flat_map(|site| &site.pools) {
                let came = pool.initial_bytes + pool.arrived_bytes;
                prop_assert_eq!(came, pool.left_bytes + pool.spent_bytes + pool.lost_bytes);
            }
            let report = report::policy_report(&scenario, &weather, policy, run);
            let all = report.stored + report.waiting + report.refused;
            prop_assert_eq!(all, weather.files.len(), "{}", policy);
            prop_assert!(report.days.windows(2).all(|two| two[0].stored <= two[1].stored));
            prop_assert!((0.0..=1.0).contains(&report.wait_gini));
            prop_assert!((0.0..=1.0).contains(&report.key_left_gini));
            prop_assert!(report.unrecoverable <= report.degraded);
            prop_assert!(report.degraded <= report.stored);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes(text in any_text(), seed in any::<u64>()) {
        let bytes = || {
            let report = simulate(&scenario(&text), &Policy::ALL, seed);
            serde_json::to_string(&report).unwrap()
        };
        prop_assert_eq!(bytes(), bytes());
    }

    #[test]
    fn what_is_kept_serves_a_restore_of_everything(text in any_text(), seed in any::<u64>()) {
        let text = text.replace("restores_per_day", "# restores_per_day");
        let scenario = scenario(&text);
        let weather = Weather::new(&scenario, seed);
        for policy in Policy::ALL {
            let run = Run::new(&scenario, &weather, policy, seed);
            for pool in run.sites.iter().flat_map(|site| &site.pools) {
                prop_assert!(pool.reserved_bytes <= pool.left_bytes, "{policy}: {pool:?}");
            }
        }
    }
}
