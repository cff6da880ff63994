//! Many inputs planned as a whole: what fits now and where, and when the rest does. What `plan`
//! shows and what `backup` does both come from here.

use crate::Vault;
use crate::config::Order;
use crate::failure::Failure;
use crate::policy::{Asked, Ruled};
use std::collections::BTreeMap;
use warifu_catalog::Site;
use warifu_core::plan::{Candidate, Choice, Override, Plan, PlanRequest, Queue, Rates, plan};
use warifu_core::{Geometry, IndividualId, Threshold};

/// Inputs of which it is told when they fit; those after them in a longer queue wait longer still.
const TIMED_MAX: usize = 1_000;

/// What there is to place on.
pub(crate) struct Ground<'a> {
    pub(crate) sites: &'a [Site],
    pub(crate) candidates: &'a [Candidate],
    pub(crate) random_bytes: u64,
    pub(crate) rates: Rates,
    pub(crate) choice: Choice,
    pub(crate) order: Order,
}

/// One input as the planner sees it.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// What is to be known of it besides: whose it is and what is asked for.
    pub(crate) asked: Asked<'a>,
    pub(crate) threshold: Threshold,
    pub(crate) overrides: &'a [Override],
    /// Its length, in bytes.
    pub(crate) bytes: u64,
    /// Its payload at most; `None` where that can't be told.
    pub(crate) geometry: Option<Geometry>,
}

impl Wish<'_> {
    /// What the planner is asked for it.
    pub(crate) fn on<'a>(
        &'a self,
        geometry: Geometry,
        ruled: &'a Ruled,
        (candidates, random_bytes): (&'a [Candidate], u64),
    ) -> PlanRequest<'a> {
        PlanRequest {
            threshold: self.threshold,
            geometry,
            candidates,
            random_bytes,
            overrides: self.overrides,
            pins: &ruled.pins,
            exclusions: &ruled.exclusions,
            zone_shares_max: ruled.zone_shares_max,
        }
    }
}

/// What becomes of an input.
pub(crate) enum Fate {
    /// It fits now, each after those before it.
    Fits(Plan),
    /// It waits for key.
    Waits {
        /// For so many seconds, those before it served first; `None`: not at the rates at which
        /// key arrives, or behind so many that it is not told.
        wait_s: Option<u64>,
    },
    /// No key would help it.
    Hopeless,
    /// How long it is, or why it has no length, is told when it is its turn.
    Unknown,
}

impl Fate {
    /// Where it goes, if it fits now.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Fits(plan) => Some(plan),
            Self::Waits { .. } | Self::Hopeless | Self::Unknown => None,
        }
    }
}

/// What a policy orders by.
pub(crate) struct Ranked<'a> {
    pub(crate) individual: &'a IndividualId,
    pub(crate) bytes: u64,
}

/// The places of `items`, first served first.
pub(crate) fn in_order(order: Order, items: &[Ranked<'_>]) -> Vec<usize> {
    let keyed: Vec<_> = items.iter().map(|item| (Some(item.individual), item.bytes)).collect();
    places(order, &keyed)
}

fn places(order: Order, items: &[(Option<&IndividualId>, u64)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..items.len()).collect();
    match order {
        Order::Given => {}
        Order::Smallest => places.sort_by_key(|&at| items[at].1),
        Order::Fair => {
            let mut seen: BTreeMap<Option<&IndividualId>, usize> = BTreeMap::new();
            let mut rounds = Vec::with_capacity(items.len());
            for (individual, _) in items {
                let count = seen.entry(*individual).or_default();
                *count += 1;
                rounds.push(*count);
            }
            places.sort_by_key(|&at| rounds[at]);
        }
    }
    places
}

impl Vault {
    /// Plans inputs in the order of the settings, each with what those before it need set aside.
    /// Answers in that order, by their place in `wishes`.
    pub(crate) fn turns(&self, ground: &Ground<'_>, wishes: &[Wish<'_>]) -> Vec<(usize, Fate)> {
        let Ground { candidates, random_bytes, .. } = *ground;
        let mut queue = Queue::new(candidates, random_bytes, &ground.rates).by(ground.choice);
        // One alone is planned as its backup would be.
        if wishes.len() > 1 {
            queue = queue.of_many();
        }
        let ranked: Vec<_> =
            wishes.iter().map(|wish| (wish.asked.individual, wish.bytes)).collect();
        let mut waiting = 0;
        let fates = places(ground.order, &ranked).into_iter().map(|at| {
            let wish = &wishes[at];
            let Some(geometry) = wish.geometry else { return (at, Fate::Unknown) };
            if waiting >= TIMED_MAX {
                return (at, Fate::Waits { wait_s: None });
            }
            let ruled = self.ruled(ground.sites, wish.asked);
            let request = wish.on(geometry, &ruled, (candidates, random_bytes));
            let turn = queue.next(&request);
            let fate = match (turn.seconds, turn.plan) {
                (Some(0), Some(plan)) => Fate::Fits(plan),
                // What is not short of key is its own affair.
                (None, _) if plan(&request).is_err_and(|refusal| !refusal.is_of_key()) => {
                    Fate::Hopeless
                }
                (wait_s, _) => {
                    waiting += 1;
                    Fate::Waits { wait_s }
                }
            };
            (at, fate)
        });
        fates.collect()
    }

    /// What is known at this end, without asking any site and without spending anything.
    ///
    /// # Errors
    /// Where the catalog or the key store fails.
    pub(crate) fn ground<'a>(
        &self,
        sites: &'a [Site],
        candidates: &'a [Candidate],
    ) -> Result<Ground<'a>, Failure> {
        Ok(Ground {
            sites,
            candidates,
            random_bytes: self.random_unplanned()?,
            rates: self.rates()?,
            choice: self.choice()?,
            order: self.config.batch.order,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fair_order_serves_everyone_once_before_anyone_twice() {
        let names: Vec<IndividualId> =
            ["p", "p", "p", "q", "r", "q"].map(|name| name.parse().unwrap()).into();
        let bytes = [5, 1, 4, 3, 2, 6];
        let items: Vec<Ranked<'_>> = (names.iter().zip(bytes))
            .map(|(individual, bytes)| Ranked { individual, bytes })
            .collect();
        assert_eq!(in_order(Order::Fair, &items), [0, 3, 4, 1, 5, 2]);
        assert_eq!(in_order(Order::Given, &items), [0, 1, 2, 3, 4, 5]);
        assert_eq!(in_order(Order::Smallest, &items), [1, 4, 3, 2, 0, 5]);
        assert!(in_order(Order::Fair, &[]).is_empty());
    }
}
