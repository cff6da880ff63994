//! What a simulation must keep to, whatever the scenario.

mod by_hand;
mod files;
mod properties;
mod shipped;

use super::*;

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:?}"))
}

fn one(text: &str, policy: Policy) -> PolicyReport {
    simulate(&scenario(text), &[policy], 1).policies.remove(0)
}
