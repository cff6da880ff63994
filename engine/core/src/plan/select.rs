//! Which sites: an exact choice under zone and domain limits.
//!
//! Every site joins one domain to one zone; a domain takes few shares, a zone takes few. That is
//! a network of capacities, in which `n` shares are a flow from the domains to the zones. The
//! cheapest flow settles whether a set exists and how many shares must leave the one-time pad
//! links; then each site in its rank is drawn into the flow where that costs nothing.

use super::{Candidate, Override, PlanRequest, Rule};
use crate::id::SiteName;
use crate::role::Channel;
use std::collections::{BTreeMap, VecDeque};

/// Rules that are set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Relaxed {
    pub(super) zone: bool,
    pub(super) domain: bool,
    pub(super) tls: bool,
}

impl Relaxed {
    /// All rules that the overrides name.
    pub(super) fn all(overrides: &[Override]) -> Self {
        let named = |rule| overrides.iter().any(|one| one.rule == rule);
        Self { zone: named(Rule::Zone), domain: named(Rule::Domain), tls: named(Rule::Channel) }
    }

    /// Every part of what the overrides allow, the fewest rules first; among equals durability
    /// yields before secrecy.
    pub(super) fn from_least(overrides: &[Override]) -> Vec<Self> {
        let allowed = Self::all(overrides);
        let switch = |on: bool| if on { vec![false, true] } else { vec![false] };
        let mut parts = Vec::new();
        for tls in switch(allowed.tls) {
            for domain in switch(allowed.domain) {
                parts.extend(switch(allowed.zone).into_iter().map(|zone| Self {
                    zone,
                    domain,
                    tls,
                }));
            }
        }
        parts.sort_by_key(|part| {
            [part.zone, part.domain, part.tls].map(usize::from).iter().sum::<usize>()
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
}

/// In the order in which they are tried. Only where `tls` is admitted, and both its limit and the
/// `random` pool bind, may a set that lies between the two be missed; then the plan is refused.
pub(super) const PREFERENCES: [Preference; 2] = [Preference::FewestUnlinked, Preference::FewestTls];

impl Preference {
    const fn cost(self, channel: Channel) -> i64 {
        match (channel, self) {
            (Channel::Otp, _) => 0,
            (Channel::Local, Self::FewestUnlinked) => MANY,
            (Channel::Local, Self::FewestTls) => 1,
            (Channel::Tls, Self::FewestUnlinked) => MANY + 1,
            (Channel::Tls, Self::FewestTls) => MANY,
        }
    }
}

/// More than the unit costs of 255 shares.
const MANY: i64 = 1000;
/// More than the costs of 255 shares.
const PIN_GAIN: i64 = 1_000_000;

/// The best `n` of `sites`, in their order, or `None` where no `n` keep the rules, hold all pins,
/// and leave fewer than `k` shares to `tls`.
pub(super) fn select<'a>(
    sites: &[&'a Candidate],
    request: &PlanRequest<'_>,
    relaxed: Relaxed,
    preference: Preference,
) -> Option<Vec<&'a Candidate>> {
    let pinned = |site: &Candidate| request.pins.contains(&site.site);
    let (mut network, arcs) = network(sites, request, relaxed, |site| {
        let cost = preference.cost(site.channel);
        if pinned(site) { cost - PIN_GAIN } else { cost }
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
    (pins == request.pins.len() && tls < request.threshold.k()).then_some(chosen)
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
    request: &PlanRequest<'_>,
    relaxed: Relaxed,
    cost: impl Fn(&Candidate) -> i64,
) -> (Network, Vec<usize>) {
    let (n, k) = (request.threshold.n(), request.threshold.k());
    let domain_room = if relaxed.domain { n } else { 1 };
    let zone_room = if relaxed.zone { n } else { n - k };
    let mut network = Network::default();
    let (mut domains, mut zones) = (BTreeMap::new(), BTreeMap::new());
    for site in sites {
        let count = 2 + domains.len() + zones.len();
        domains.entry(&site.domain).or_insert(count);
        let count = 2 + domains.len() + zones.len();
        zones.entry(&site.zone).or_insert(count);
    }
    network.arcs_from.resize(2 + domains.len() + zones.len(), Vec::new());
    for domain in domains.values() {
        network.connect(SOURCE, *domain, domain_room, 0);
    }
    for zone in zones.values() {
        network.connect(*zone, SINK, zone_room, 0);
    }
    let arcs = sites
        .iter()
        .map(|site| network.connect(domains[&site.domain], zones[&site.zone], 1, cost(site)))
        .collect();
    (network, arcs)
}

const SOURCE: usize = 0;
const SINK: usize = 1;

/// A residual network. Arc `a ^ 1` is arc `a` reversed; its room is the flow over `a`.
#[derive(Default)]
struct Network {
    arcs: Vec<Arc>,
    arcs_from: Vec<Vec<usize>>,
}

struct Arc {
    target: usize,
    room: usize,
    cost: i64,
}

impl Network {
    fn connect(&mut self, source: usize, target: usize, room: usize, cost: i64) -> usize {
        let arc = self.arcs.len();
        self.arcs.push(Arc { target, room, cost });
        self.arcs.push(Arc { target: source, room: 0, cost: -cost });
        self.arcs_from[source].push(arc);
        self.arcs_from[target].push(arc + 1);
        arc
    }

    /// The cheapest path with room, and its cost (Bellman and Ford). There is never a cycle of
    /// negative cost: the flow is always a cheapest one of its size.
    fn cheapest(&self, source: usize, target: usize) -> Option<(Vec<usize>, i64)> {
        let mut reached: Vec<Option<(i64, usize)>> = vec![None; self.arcs_from.len()];
        let mut queue = VecDeque::from([source]);
        reached[source] = Some((0, usize::MAX));
        while let Some(node) = queue.pop_front() {
            let cost_here = reached[node].map_or(0, |(cost, _)| cost);
            for &index in &self.arcs_from[node] {
                let arc = &self.arcs[index];
                let cost = cost_here + arc.cost;
                let better = reached[arc.target].is_none_or(|(known, _)| cost < known);
                if arc.room > 0 && better {
                    reached[arc.target] = Some((cost, index));
                    if !queue.contains(&arc.target) {
                        queue.push_back(arc.target);
                    }
                }
            }
        }
        let (total, _) = reached[target]?;
        let mut path = Vec::new();
        let mut node = target;
        while node != source {
            let (_, index) = reached[node]?;
            path.push(index);
            node = self.arcs[index ^ 1].target;
        }
        Some((path, total))
    }

    fn send(&mut self, path: &[usize]) {
        for &arc in path {
            self.arcs[arc].room -= 1;
            self.arcs[arc ^ 1].room += 1;
        }
    }

    /// Draws a site's arc into the flow where that costs nothing, and settles it for good:
    /// whether it is in.
    fn draw_in(&mut self, arc: usize) -> bool {
        let used = self.arcs[arc ^ 1].room == 1;
        self.arcs[arc].room = 0;
        self.arcs[arc ^ 1].room = 0;
        if used {
            return true;
        }
        let (source, target) = (self.arcs[arc ^ 1].target, self.arcs[arc].target);
        match self.cheapest(target, source) {
            Some((back, cost)) if cost + self.arcs[arc].cost <= 0 => {
                self.send(&back);
                true
            }
            _ => false,
        }
    }
}
