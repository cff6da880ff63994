//! The scenarios that come with the program.

use super::*;

fn shipped(name: &str, seed: u64) -> Scenario {
    scenario(&Shipped::find(name).unwrap().text(seed))
}

#[test]
fn forecast_never_stores_less_than_fixed_sites() {
    for one in SHIPPED {
        for seed in 1..=5 {
            let policies = [Policy::Fixed, Policy::Forecast];
            let report = simulate(&shipped(one.name, seed), &policies, seed);
            let [fixed, forecast] = &report.policies[..] else { panic!("two policies") };
            assert!(forecast.stored >= fixed.stored, "{} {seed}", one.name);
            let day = |policy: &PolicyReport| policy.first_short_day.unwrap_or(f64::INFINITY);
            assert!(day(forecast) >= day(fixed), "{} {seed}", one.name);
            assert_eq!(report.gain_over_fixed(fixed), Some(1.0));
        }
    }
}

#[test]
fn the_scenarios_are_what_their_names_say() {
    let tohoku = shipped("tohoku-2022", 1);
    assert_eq!((tohoku.sites.len(), tohoku.name()), (6, "tohoku-2022"));
    let linked = |scenario: &Scenario| {
        let rates = scenario.sites.iter().map(|site| site.rates_bits_per_second);
        rates.filter(|rates| rates.iter().all(|rate| *rate > 0)).count()
    };
    assert_eq!(linked(&tohoku), 2);
    let national = shipped("national", 1);
    assert_eq!((national.sites.len(), linked(&national), national.months()), (47, 45, 12));
    for one in SHIPPED {
        assert_eq!(shipped(one.name, 1).name(), one.name);
    }
    for (name, title) in [("national", national.title()), ("tohoku-2022", tohoku.title())] {
        assert_eq!(Shipped::find(name).unwrap().title, title);
    }
}

#[test]
fn every_seed_draws_a_sound_scenario_and_most_draw_another() {
    let drawn = |seed| Shipped::find("random").unwrap().text(seed).into_owned();
    for seed in 0..300 {
        scenario(&drawn(seed));
    }
    scenario(&drawn(u64::MAX));
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
}

#[test]
fn another_seed_is_another_year() {
    let scenario = shipped("tohoku-2022", 1);
    let files = |seed| simulate(&scenario, &[Policy::Forecast], seed).bytes;
    assert_ne!(files(1), files(2));
}
