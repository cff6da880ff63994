//! Objects planned as a whole: where those go that fit now, and when the others will, given how
//! fast key arrives. Pure, like the planner itself.
//!
//! Budgets grow by whole bytes at constant rates. More key never makes a plan impossible, so the
//! first second at which [`plan`](super::plan) succeeds is found by halving. A [`Queue`] is
//! foretold as a whole: what stands before has its key set aside, so that nothing is overtaken by
//! what would make it wait longer; what can never fit holds nobody up. This is the only planner of
//! many objects: what is shown, what is stored and what waits all go by it.

use super::convoy::Convoy;
use super::{Candidate, Choice, Need, Plan, PlanRequest, found, refusal};
use crate::id::SiteName;
use crate::schedule::Policy;
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
    choice: Choice,
    /// The sites, with what is set aside taken off.
    left: Vec<Candidate>,
    random_left_bytes: u64,
    index: BTreeMap<&'a SiteName, usize>,
    /// What is set aside at each site; it may be more than there is.
    charged: Vec<Charged>,
    charged_random_bytes: u64,
    convoys: Vec<Convoy>,
    is_long: bool,
}

#[derive(Clone, Copy, Default)]
struct Charged {
    to_site_bytes: u64,
    from_site_bytes: u64,
    store_bytes: u64,
}

impl Charged {
    fn add(&mut self, need: &Need) {
        self.to_site_bytes = self.to_site_bytes.saturating_add(need.to_site_bytes);
        self.from_site_bytes = self.from_site_bytes.saturating_add(need.from_site_bytes);
        self.store_bytes = self.store_bytes.saturating_add(need.store_bytes);
    }
}

impl<'a> Queue<'a> {
    /// An empty queue before these sites, so many bytes of the `random` pool, and these rates.
    #[must_use]
    pub fn new(candidates: &'a [Candidate], random_bytes: u64, rates: &'a Rates) -> Self {
        Self {
            candidates,
            random_bytes,
            rates,
            choice: Choice::default(),
            left: candidates.to_vec(),
            random_left_bytes: random_bytes,
            index: candidates.iter().enumerate().map(|(at, one)| (&one.site, at)).collect(),
            charged: vec![Charged::default(); candidates.len()],
            charged_random_bytes: 0,
            convoys: Vec::new(),
            is_long: false,
        }
    }

    /// The same by a policy of the operator's choosing; each object that fits is the next turn.
    #[must_use]
    pub fn by(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// The same for many objects: under [`Policy::Forecast`] a course is set that lasts for many
    /// of them, where else each is planned for itself. As many fit, and it takes a fraction of the
    /// time: some 100,000 objects on 50 links in about a second.
    #[must_use]
    pub fn of_many(self) -> Self {
        Self { is_long: true, ..self }
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

    /// The sites as those before leave them, with what is set aside taken off.
    #[must_use]
    pub fn left(&self) -> &[Candidate] {
        &self.left
    }

    /// Bytes of the `random` pool that those before leave.
    #[must_use]
    pub const fn random_left_bytes(&self) -> u64 {
        self.random_left_bytes
    }

    fn charge(&mut self, plan: &Plan) {
        self.charged_random_bytes = self.charged_random_bytes.saturating_add(plan.random_bytes);
        self.random_left_bytes = self.random_left_bytes.saturating_sub(plan.random_bytes);
        for share in &plan.shares {
            if let Some(&at) = self.index.get(&share.site) {
                self.left[at].charge(&share.need);
                self.charged[at].add(&share.need);
            }
        }
    }

    fn turn(&mut self, request: &PlanRequest<'_>) -> Turn {
        let here = PlanRequest { candidates: self.candidates, ..*request };
        let convoy = Convoy::of(&mut self.convoys, &here);
        let bytes = request.geometry.payload_bytes();
        let fits = |seconds, plan| Turn { seconds: Some(seconds), plan: Some(plan) };
        // What takes no less than another one that did not fit does not fit either.
        if bytes < self.convoys[convoy].refused_now_bytes {
            if let Some(plan) = self.plan_now(request, convoy) {
                return fits(0, plan);
            }
            self.convoys[convoy].refused_now_bytes = bytes;
        }
        let never = Turn { seconds: None, plan: None };
        if bytes >= self.convoys[convoy].refused_ever_bytes {
            return never;
        }
        let Some(mut last) = self.plan_at(request, HORIZON_S) else {
            self.convoys[convoy].refused_ever_bytes = bytes;
            return never;
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
        fits(high, last)
    }

    fn plan_now(&mut self, request: &PlanRequest<'_>, convoy: usize) -> Option<Plan> {
        let (candidates, random_bytes) = (&self.left[..], self.random_left_bytes);
        let request = PlanRequest { candidates, random_bytes, ..*request };
        let has_course = self.is_long && self.choice.policy == Policy::Forecast;
        let convoy = Some(&mut self.convoys[convoy]).filter(|_| has_course);
        let on_course = convoy.and_then(|convoy| convoy.on_course(&request));
        on_course.or_else(|| self.plan(&request))
    }

    fn plan(&self, request: &PlanRequest<'_>) -> Option<Plan> {
        refusal::check_names(request).ok()?;
        found(request, self.choice)
    }

    fn plan_at(&self, request: &PlanRequest<'_>, seconds: u64) -> Option<Plan> {
        let later = |(candidate, charged): (&Candidate, &Charged)| {
            let rate = self.rates.links.get(&candidate.site).copied().unwrap_or_default();
            let (to, from) = (rate.to_site_bytes_per_day, rate.from_site_bytes_per_day);
            Candidate {
                to_site_bytes: grown(candidate.to_site_bytes, to, seconds, charged.to_site_bytes),
                from_site_bytes: grown(
                    candidate.from_site_bytes,
                    from,
                    seconds,
                    charged.from_site_bytes,
                ),
                room_bytes: candidate
                    .room_bytes
                    .map(|room| room.saturating_sub(charged.store_bytes)),
                ..candidate.clone()
            }
        };
        let candidates: Vec<Candidate> =
            self.candidates.iter().zip(&self.charged).map(later).collect();
        let random_bytes = grown(
            self.random_bytes,
            self.rates.random_bytes_per_day,
            seconds,
            self.charged_random_bytes,
        );
        self.plan(&PlanRequest { candidates: &candidates, random_bytes, ..*request })
    }
}

/// `left` with what arrives in so many seconds, less what is set aside.
fn grown(left: u64, bytes_per_day: u64, seconds: u64, charged: u64) -> u64 {
    let arrived = u128::from(bytes_per_day) * u128::from(seconds) / u128::from(DAY_S);
    let total = u128::from(left) + arrived;
    u64::try_from(total.saturating_sub(u128::from(charged))).unwrap_or(u64::MAX)
}
