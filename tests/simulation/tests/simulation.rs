//! 500 seeds.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use warifu_simulation::{Campaign, Order, Scenario};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn one() {
    let seed = number("WARIFU_SIM_FROM", 1);
    let order = Order { seed, operations: 30, canary: None, keep_lines: true };
    let started = std::time::Instant::now();
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .init();
    let outcome = Scenario::run(order).unwrap();
    println!("{:?} {:?} {:?}", outcome.violation, outcome.counters, started.elapsed());
    assert!(outcome.violation.is_none());
}

#[test]
fn many() {
    let seed = number("WARIFU_SIM_FROM", 1);
    let started = std::time::Instant::now();
    let order = Order { seed, operations: 30, canary: None, keep_lines: false };
    let c = Campaign::run(order, number("WARIFU_SIM_SEEDS", 40), false).unwrap();
    println!("{} {:?} {:?}", c.seeds, c.counters, started.elapsed());
    for (seed, what) in &c.broken {
        println!("{seed}: {what}");
    }
}
