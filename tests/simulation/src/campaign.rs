//! Many seeds, on as many threads as the machine has; each seed runs on one.

use crate::ground::Counters;
use crate::scenario::{Order, Outcome, Scenario, SetupError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What many seeds came to.
#[derive(Default)]
pub struct Campaign {
    /// Seeds that ran.
    pub seeds: u64,
    /// What they counted together.
    pub counters: Counters,
    /// Seeds that broke an invariant, and how, by seed.
    pub broken: Vec<(u64, String)>,
}

impl Campaign {
    /// Runs `seeds` seeds from `order.seed` on; no further than one that breaks the invariant
    /// `until`, where there is one.
    ///
    /// # Errors
    /// Where a world can't be made.
    pub fn run(order: Order, seeds: u64, until: Option<&str>) -> Result<Self, SetupError> {
        let (next, stop) = (AtomicU64::new(order.seed), AtomicBool::new(false));
        let campaign = Mutex::new((Self::default(), None));
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= order.seed.saturating_add(seeds) {
                    return;
                }
                let outcome = Scenario::run(Order { seed, ..order });
                let mut campaign = campaign.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(outcome) => {
                        campaign.0.add(seed, &outcome);
                        let broken = outcome.violation.as_deref();
                        let is_found = until.is_some_and(|what| {
                            broken.is_some_and(|broken| broken.starts_with(what))
                        });
                        stop.fetch_or(is_found, Ordering::Relaxed);
                    }
                    Err(error) => {
                        campaign.1 = Some(error);
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let (mut campaign, failed) = campaign.into_inner().unwrap_or_else(PoisonError::into_inner);
        campaign.broken.sort();
        failed.map_or(Ok(campaign), Err)
    }

    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.counters.add(&outcome.counters);
        self.broken.extend(outcome.violation.clone().map(|what| (seed, what)));
    }
}
