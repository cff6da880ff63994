//! Objects of a queue that go by the same rules: the course that lasts for many of them, and the
//! least of them that did not fit.
//!
//! A course is set once and carries the same balance out that [`plan`](super::plan) strikes anew
//! for each object. Objects with pins or overrides have none, nor have those before sites of which
//! some release without consent, nor has any other policy than the forecast; what a course can't
//! place, `plan` does.

use super::select::{self, Relaxed};
use super::{Candidate, Need, Override, Plan, PlanRequest, any_role_need, assign, refusal, usable};
use crate::id::SiteName;
use crate::role::Channel;
use crate::schedule::{Course, Place, SHARES_MAX};
use crate::threshold::Threshold;

/// What placing an object depends on besides its length, its sites and the pools.
#[derive(PartialEq, Eq)]
struct Rules {
    threshold: Threshold,
    zone_shares_max: Option<usize>,
    overrides: Vec<Override>,
    pins: Vec<SiteName>,
    exclusions: Vec<SiteName>,
}

impl Rules {
    fn are_of(&self, request: &PlanRequest<'_>) -> bool {
        self.threshold == request.threshold
            && self.zone_shares_max == request.zone_shares_max
            && self.overrides == request.overrides
            && self.pins == request.pins
            && self.exclusions == request.exclusions
    }
}

/// Objects by the same rules. Budgets only shrink while there is one.
pub(super) struct Convoy {
    rules: Rules,
    /// Whether these objects follow a course at all.
    has_course: bool,
    course: Course,
    /// Which candidate each place of the course is.
    sites: Vec<usize>,
    total: Total,
    /// The least payload that did not fit by what there is now.
    pub(super) refused_now_bytes: u64,
    /// The least payload that is not going to fit.
    pub(super) refused_ever_bytes: u64,
}

impl Convoy {
    /// The convoy that an object belongs to, by its place among these; it is added where there is
    /// none yet.
    pub(super) fn of(convoys: &mut Vec<Self>, request: &PlanRequest<'_>) -> usize {
        let known = convoys.iter().position(|convoy| convoy.rules.are_of(request));
        known.unwrap_or_else(|| {
            convoys.push(Self::new(request));
            convoys.len() - 1
        })
    }

    fn new(request: &PlanRequest<'_>) -> Self {
        let all_enforce = request.candidates.iter().all(|site| site.enforces_consent);
        let is_free = request.pins.is_empty() && request.overrides.is_empty() && all_enforce;
        Self {
            rules: Rules {
                threshold: request.threshold,
                zone_shares_max: request.zone_shares_max,
                overrides: request.overrides.to_vec(),
                pins: request.pins.to_vec(),
                exclusions: request.exclusions.to_vec(),
            },
            has_course: is_free && refusal::check_names(request).is_ok(),
            course: Course::default(),
            sites: Vec::new(),
            total: Total::default(),
            refused_now_bytes: u64::MAX,
            refused_ever_bytes: u64::MAX,
        }
    }

    /// A plan by the set that is due, if the object follows a course and that set can take it.
    pub(super) fn on_course(&mut self, request: &PlanRequest<'_>) -> Option<Plan> {
        if !self.has_course {
            return None;
        }
        let need = any_role_need(request, Channel::Otp);
        self.course.note_need(need.to_site_bytes);
        self.total.add(&need);
        let planned = self.take_due(request, &need);
        if planned.is_some() || !self.course.stray() {
            return planned;
        }
        self.set_out(request);
        self.take_due(request, &need)
    }

    fn take_due(&mut self, request: &PlanRequest<'_>, need: &Need) -> Option<Plan> {
        let due = self.course.next(select::limits(request, Relaxed::default()))?;
        let sites: Vec<&Candidate> =
            due.iter().map(|at| &request.candidates[self.sites[*at]]).collect();
        let can_take = |site: &&Candidate| {
            refusal::has_room(site, need) && refusal::shortfalls(site, need).is_empty()
        };
        if !sites.iter().all(can_take) {
            return None;
        }
        let plan = Some(assign(&sites, request));
        let plan = plan.filter(|plan| plan.random_bytes <= request.random_bytes)?;
        self.course.note_taken(need.to_site_bytes);
        Some(plan)
    }

    fn set_out(&mut self, request: &PlanRequest<'_>) {
        let mean = self.total.mean();
        let mut links = usable(request, Relaxed::default());
        links.retain(|site| site.channel == Channel::Otp);
        let shares = |site: &Candidate| site.shares_within_horizon(&mean).min(SHARES_MAX);
        let places: Vec<Place> = select::places(&links, shares);
        let limits = select::limits(request, Relaxed::default());
        self.course.set_out(places, limits, mean.to_site_bytes);
        let is_at = |link: &Candidate| {
            request.candidates.iter().position(|candidate| std::ptr::eq(candidate, link))
        };
        self.sites = links.into_iter().filter_map(is_at).collect();
    }
}

/// Needs added up.
#[derive(Default)]
struct Total {
    to_site_bytes: u128,
    from_site_bytes: u128,
    store_bytes: u128,
    count: u128,
}

impl Total {
    fn add(&mut self, need: &Need) {
        self.to_site_bytes += u128::from(need.to_site_bytes);
        self.from_site_bytes += u128::from(need.from_site_bytes);
        self.store_bytes += u128::from(need.store_bytes);
        self.count += 1;
    }

    /// Key and room of the mean.
    fn mean(&self) -> Need {
        // No mean is above the largest need.
        let mean = |sum: u128| sum.checked_div(self.count).map_or(1, |mean| mean.max(1) as u64);
        Need {
            to_site_bytes: mean(self.to_site_bytes),
            from_site_bytes: mean(self.from_site_bytes),
            store_bytes: mean(self.store_bytes),
            ..Need::default()
        }
    }
}
