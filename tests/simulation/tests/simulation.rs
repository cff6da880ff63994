//! Worlds by seed: none may break an invariant, and planted bugs must be found.
//!
//! `WARIFU_SIM_SEEDS=N` runs so many seeds, `WARIFU_SIM_FROM=K` begins at seed K. How to look at
//! one seed is in the README.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![expect(clippy::print_stdout, reason = "what a run has counted is for whoever reads its log")]

use std::time::Instant;
use warifu_simulation::{Campaign, Canary, Order, Outcome, Scenario};

/// Operations of a gateway in each world of the quick run.
const QUICK_OPERATIONS: u32 = 24;

/// Operations of a gateway in each world of the long run.
const LONG_OPERATIONS: u32 = 220;

/// Seeds of the quick run.
const QUICK_SEEDS: u64 = 500;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn quick(seed: u64) -> Order {
    Order { seed, operations: QUICK_OPERATIONS, canary: None, keep_lines: false }
}

/// Runs seeds, tells what they counted, and how to see again what went wrong.
fn run(order: Order, seeds: u64) {
    let started = Instant::now();
    let campaign = Campaign::run(order, seeds, None).unwrap();
    let (counters, seconds) = (campaign.counters, started.elapsed().as_secs());
    println!("{} seeds in {seconds} s: {counters:?}", campaign.seeds);
    let (test, operations) = ("one_seed_in_words", order.operations);
    for (seed, what) in &campaign.broken {
        println!("seed {seed}: {what}");
        println!("  WARIFU_SIM_FROM={seed} WARIFU_SIM_OPERATIONS={operations} cargo test \\");
        println!("    -p warifu-simulation {test} -- --ignored --nocapture");
    }
    assert!(campaign.broken.is_empty(), "{} seeds broke an invariant", campaign.broken.len());
    assert!(counters.stored >= seeds && counters.restored >= seeds, "hardly anything was stored");
    assert!(8 * counters.resumed >= seeds, "hardly anything was gone on with");
    assert!(20 * counters.cancelled >= seeds, "hardly anything was given up");
    assert!(counters.delivered >= seeds, "deliverers brought hardly anything");
    assert!(counters.faults >= 10 * seeds && counters.deaths >= seeds, "hardly anything happened");
}

#[test]
fn five_hundred_seeds_break_nothing() {
    run(quick(number("WARIFU_SIM_FROM", 1)), number("WARIFU_SIM_SEEDS", QUICK_SEEDS));
}

#[test]
#[ignore = "long: 100 seeds of 220 operations, or as many as WARIFU_SIM_SEEDS says"]
fn many_long_seeds_break_nothing() {
    let order = Order { operations: LONG_OPERATIONS, ..quick(number("WARIFU_SIM_FROM", 1)) };
    run(order, number("WARIFU_SIM_SEEDS", 100));
}

#[test]
#[ignore = "for a person who looks at one seed"]
fn one_seed_in_words() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .init();
    let operations = number("WARIFU_SIM_OPERATIONS", u64::from(QUICK_OPERATIONS));
    let operations = u32::try_from(operations).unwrap();
    let order = Order { operations, ..quick(number("WARIFU_SIM_FROM", 1)) };
    let outcome = Scenario::run(order).unwrap();
    println!("{:?} {}", outcome.counters, outcome.trace);
    assert_eq!(outcome.violation, None);
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [1, 2, 3, 4, 5, 6] {
        let run =
            || -> Outcome { Scenario::run(Order { keep_lines: true, ..quick(seed) }).unwrap() };
        let (first, second) = (run(), run());
        let differing = first.lines.iter().zip(&second.lines).position(|(one, two)| one != two);
        assert_eq!(differing, None, "seed {seed} went two ways");
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.counters, second.counters);
        assert!(first.lines.len() > 100);
    }
    let traces = [7, 8].map(|seed| Scenario::run(quick(seed)).unwrap().trace);
    assert_ne!(traces[0], traces[1], "two seeds are one run");
}

/// A planted bug is found by one of the 500 seeds, and for what it is.
fn expect_found(canary: Canary, word: &str) {
    let order = Order { canary: Some(canary), ..quick(1) };
    let campaign = Campaign::run(order, QUICK_SEEDS, Some(word)).unwrap();
    let found = campaign.broken.iter().find(|(_, what)| what.starts_with(word));
    println!("{canary:?}: {found:?} of {} seeds", campaign.seeds);
    assert!(found.is_some(), "{canary:?} was taken for {:?}", campaign.broken);
}

#[test]
fn ledgers_that_forget_are_found() {
    expect_found(Canary::ForgetfulLedgers, "ONCE");
}

#[test]
fn stores_that_acknowledge_too_early_are_found() {
    expect_found(Canary::HastyStores, "DURABLE");
}
