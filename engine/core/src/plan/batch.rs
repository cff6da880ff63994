//! Many objects planned as a whole: what fits, and where, before anything starts.
//!
//! Objects without pins and overrides follow a course that is set once and lasts for many of
//! them, by the same balance that [`plan`] strikes anew for each. What it can't place, and all
//! others, `plan` does.

use super::select::{self, Relaxed};
use super::{
    Candidate, Need, Override, Plan, PlanRequest, Refusal, any_role_need, assign, plan, refusal,
    usable,
};
use crate::geometry::Geometry;
use crate::id::SiteName;
use crate::role::Channel;
use crate::schedule::{Course, Limits, Place, SHARES_MAX};
use crate::threshold::Threshold;
use std::collections::BTreeMap;

/// One object of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchItem<'a> {
    /// How many shares, and how many of them rebuild.
    pub threshold: Threshold,
    /// Its payload; where its length isn't known yet, an upper bound.
    pub geometry: Geometry,
    /// Rules that may be broken where it can't be helped.
    pub overrides: &'a [Override],
    /// Sites that must get a share.
    pub pins: &'a [SiteName],
    /// Sites that must not.
    pub exclusions: &'a [SiteName],
    /// Whose it is: any number that those of one individual share.
    pub individual: u64,
}

/// Who comes first while there is key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BatchOrder {
    /// As they are given.
    Given,
    /// The smallest first, which stores the most objects; equals as they are given.
    Smallest,
    /// Round over the individuals: everybody's first, then everybody's second, each round the
    /// smallest first; within an individual as they are given.
    #[default]
    Fair,
}

impl BatchOrder {
    /// The items in this order, by index.
    #[must_use]
    pub fn of(self, items: &[BatchItem<'_>]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        let bytes = |at: &usize| items[*at].geometry.payload_bytes();
        match self {
            Self::Given => {}
            Self::Smallest => order.sort_by_key(|at| (bytes(at), *at)),
            Self::Fair => {
                let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
                let round = |item: &BatchItem<'_>| {
                    let count = seen.entry(item.individual).or_default();
                    *count += 1;
                    *count
                };
                let rounds: Vec<usize> = items.iter().map(round).collect();
                order.sort_by_key(|at| (rounds[*at], bytes(at), *at));
            }
        }
        order
    }
}

/// Plans every item, in this order, against what those before it leave. Answers by index.
///
/// Places some 100,000 objects on 50 links within seconds. An item that is refused takes nothing.
#[must_use]
pub fn plan_batch(
    items: &[BatchItem<'_>],
    candidates: &[Candidate],
    random_bytes: u64,
    order: BatchOrder,
) -> Vec<Result<Plan, Refusal>> {
    let mut batch = Batch {
        items,
        candidates: candidates.to_vec(),
        index: candidates.iter().enumerate().map(|(at, one)| (one.site.clone(), at)).collect(),
        random_bytes,
        convoys: Vec::new(),
    };
    let mut answers: Vec<(usize, Result<Plan, Refusal>)> =
        order.of(items).into_iter().map(|at| (at, batch.place(at))).collect();
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

struct Batch<'a> {
    items: &'a [BatchItem<'a>],
    /// As they are once the items so far are placed.
    candidates: Vec<Candidate>,
    index: BTreeMap<SiteName, usize>,
    random_bytes: u64,
    convoys: Vec<Convoy<'a>>,
}

/// Items that go by the same rules.
struct Convoy<'a> {
    threshold: Threshold,
    exclusions: &'a [SiteName],
    /// What one takes, in the mean.
    mean: Need,
    course: Course,
    /// Which candidate each place of the course is.
    sites: Vec<usize>,
    /// The least payload that key didn't cover; budgets only shrink.
    refused_bytes: u64,
}

impl<'a> Batch<'a> {
    fn place(&mut self, at: usize) -> Result<Plan, Refusal> {
        let item = self.items[at];
        let is_free = self.candidates.iter().all(|site| site.enforces_consent);
        let convoy = (is_free && item.pins.is_empty() && item.overrides.is_empty())
            .then(|| self.convoy(&item))
            .filter(|_| refusal::check_names(&self.request(&item)).is_ok());
        let Some(convoy) = convoy else {
            let planned = plan(&self.request(&item));
            return planned.inspect(|plan| self.charge(plan));
        };
        if let Some(refusal) = self.refused_before(&item, convoy) {
            return Err(refusal);
        }
        let on_course = self.on_course(&item, convoy);
        let planned = on_course.map_or_else(|| plan(&self.request(&item)), Ok);
        match &planned {
            Ok(plan) => self.charge(plan),
            Err(Refusal::KeyShortfall { .. }) => {
                self.convoys[convoy].refused_bytes = item.geometry.payload_bytes();
            }
            Err(_) => {}
        }
        planned
    }

    fn request<'b>(&'b self, item: &BatchItem<'b>) -> PlanRequest<'b> {
        PlanRequest {
            threshold: item.threshold,
            geometry: item.geometry,
            candidates: &self.candidates,
            random_bytes: self.random_bytes,
            overrides: item.overrides,
            pins: item.pins,
            exclusions: item.exclusions,
        }
    }

    /// The convoy that an item belongs to.
    fn convoy(&mut self, item: &BatchItem<'a>) -> usize {
        let is_of = |threshold: Threshold, exclusions: &[SiteName]| {
            threshold == item.threshold && exclusions == item.exclusions
        };
        let known = self.convoys.iter().position(|one| is_of(one.threshold, one.exclusions));
        known.unwrap_or_else(|| {
            let of_it = self.items.iter().filter(|one| {
                one.pins.is_empty()
                    && one.overrides.is_empty()
                    && is_of(one.threshold, one.exclusions)
            });
            self.convoys.push(Convoy {
                threshold: item.threshold,
                exclusions: item.exclusions,
                mean: mean_need(of_it.map(|one| any_role_need(&self.request(one), Channel::Otp))),
                course: Course::default(),
                sites: Vec::new(),
                refused_bytes: u64::MAX,
            });
            self.convoys.len() - 1
        })
    }

    /// The refusal of an item that takes no less than one whose key did not suffice.
    fn refused_before(&self, item: &BatchItem<'_>, convoy: usize) -> Option<Refusal> {
        if item.geometry.payload_bytes() < self.convoys[convoy].refused_bytes {
            return None;
        }
        let request = self.request(item);
        let standing = self
            .candidates
            .iter()
            .filter(|site| refusal::barred(site, &request, Relaxed::default()).is_none());
        let mut sites = Vec::new();
        for site in standing {
            let need = any_role_need(&request, site.channel);
            if !refusal::has_room(site, &need) {
                return Some(refusal::diagnose(&request));
            }
            sites.extend(refusal::shortfalls(site, &need));
        }
        Some(Refusal::KeyShortfall { sites })
    }

    /// A plan by the set that is due.
    fn on_course(&mut self, item: &BatchItem<'a>, convoy: usize) -> Option<Plan> {
        let planned = self.take_due(item, convoy);
        if planned.is_some() || !self.convoys[convoy].course.stray() {
            return planned;
        }
        self.set_out(item, convoy);
        self.take_due(item, convoy)
    }

    fn take_due(&mut self, item: &BatchItem<'a>, convoy: usize) -> Option<Plan> {
        let limits = limits(item.threshold);
        let due = self.convoys[convoy].course.next(limits)?.to_vec();
        let sites: Vec<&Candidate> =
            due.iter().map(|at| &self.candidates[self.convoys[convoy].sites[*at]]).collect();
        let request = self.request(item);
        let need = any_role_need(&request, Channel::Otp);
        let can_take = |site: &&Candidate| {
            refusal::has_room(site, &need) && refusal::shortfalls(site, &need).is_empty()
        };
        if !sites.iter().all(can_take) {
            return None;
        }
        let plan = assign(&sites, &request);
        let is_covered = plan.random_bytes <= self.random_bytes;
        is_covered.then(|| {
            self.convoys[convoy].course.note_taken(need.to_site_bytes);
            plan
        })
    }

    fn set_out(&mut self, item: &BatchItem<'a>, convoy: usize) {
        let mean = self.convoys[convoy].mean;
        let request = self.request(item);
        let mut links = usable(&request, Relaxed::default());
        links.retain(|site| site.channel == Channel::Otp);
        let shares = |site: &Candidate| site.shares_within_horizon(&mean).min(SHARES_MAX);
        let places: Vec<Place> = select::places(&links, shares);
        let sites = links.iter().map(|site| self.index[&site.site]).collect();
        let convoy = &mut self.convoys[convoy];
        convoy.course.set_out(places, limits(item.threshold), mean.to_site_bytes);
        convoy.sites = sites;
    }

    fn charge(&mut self, plan: &Plan) {
        self.random_bytes = self.random_bytes.saturating_sub(plan.random_bytes);
        for share in &plan.shares {
            self.candidates[self.index[&share.site]].charge(&share.need);
        }
    }
}

impl Candidate {
    /// Takes off what a share costs there.
    pub fn charge(&mut self, need: &Need) {
        self.to_site_bytes = self.to_site_bytes.saturating_sub(need.to_site_bytes);
        self.from_site_bytes = self.from_site_bytes.saturating_sub(need.from_site_bytes);
        self.room_bytes = self.room_bytes.map(|room| room.saturating_sub(need.store_bytes));
    }
}

fn limits(threshold: Threshold) -> Limits {
    let (n, k) = (threshold.n() as u64, threshold.k() as u64);
    Limits { n, per_domain: 1, per_zone: n - k }
}

/// Key and room of the mean of these needs.
fn mean_need(needs: impl Iterator<Item = Need>) -> Need {
    let (mut to_site, mut from_site, mut store, mut count) = (0u128, 0u128, 0u128, 0u128);
    for need in needs {
        to_site += u128::from(need.to_site_bytes);
        from_site += u128::from(need.from_site_bytes);
        store += u128::from(need.store_bytes);
        count += 1;
    }
    let mean = |sum: u128| sum.checked_div(count).map_or(1, |mean| mean.max(1) as u64);
    Need {
        to_site_bytes: mean(to_site),
        from_site_bytes: mean(from_site),
        store_bytes: mean(store),
        ..Need::default()
    }
}
