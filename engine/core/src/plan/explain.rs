//! Why each site was chosen or not, and how many more objects fit.

use super::select::{self, Relaxed};
use super::{
    Candidate, Choice, Plan, PlanRequest, Rule, Shortfall, any_role_need, ranked, ranked_by,
    refusal, usable,
};
use crate::id::SiteName;
use crate::role::{Channel, Role};
use crate::schedule::{Balance, SHARES_MAX};

/// What became of a site, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It gets a share.
    Chosen(Role),
    /// It is kept out whatever it has: why.
    Barred(String),
    /// Its store is too full.
    NoRoom {
        /// Length of the share file.
        needed_bytes: u64,
        /// Room left.
        left_bytes: u64,
    },
    /// Its link holds too little key.
    ShortOfKey(Vec<Shortfall>),
    /// A share lies in its domain already, at this site.
    DomainTaken(SiteName),
    /// Its zone holds as many shares as it may.
    ZoneFull {
        /// The zone.
        zone: SiteName,
        /// Shares that it holds.
        shares: usize,
    },
    /// It could have been chosen, and the policy would have another.
    Spared,
    /// It could take a share, and there is no whole set.
    NoSet,
}

/// One site's part in a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The site.
    pub site: SiteName,
    /// Its place in the policy's order among those that can take a share, from 1 on.
    pub rank: Option<usize>,
    /// Shares like this one that it can take, by key and room, with the key that comes within
    /// [`HORIZON_DAYS`](crate::schedule::HORIZON_DAYS); `None` where nothing bounds them.
    pub shares_left: Option<u64>,
    /// What became of it.
    pub verdict: Verdict,
}

/// Why each site of a request was chosen or not; `plan` is what the planner answered, if it did.
/// In the order of the request.
#[must_use]
pub fn explain(request: &PlanRequest<'_>, choice: Choice, plan: Option<&Plan>) -> Vec<Explained> {
    let relaxed = Relaxed::all(request.overrides);
    let order = ranked_by(usable(request, relaxed), choice);
    let explained = |site: &Candidate| {
        let need = any_role_need(request, site.channel);
        let shares = site.shares_within_horizon(&need);
        Explained {
            site: site.site.clone(),
            rank: order.iter().position(|one| one.site == site.site).map(|at| at + 1),
            shares_left: (shares < SHARES_MAX).then_some(shares),
            verdict: verdict(site, request, relaxed, plan),
        }
    };
    request.candidates.iter().map(explained).collect()
}

fn verdict(
    site: &Candidate,
    request: &PlanRequest<'_>,
    relaxed: Relaxed,
    plan: Option<&Plan>,
) -> Verdict {
    let own = plan.and_then(|plan| plan.shares.iter().find(|share| share.site == site.site));
    if let Some(share) = own {
        return Verdict::Chosen(share.role);
    }
    if let Some(why) = refusal::barred(site, request, relaxed) {
        return Verdict::Barred(why);
    }
    let need = any_role_need(request, site.channel);
    if !refusal::has_room(site, &need) {
        let left_bytes = site.room_bytes.unwrap_or(0);
        return Verdict::NoRoom { needed_bytes: need.store_bytes, left_bytes };
    }
    let short = refusal::shortfalls(site, &need);
    if !short.is_empty() {
        return Verdict::ShortOfKey(short);
    }
    let Some(plan) = plan else { return Verdict::NoSet };
    let is_kept = |rule: Rule| plan.overridden.iter().all(|one| one.rule != rule);
    let neighbour = plan.shares.iter().find(|share| share.domain == site.domain);
    if let Some(share) = neighbour.filter(|_| is_kept(Rule::Domain)) {
        return Verdict::DomainTaken(share.site.clone());
    }
    let shares = plan.shares.iter().filter(|share| share.zone == site.zone).count();
    if shares >= request.per_zone() && is_kept(Rule::Zone) {
        return Verdict::ZoneFull { zone: site.zone.clone(), shares };
    }
    Verdict::Spared
}

/// How many objects like this one fit by what is there now, one after the other: key that is yet
/// to come does not count, pins don't, and the rules that are gone against by name may be.
#[must_use]
pub fn fits(request: &PlanRequest<'_>) -> u64 {
    let relaxed = Relaxed::all(request.overrides);
    let sites = ranked(usable(request, relaxed));
    let limits = select::limits(request, relaxed);
    let shares = |site: &Candidate| {
        let now = Candidate {
            to_site_fill_bytes_per_day: 0,
            from_site_fill_bytes_per_day: 0,
            ..site.clone()
        };
        now.shares_within_horizon(&any_role_need(request, site.channel)).min(SHARES_MAX)
    };
    let of_links = |site: &Candidate| match site.channel {
        Channel::Otp => shares(site),
        Channel::Local | Channel::Tls => 0,
    };
    let all = Balance::of(&select::places(&sites, shares), limits).objects;
    if Balance::of(&select::places(&sites, of_links), limits).objects >= all {
        return all;
    }
    // Rooms take random numbers, by the plan of the next.
    let next = PlanRequest { pins: &[], ..*request };
    let random = super::plan(&next)
        .map_or(0, |plan| request.random_bytes.checked_div(plan.random_bytes).unwrap_or(u64::MAX));
    all.min(random)
}
