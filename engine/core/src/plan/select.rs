//! Which sites: an exact choice under zone and domain limits.
//!
//! Every site joins one domain to one zone; a domain takes few shares, a zone takes few. That is
//! a network of capacities, in which `n` shares are a flow from the domains to the zones. The
//! cheapest flow settles whether a set exists and how many shares must leave the one-time pad
//! links. Among the cheapest, those stay in the game that leave the longest time: what the
//! balance of the key says must be in the next set is gained, what it has no load for costs. Then
//! each site in its rank is drawn into the flow where that costs nothing.

use super::{Candidate, Override, PlanRequest, Rule};
use crate::id::SiteName;
use crate::role::Channel;
use crate::schedule::{Balance, Limits, Musts, Network, Place, SHARES_MAX};
use std::collections::BTreeMap;

/// Rules that are set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Relaxed {
    pub(super) zone: bool,
    pub(super) domain: bool,
    pub(super) tls: bool,
    pub(super) consent: bool,
}

impl Relaxed {
    /// All rules that the overrides name.
    pub(super) fn all(overrides: &[Override]) -> Self {
        let named = |rule| overrides.iter().any(|one| one.rule == rule);
        Self {
            zone: named(Rule::Zone),
            domain: named(Rule::Domain),
            tls: named(Rule::Channel),
            consent: named(Rule::Consent),
        }
    }

    /// Every part of what the overrides allow, the fewest rules first; among equals durability
    /// yields before secrecy.
    pub(super) fn from_least(overrides: &[Override]) -> Vec<Self> {
        let allowed = Self::all(overrides);
        let switch = |on: bool| if on { vec![false, true] } else { vec![false] };
        let mut parts = Vec::new();
        for (consent, tls) in switch(allowed.consent)
            .into_iter()
            .flat_map(|consent| switch(allowed.tls).into_iter().map(move |tls| (consent, tls)))
        {
            for domain in switch(allowed.domain) {
                parts.extend(switch(allowed.zone).into_iter().map(|zone| Self {
                    zone,
                    domain,
                    tls,
                    consent,
                }));
            }
        }
        parts.sort_by_key(|part| {
            let set_aside = [part.zone, part.domain, part.tls, part.consent];
            set_aside.map(usize::from).iter().sum::<usize>()
        });
        parts
    }
}

/// What is spared first among shares that can't go over a link.
#[derive(Clone, Copy)]
pub(super) enum Preference {
    /// As many links as the rules allow, then as few `tls` shares.
    FewestUnlinked,
    /// As few `tls` shares as the rules allow, then as many links.
    FewestTls,
    /// As few shares without consent as the rules allow, then as many links.
    MostConsent,
}

/// In the order in which they are tried. Only where `tls` is admitted, and both its limit and the
/// `random` pool bind, may a set that lies between the two be missed; then the plan is refused.
pub(super) const PREFERENCES: [Preference; 3] =
    [Preference::FewestUnlinked, Preference::FewestTls, Preference::MostConsent];

impl Preference {
    const fn cost(self, site: &Candidate) -> i64 {
        if matches!(self, Self::MostConsent) {
            let unlinked = if matches!(site.channel, Channel::Otp) { 0 } else { UNIT };
            return if site.enforces_consent { unlinked } else { MANY + unlinked };
        }
        match (site.channel, self) {
            (Channel::Otp, _) => 0,
            (Channel::Local, Self::FewestUnlinked) => MANY,
            (Channel::Local, _) => UNIT,
            (Channel::Tls, Self::FewestUnlinked) => MANY + UNIT,
            (Channel::Tls, _) => MANY,
        }
    }
}

/// More than what the forecast gains or costs with 255 shares, at their sites, domains and zones.
const UNIT: i64 = 1 << 10;
/// More than the unit costs of 255 shares.
const MANY: i64 = UNIT << 8;
/// More than the costs of 255 shares.
const PIN_GAIN: i64 = MANY << 9;

/// What the forecast wants of the next set.
pub(super) struct Wishes {
    musts: Musts,
    /// Whether each site has a share to take at all.
    has_load: Vec<bool>,
}

impl Wishes {
    /// None: sites go by their order alone.
    pub(super) fn none() -> Self {
        Self { musts: Musts::default(), has_load: Vec::new() }
    }

    /// Those of the longest time until no admissible set of these sites remains, for objects like
    /// this one. Where links make a whole set, key is what runs out, so rooms don't count.
    pub(super) fn of(sites: &[&Candidate], request: &PlanRequest<'_>, relaxed: Relaxed) -> Self {
        let limits = limits(request, relaxed);
        let shares = |site: &Candidate| {
            let need = super::any_role_need(request, site.channel);
            site.shares_within_horizon(&need).min(SHARES_MAX)
        };
        let of_links = |site: &Candidate| match site.channel {
            Channel::Otp => shares(site),
            Channel::Local | Channel::Tls => 0,
        };
        let mut all = places(sites, of_links);
        let mut balance = Balance::of(&all, limits);
        if balance.objects == 0 {
            all = places(sites, shares);
            balance = Balance::of(&all, limits);
        }
        if balance.objects == 0 {
            return Self::none();
        }
        let has_load = balance.loads.iter().map(|load| *load > 0).collect();
        Self { musts: balance.musts(&all, limits), has_load }
    }

    fn cost_of_site(&self, at: usize) -> i64 {
        match (self.musts.places.get(at), self.has_load.get(at)) {
            (Some(true), _) => -1,
            (_, Some(false)) => 1,
            _ => 0,
        }
    }
}

/// The sites as the balance sees them, with the shares that each can take.
pub(super) fn places(sites: &[&Candidate], shares: impl Fn(&Candidate) -> u64) -> Vec<Place> {
    let (domains, zones) = (indices(sites, |s| &s.domain), indices(sites, |s| &s.zone));
    let place = |site: &&Candidate| Place {
        domain: domains[&site.domain],
        zone: zones[&site.zone],
        shares: shares(site),
        arriving: 0.0,
    };
    sites.iter().map(place).collect()
}

/// The best `n` of `sites`, in their order, or `None` where no `n` keep the rules, hold all pins,
/// and leave fewer than `k` shares to `tls`, and to sites without consent.
pub(super) fn select<'a>(
    sites: &[&'a Candidate],
    request: &PlanRequest<'_>,
    relaxed: Relaxed,
    preference: Preference,
    wishes: &Wishes,
) -> Option<Vec<&'a Candidate>> {
    let pinned = |site: &Candidate| request.pins.contains(&site.site);
    let (mut network, arcs) = network(sites, limits(request, relaxed), wishes, |at| {
        let cost = preference.cost(sites[at]) + wishes.cost_of_site(at);
        if pinned(sites[at]) { cost - PIN_GAIN } else { cost }
    });
    for _ in 0..request.threshold.n() {
        let (path, _) = network.cheapest(SOURCE, SINK)?;
        network.send(&path);
    }
    let chosen: Vec<_> = sites
        .iter()
        .zip(arcs)
        .filter(|(_, arc)| network.draw_in(*arc))
        .map(|(site, _)| *site)
        .collect();
    let tls = chosen.iter().filter(|site| site.channel == Channel::Tls).count();
    let pins = chosen.iter().filter(|site| pinned(site)).count();
    let k = request.threshold.k();
    let heeds_consent = relaxed.consent || without_consent(&chosen) < k;
    (pins == request.pins.len() && tls < k && heeds_consent).then_some(chosen)
}

/// How many of these sites release shares without consent.
pub(super) fn without_consent(sites: &[&Candidate]) -> usize {
    sites.iter().filter(|site| !site.enforces_consent).count()
}

/// How many shares may lie together, with these rules set aside.
pub(super) fn limits(request: &PlanRequest<'_>, relaxed: Relaxed) -> Limits {
    let (n, k) = (request.threshold.n() as u64, request.threshold.k() as u64);
    Limits {
        n,
        per_domain: if relaxed.domain { n } else { 1 },
        per_zone: if relaxed.zone { n } else { n - k },
    }
}

/// An index for each name.
fn indices<'a>(
    sites: &[&'a Candidate],
    name: impl Fn(&'a Candidate) -> &'a SiteName,
) -> BTreeMap<&'a SiteName, usize> {
    let named = groups(sites, name).into_keys();
    named.enumerate().map(|(index, name)| (name, index)).collect()
}

/// The most sites that share one name, such as a zone's.
pub(super) fn largest_group(sites: &[&Candidate], name: impl Fn(&Candidate) -> &SiteName) -> usize {
    groups(sites, name).into_values().max().unwrap_or(0)
}

/// How many sites share each name.
pub(super) fn groups<'a>(
    sites: &[&'a Candidate],
    name: impl Fn(&'a Candidate) -> &'a SiteName,
) -> BTreeMap<&'a SiteName, usize> {
    let mut groups = BTreeMap::new();
    sites.iter().for_each(|site| *groups.entry(name(site)).or_insert(0) += 1);
    groups
}

/// Builds the network, and says which arc is which site.
fn network(
    sites: &[&Candidate],
    limits: Limits,
    wishes: &Wishes,
    cost: impl Fn(usize) -> i64,
) -> (Network, Vec<usize>) {
    let (domains, zones) = (indices(sites, |s| &s.domain), indices(sites, |s| &s.zone));
    let (first_domain, first_zone) = (2, 2 + domains.len());
    let mut network = Network::with_nodes(first_zone + zones.len());
    let mut connect = |source, target, room: u64, must: Option<&u64>| {
        let must = must.map_or(0, |must| room.min(*must));
        network.connect(source, target, must, -1);
        network.connect(source, target, room - must, 0);
    };
    for domain in domains.values() {
        let must = wishes.musts.domains.get(*domain);
        connect(SOURCE, first_domain + domain, limits.per_domain, must);
    }
    for zone in zones.values() {
        connect(first_zone + zone, SINK, limits.per_zone, wishes.musts.zones.get(*zone));
    }
    let arcs = sites
        .iter()
        .enumerate()
        .map(|(at, site)| {
            let (domain, zone) = (domains[&site.domain], zones[&site.zone]);
            network.connect(first_domain + domain, first_zone + zone, 1, cost(at))
        })
        .collect();
    (network, arcs)
}

const SOURCE: usize = 0;
const SINK: usize = 1;
