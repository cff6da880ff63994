//! Where the shares of one object go: the planner, a pure function.
//!
//! [`plan`] takes what is known of every site and answers with `n` sites and their roles, or with
//! a [`Refusal`] before anything is spent. What it never breaks, unless the operator names the
//! rule: losing any one zone leaves `k` shares, and where the operator wants fewer in one zone, no
//! more lie there; no two shares lie in one domain; no share goes over `tls`; fewer than `k` shares
//! lie at sites that release without consent. What it never breaks at all: key, random bytes and
//! room cover the whole backup with the restore reserve kept, and at most `k - 1` shares go over
//! `tls`.
//!
//! Among the sets that keep the rules it takes one with the fewest shares outside one-time pad
//! links; among those one after which the longest time is left until no admissible set remains,
//! reckoned in objects like this one with the key that comes within [`HORIZON_DAYS`]; and among
//! those the one that holds the site with most key left, then the next, and so on; equal keys go
//! by name. Pad roles go to links first, so that the `random` pool is hardly touched, and among
//! these to the slowest networks; where none is known, to those with most key left.

mod convoy;
mod explain;
mod need;
mod refusal;
mod select;
#[cfg(test)]
mod tests;
mod when;

pub use explain::{Explained, Verdict, explain, fits};
pub use need::{CAPSULE_TEXT_BYTES_MAX, SESSION_BYTES, need};
pub use refusal::{Refusal, Shortfall};
pub use when::{HORIZON_S, LinkRate, Queue, Rates, Turn, when};

use crate::geometry::Geometry;
use crate::id::SiteName;
use crate::role::{Channel, Role};
use crate::schedule::{Dice, HORIZON_DAYS, Policy};
use crate::threshold::{Threshold, XCoord};
use select::{Relaxed, Wishes};
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// Chooses sites, x-coordinates and roles for one object.
///
/// An override is used only where no admissible set keeps its rule, and then recorded in the
/// plan.
///
/// # Errors
/// [`Refusal`] where no set of `n` sites is admissible; it says why and what to do.
pub fn plan(request: &PlanRequest<'_>) -> Result<Plan, Refusal> {
    plan_by(request, Choice::default())
}

/// As [`plan`], by a policy of the operator's choosing.
///
/// # Errors
/// As [`plan`].
pub fn plan_by(request: &PlanRequest<'_>, choice: Choice) -> Result<Plan, Refusal> {
    refusal::check_names(request)?;
    found(request, choice).ok_or_else(|| refusal::diagnose(request))
}

/// The plan of a request whose names are in order, if there is one.
fn found(request: &PlanRequest<'_>, choice: Choice) -> Option<Plan> {
    for relaxed in Relaxed::from_least(request.overrides) {
        let usable = ranked_by(usable(request, relaxed), choice);
        let wishes = match choice.policy {
            Policy::Forecast => Wishes::of(&usable, request, relaxed),
            _ => Wishes::none(),
        };
        for preference in select::PREFERENCES {
            let chosen = select::select(&usable, request, relaxed, preference, &wishes);
            let plan = chosen.map(|sites| assign(&sites, request));
            if let Some(plan) = plan.filter(|plan| plan.random_bytes <= request.random_bytes) {
                return Some(plan);
            }
        }
    }
    None
}

/// By what one of several admissible sets is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The policy. Under [`Policy::Fixed`] the sites go by name, as far as they can take a share.
    pub policy: Policy,
    /// Whose turn it is under [`Policy::RoundRobin`], and the lot under [`Policy::Random`]: a
    /// number that is another for every object, such as how many there are.
    pub turn: u64,
}

impl Default for Choice {
    /// The forecast's.
    fn default() -> Self {
        Self { policy: Policy::Forecast, turn: 0 }
    }
}

/// Whether a site answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It answers.
    Up,
    /// It doesn't, and why not.
    Down(String),
}

/// What the planner knows of one site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The site.
    pub site: SiteName,
    /// What burns together with it.
    pub zone: SiteName,
    /// Who could bribe or coerce it together with others.
    pub domain: SiteName,
    /// How shares reach it.
    pub channel: Channel,
    /// Whether it answers.
    pub health: Health,
    /// Whether the operator is emptying it: it gets no new shares.
    pub draining: bool,
    /// Room left in its store; `None` where the site can't say.
    pub room_bytes: Option<u64>,
    /// Key left from gateway to site, less what other running work has planned and what stored
    /// objects have reserved. Of no meaning outside channel `otp`.
    pub to_site_bytes: u64,
    /// Key left from site to gateway, less the same. Of no meaning outside channel `otp`.
    pub from_site_bytes: u64,
    /// Key that comes in a day from gateway to site, as far as is known.
    pub to_site_fill_bytes_per_day: u64,
    /// Key that comes in a day from site to gateway, as far as is known.
    pub from_site_fill_bytes_per_day: u64,
    /// How fast its network is; `None` where that isn't known.
    pub network_bytes_per_second: Option<u64>,
    /// Whether it releases shares to their person's consent only. True of all where nobody's
    /// consent is asked for.
    pub enforces_consent: bool,
}

impl Candidate {
    /// How many shares of this need it can take, with the key that comes within
    /// [`HORIZON_DAYS`].
    fn shares_within_horizon(&self, need: &Need) -> u64 {
        let room = self.room_bytes.and_then(|room| room.checked_div(need.store_bytes));
        let keyed = |left_bytes: u64, fill_bytes: u64, need_bytes: u64| {
            let coming = fill_bytes.saturating_mul(HORIZON_DAYS as u64);
            left_bytes.saturating_add(coming).checked_div(need_bytes).unwrap_or(u64::MAX)
        };
        let to_site =
            keyed(self.to_site_bytes, self.to_site_fill_bytes_per_day, need.to_site_bytes);
        let from_site =
            keyed(self.from_site_bytes, self.from_site_fill_bytes_per_day, need.from_site_bytes);
        to_site.min(from_site).min(room.unwrap_or(u64::MAX))
    }

    /// Takes off what a share costs there.
    pub fn charge(&mut self, need: &Need) {
        self.to_site_bytes = self.to_site_bytes.saturating_sub(need.to_site_bytes);
        self.from_site_bytes = self.from_site_bytes.saturating_sub(need.from_site_bytes);
        self.room_bytes = self.room_bytes.map(|room| room.saturating_sub(need.store_bytes));
    }

    /// Key that bounds what the site can still take; without a link nothing does.
    fn key_bytes(&self) -> u64 {
        match self.channel {
            Channel::Otp => self.to_site_bytes.min(self.from_site_bytes),
            Channel::Local | Channel::Tls => u64::MAX,
        }
    }
}

/// A placement rule that an operator can go against by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Rule {
    /// Losing any one zone leaves `k` shares.
    Zone,
    /// No two shares lie in one domain.
    Domain,
    /// No share goes over `tls`.
    Channel,
    /// Fewer than `k` shares lie at sites that release them without consent.
    Consent,
}

impl Rule {
    /// The word by which an operator names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Domain => "domain",
            Self::Channel => "channel",
            Self::Consent => "consent",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no placement rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no placement rule is called {text:?}: the rules are zone, domain, channel and consent")]
pub struct RuleError {
    /// What was given, shortened to 64 characters.
    text: String,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        [Self::Zone, Self::Domain, Self::Channel, Self::Consent]
            .into_iter()
            .find(|rule| rule.as_str() == text)
            .ok_or_else(|| RuleError { text: text.chars().take(64).collect() })
    }
}

/// The operator's word that one rule may be broken, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The rule.
    pub rule: Rule,
    /// The operator's reason, recorded with the object.
    pub reason: String,
}

/// One object to be placed.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest<'a> {
    /// How many shares, and how many of them rebuild.
    pub threshold: Threshold,
    /// The object's payload; where its length isn't known yet, an upper bound.
    pub geometry: Geometry,
    /// Every site there is.
    pub candidates: &'a [Candidate],
    /// Bytes left in the `random` pool, less what running work has planned.
    pub random_bytes: u64,
    /// Rules that may be broken where it can't be helped.
    pub overrides: &'a [Override],
    /// Sites that must get a share.
    pub pins: &'a [SiteName],
    /// Sites that must not.
    pub exclusions: &'a [SiteName],
    /// The most shares that one zone may hold, where that is to be fewer than the scheme bears.
    pub zone_shares_max: Option<usize>,
}

impl PlanRequest<'_> {
    /// The most shares that one zone may hold.
    fn per_zone(&self) -> usize {
        let spare = self.threshold.n() - self.threshold.k();
        self.zone_shares_max.map_or(spare, |most| most.min(spare))
    }
}

/// What one share costs. Totals hold their reserves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Need {
    /// Key from gateway to site: the backup's, and the requests of one restore.
    pub to_site_bytes: u64,
    /// Key from site to gateway: the receipts, and the content of one restore.
    pub from_site_bytes: u64,
    /// The part of `to_site_bytes` that stays reserved once the object is stored.
    pub reserve_to_site_bytes: u64,
    /// The part of `from_site_bytes` that stays reserved once the object is stored.
    pub reserve_from_site_bytes: u64,
    /// From the gateway's `random` pool.
    pub random_bytes: u64,
    /// Room in the site's store.
    pub store_bytes: u64,
}

impl Need {
    /// What covers either of two needs.
    fn larger(self, other: Self) -> Self {
        Self {
            to_site_bytes: self.to_site_bytes.max(other.to_site_bytes),
            from_site_bytes: self.from_site_bytes.max(other.from_site_bytes),
            reserve_to_site_bytes: self.reserve_to_site_bytes.max(other.reserve_to_site_bytes),
            reserve_from_site_bytes: self
                .reserve_from_site_bytes
                .max(other.reserve_from_site_bytes),
            random_bytes: self.random_bytes.max(other.random_bytes),
            store_bytes: self.store_bytes.max(other.store_bytes),
        }
    }
}

/// A share's place and part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedShare {
    /// Where it goes.
    pub site: SiteName,
    /// Its x-coordinate.
    pub x: XCoord,
    /// How its bytes come to be.
    pub role: Role,
    /// How it travels.
    pub channel: Channel,
    /// The site's zone.
    pub zone: SiteName,
    /// The site's domain.
    pub domain: SiteName,
    /// What it costs.
    pub need: Need,
}

/// An admissible placement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// `n` shares at `n` sites, by x from 1 to n; the pad shares come first.
    pub shares: Vec<PlannedShare>,
    /// From the `random` pool, for all shares and the capsule.
    pub random_bytes: u64,
    /// How many sites may be corrupt, in whatever domains, without a word of the plaintext lost:
    /// `k - 1` less the shares that go over `tls`.
    pub tolerates_corrupt_sites: usize,
    /// The overrides without which this placement would be refused.
    pub overridden: Vec<Override>,
}

/// The sites that may get a share, the most wanted first.
fn usable<'a>(request: &PlanRequest<'a>, relaxed: Relaxed) -> Vec<&'a Candidate> {
    let admitted = request.candidates.iter().filter(|candidate| {
        let need = any_role_need(request, candidate.channel);
        refusal::barred(candidate, request, relaxed).is_none()
            && refusal::has_room(candidate, &need)
            && refusal::shortfalls(candidate, &need).is_empty()
    });
    ranked(admitted.collect())
}

/// Orders sites by preference: links by key left, then rooms, then `tls`; equals by name.
fn ranked(mut sites: Vec<&Candidate>) -> Vec<&Candidate> {
    sites.sort_by_key(|site| (site.channel, Reverse(site.key_bytes()), &site.site));
    sites
}

/// Orders ranked sites as a policy has it; channels stay apart.
fn ranked_by(mut sites: Vec<&Candidate>, choice: Choice) -> Vec<&Candidate> {
    match choice.policy {
        Policy::Forecast | Policy::MostRemaining => {}
        Policy::Fixed => sites.sort_by_key(|site| (site.channel, &site.site)),
        Policy::RoundRobin => {
            sites.sort_by_key(|site| &site.site);
            let turn = choice.turn.checked_rem(sites.len() as u64).unwrap_or(0);
            sites.rotate_left(turn as usize);
            sites.sort_by_key(|site| site.channel);
        }
        Policy::Random => {
            sites.sort_by_key(|site| &site.site);
            let mut lots: Vec<usize> = (0..sites.len()).collect();
            Dice::new(choice.turn).shuffle(&mut lots);
            sites = lots.into_iter().map(|at| sites[at]).collect();
            sites.sort_by_key(|site| site.channel);
        }
    }
    sites
}

/// What a site must be able to give whichever role it gets. Random bytes depend on all sites
/// together and are judged by the plan.
fn any_role_need(request: &PlanRequest<'_>, channel: Channel) -> Need {
    let of = |role| need(request.threshold, request.geometry, role, channel);
    of(Role::Pad).larger(of(Role::Computed))
}

/// Gives x-coordinates and roles to `n` chosen sites, in their order.
fn assign(sites: &[&Candidate], request: &PlanRequest<'_>) -> Plan {
    let threshold = request.threshold;
    let mut sites = sites.to_vec();
    // What is a pad at its site costs its network next to nothing.
    sites.sort_by_key(|site| {
        let speed = site.network_bytes_per_second.unwrap_or(u64::MAX);
        (site.channel, speed, Reverse(site.key_bytes()), &site.site)
    });
    let sites = &sites[..];
    let xs = (1..=u8::MAX).filter_map(XCoord::new);
    let shares: Vec<_> = sites
        .iter()
        .zip(xs)
        .enumerate()
        .map(|(at, (site, x))| {
            let role = if at < threshold.pads() { Role::Pad } else { Role::Computed };
            let need = need(threshold, request.geometry, role, site.channel);
            let (zone, domain) = (site.zone.clone(), site.domain.clone());
            PlannedShare {
                site: site.site.clone(),
                x,
                role,
                channel: site.channel,
                zone,
                domain,
                need,
            }
        })
        .collect();
    assert_eq!(shares.len(), threshold.n(), "the selection holds n sites");
    let tls = shares.iter().filter(|share| share.channel == Channel::Tls).count();
    let drawn: u64 = shares.iter().map(|share| share.need.random_bytes).sum();
    Plan {
        random_bytes: drawn + need::capsule_random_bytes(threshold),
        tolerates_corrupt_sites: threshold.pads() - tls,
        overridden: overridden(sites, request),
        shares,
    }
}

/// The first override of each rule that this choice of sites breaks.
fn overridden(sites: &[&Candidate], request: &PlanRequest<'_>) -> Vec<Override> {
    let broken = |rule| match rule {
        Rule::Zone => {
            let most = select::largest_group(sites, |site| &site.zone);
            most > request.per_zone()
        }
        Rule::Domain => select::largest_group(sites, |site| &site.domain) > 1,
        Rule::Channel => sites.iter().any(|site| site.channel == Channel::Tls),
        Rule::Consent => select::without_consent(sites) >= request.threshold.k(),
    };
    [Rule::Zone, Rule::Domain, Rule::Channel, Rule::Consent]
        .into_iter()
        .filter(|rule| broken(*rule))
        .filter_map(|rule| request.overrides.iter().find(|named| named.rule == rule))
        .cloned()
        .collect()
}
