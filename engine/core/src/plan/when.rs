//! When an object will fit, given how fast key arrives: pure, like the planner itself.
//!
//! Budgets grow by whole bytes at constant rates. More key never makes a plan impossible, so the
//! first second at which [`plan`] succeeds is found by halving. A [`Queue`] is
//! foretold as a whole: what stands before has its key set aside, so that nothing is overtaken by
//! what would make it wait longer; what can never fit holds nobody up.

use super::{Candidate, Choice, Plan, PlanRequest, plan_by};
use crate::id::SiteName;
use std::collections::BTreeMap;

/// Nothing is foretold beyond this: a hundred years, in seconds.
pub const HORIZON_S: u64 = 100 * 365 * DAY_S;

const DAY_S: u64 = 86_400;

/// Key that arrives on a site's link, in bytes a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkRate {
    /// From gateway to site.
    pub to_site_bytes_per_day: u64,
    /// From site to gateway.
    pub from_site_bytes_per_day: u64,
}

/// How fast key arrives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// By site; a site that is missing gets none.
    pub links: BTreeMap<SiteName, LinkRate>,
    /// Of the `random` pool.
    pub random_bytes_per_day: u64,
}

/// When one object of several fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Seconds from now; 0: now. `None`: not within [`HORIZON_S`] at these rates, or no key
    /// would help.
    pub seconds: Option<u64>,
    /// Where it would go then.
    pub plan: Option<Plan>,
}

/// Seconds until `request` can be planned when its budgets grow at `rates`, the smallest such
/// number: 0 where it can be now. `None` where key does not help, or not within [`HORIZON_S`].
#[must_use]
pub fn when(request: &PlanRequest<'_>, rates: &Rates) -> Option<u64> {
    Queue::new(request.candidates, request.random_bytes, rates).turn(request).seconds
}

/// A queue: when each of several objects fits if those before it have what they need set aside,
/// which may be more than there is now.
pub struct Queue<'a> {
    candidates: &'a [Candidate],
    random_bytes: u64,
    rates: &'a Rates,
    charged: BTreeMap<SiteName, (u64, u64)>,
    charged_random_bytes: u64,
    choice: Choice,
}

impl<'a> Queue<'a> {
    /// An empty queue before these sites, so many bytes of the `random` pool, and these rates.
    #[must_use]
    pub fn new(candidates: &'a [Candidate], random_bytes: u64, rates: &'a Rates) -> Self {
        let (charged, charged_random_bytes) = (BTreeMap::new(), 0);
        let choice = Choice::default();
        Self { candidates, random_bytes, rates, charged, charged_random_bytes, choice }
    }

    /// The same by a policy of the operator's choosing; each object that fits is the next turn.
    #[must_use]
    pub fn by(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// When the next object fits, which then has what it needs set aside. What never fits has
    /// nothing set aside. The request's own candidates and random bytes count for nothing.
    pub fn next(&mut self, request: &PlanRequest<'_>) -> Turn {
        let turn = self.turn(request);
        if let Some(plan) = &turn.plan {
            self.charge(plan);
            self.choice.turn = self.choice.turn.wrapping_add(1);
        }
        turn
    }

    fn charge(&mut self, plan: &Plan) {
        self.charged_random_bytes = self.charged_random_bytes.saturating_add(plan.random_bytes);
        for share in &plan.shares {
            let (to, from) = self.charged.entry(share.site.clone()).or_default();
            *to = to.saturating_add(share.need.to_site_bytes);
            *from = from.saturating_add(share.need.from_site_bytes);
        }
    }

    fn turn(&self, request: &PlanRequest<'_>) -> Turn {
        let found = |seconds, plan| Turn { seconds: Some(seconds), plan: Some(plan) };
        if let Some(plan) = self.plan_at(request, 0) {
            return found(0, plan);
        }
        let Some(mut last) = self.plan_at(request, HORIZON_S) else {
            return Turn { seconds: None, plan: None };
        };
        // It fails at `low` and succeeds at `high`.
        let (mut low, mut high) = (0, HORIZON_S);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.plan_at(request, middle) {
                Some(plan) => (high, last) = (middle, plan),
                None => low = middle,
            }
        }
        found(high, last)
    }

    fn plan_at(&self, request: &PlanRequest<'_>, seconds: u64) -> Option<Plan> {
        let candidates: Vec<Candidate> = self
            .candidates
            .iter()
            .map(|candidate| {
                let rate = self.rates.links.get(&candidate.site).copied().unwrap_or_default();
                let (to, from) = self.charged.get(&candidate.site).copied().unwrap_or_default();
                let to_site_bytes =
                    grown(candidate.to_site_bytes, rate.to_site_bytes_per_day, seconds, to);
                let from_site_bytes =
                    grown(candidate.from_site_bytes, rate.from_site_bytes_per_day, seconds, from);
                Candidate { to_site_bytes, from_site_bytes, ..candidate.clone() }
            })
            .collect();
        let random_bytes = grown(
            self.random_bytes,
            self.rates.random_bytes_per_day,
            seconds,
            self.charged_random_bytes,
        );
        plan_by(&PlanRequest { candidates: &candidates, random_bytes, ..*request }, self.choice)
            .ok()
    }
}

/// `left` with what arrives in so many seconds, less what is set aside.
fn grown(left: u64, bytes_per_day: u64, seconds: u64, charged: u64) -> u64 {
    let arrived = u128::from(bytes_per_day) * u128::from(seconds) / u128::from(DAY_S);
    let total = u128::from(left) + arrived;
    u64::try_from(total.saturating_sub(u128::from(charged))).unwrap_or(u64::MAX)
}
