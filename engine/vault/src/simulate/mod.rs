//! Months of operation in seconds: a scenario of sites, key, individuals and mishaps goes through
//! the share controller under several policies.
//!
//! Everything here is pure: a scenario and a seed decide every byte of the answer. Placement is
//! the product's own [`Scheduler`](warifu_core::schedule::Scheduler), and what a share costs is
//! the planner's own [`need`](warifu_core::plan::need()), restore reserve included. What comes from
//! outside (the [`weather`]) is drawn once, so that every policy meets the same.

mod dice;
mod fields;
mod kinds;
mod pools;
mod queue;
mod read;
mod report;
mod run;
mod scenario;
mod shipped;
#[cfg(test)]
mod tests;
mod weather;

pub use report::{
    KeyReport, PolicyReport, RestoreReport, Sample, SimulationReport, SiteReport, WaitReport,
};
pub use scenario::{MONTH_DAYS, MONTHS_MAX, SCENARIO_BYTES_MAX, Scenario, TooMuch};
pub use shipped::{SHIPPED, Shipped};

use run::Run;
use warifu_core::schedule::Policy;
use weather::Weather;

/// Takes a scenario through its months under each of these policies.
#[must_use]
pub fn simulate(scenario: &Scenario, policies: &[Policy], seed: u64) -> SimulationReport {
    let weather = Weather::new(scenario, seed);
    let under = |policy: &Policy| {
        let run = Run::new(scenario, &weather, *policy, seed);
        report::policy_report(scenario, &weather, *policy, run)
    };
    SimulationReport {
        scenario: scenario.name.clone(),
        title: scenario.title.clone(),
        seed,
        months: scenario.months,
        k: scenario.threshold.k(),
        n: scenario.threshold.n(),
        sites: scenario.sites.len(),
        individuals: weather.individuals,
        files: weather.files.len(),
        bytes: weather.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)),
        policies: policies.iter().map(under).collect(),
    }
}
