//! How often `n` shares can still be placed, and how the load is spread so that it comes true.
//!
//! Let `B_i` be how many shares a site can still take, and `T` how many objects are to be placed.
//! A site takes at most one share of each, so at most `min(B_i, T)` in all; a domain at most `T`,
//! a zone at most `(n - k) T`. As much as that flows through the network source, domains, sites,
//! zones, sink, and where `n T` flow, loads of the sites are found for which `T` admissible sets
//! exist: the network's matrix is totally unimodular, so whole loads within `T` times its
//! polytope are sums of `T` of its whole points. So the largest such `T` is the optimum.
//!
//! What comes in counts with what is there: `B_i` may grow with `T`.

use super::network::Network;

/// More is as good as endless.
pub(crate) const SHARES_MAX: u64 = 1 << 44;

/// One site as the balance sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its domain's index.
    pub(crate) domain: usize,
    /// Its zone's index.
    pub(crate) zone: usize,
    /// Shares it can take now, and those that are sure to come.
    pub(crate) shares: u64,
    /// Shares that come in for each object that is placed meanwhile.
    pub(crate) arriving: f64,
}

impl Place {
    /// Shares it can take while so many objects are placed.
    fn shares_within(&self, objects: u64) -> u64 {
        self.part_of(PARTS, objects)
    }

    /// As many of its [`PARTS`] of what it has and gets while so many objects are placed.
    fn part_of(&self, parts: u64, objects: u64) -> u64 {
        let arriving = (self.arriving * objects as f64) as u64;
        let all = self.shares.min(SHARES_MAX).saturating_add(arriving).min(2 * SHARES_MAX);
        (all * parts).div_ceil(PARTS).min(objects)
    }
}

/// How many shares of one object may lie together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Shares of one object.
    pub(crate) n: u64,
    /// Most of them in one domain.
    pub(crate) per_domain: u64,
    /// Most of them in one zone.
    pub(crate) per_zone: u64,
}

/// The number of objects that can still be placed, and which site takes how many shares of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Balance {
    /// `T`.
    pub(crate) objects: u64,
    /// Shares for each place; together `n T`.
    pub(crate) loads: Vec<u64>,
}

impl Balance {
    /// Finds the largest number of objects and loads for it, which empty no site further than
    /// needed.
    pub(crate) fn of(places: &[Place], limits: Limits) -> Self {
        let objects = objects_max(places, limits);
        if objects == 0 {
            return Self { objects, loads: vec![0; places.len()] };
        }
        // Widened step by step, sites that need not give all give like parts of what they have.
        let caps = |parts: u64| places.iter().map(move |place| place.part_of(parts, objects));
        let mut flow = Flow::of(places, limits, objects, caps(1));
        for parts in 2..=PARTS {
            if flow.is_whole() {
                break;
            }
            flow.widen(caps(parts - 1).zip(caps(parts)).map(|(before, now)| now - before));
        }
        Self { objects, loads: flow.loads() }
    }

    /// What the next set must hold so that the others still come true.
    pub(crate) fn musts(&self, places: &[Place], limits: Limits) -> Musts {
        let (domains, zones) = groups(places);
        let owed = |group: Group, count: usize, most: u64| -> Vec<u64> {
            let mut loads = vec![0; count];
            for (place, load) in places.iter().zip(&self.loads) {
                loads[group(place)] += load;
            }
            let spare = |load: u64| (most * self.objects).saturating_sub(load);
            loads.into_iter().map(|load| most.saturating_sub(spare(load))).collect()
        };
        Musts {
            places: self.loads.iter().map(|load| *load == self.objects).collect(),
            domains: owed(|place| place.domain, domains, limits.per_domain),
            zones: owed(|place| place.zone, zones, limits.per_zone),
        }
    }

    /// How often one set can be taken in a row before another is due.
    pub(crate) fn run(&self, places: &[Place], limits: Limits, set: &[usize]) -> u64 {
        let is_in = |at: usize| set.contains(&at);
        let mut most = self.objects;
        for (at, load) in self.loads.iter().enumerate() {
            most = most.min(if is_in(at) { *load } else { self.objects.saturating_sub(*load) });
        }
        let (domains, zones) = groups(places);
        let kinds: [(Group, usize, u64); 2] = [
            (|place| place.domain, domains, limits.per_domain),
            (|place| place.zone, zones, limits.per_zone),
        ];
        for (group, count, per_group) in kinds {
            let (mut loads, mut taken) = (vec![0; count], vec![0; count]);
            for (at, place) in places.iter().enumerate() {
                loads[group(place)] += self.loads[at];
                taken[group(place)] += u64::from(is_in(at));
            }
            for (load, taken) in loads.into_iter().zip(taken) {
                let spare = (per_group * self.objects).saturating_sub(load);
                if let Some(run) = spare.checked_div(per_group.saturating_sub(taken)) {
                    most = most.min(run);
                }
            }
        }
        most
    }

    /// Takes a set off so many times.
    pub(crate) fn take(&mut self, set: &[usize], times: u64) {
        self.objects = self.objects.saturating_sub(times);
        for &at in set {
            self.loads[at] = self.loads[at].saturating_sub(times);
        }
    }
}

/// By which group of a place is meant.
type Group = fn(&Place) -> usize;

/// How many domains and zones there are.
pub(crate) fn groups(places: &[Place]) -> (usize, usize) {
    let count = |group: Group| places.iter().map(|place| group(place) + 1).max().unwrap_or(0);
    (count(|place| place.domain), count(|place| place.zone))
}

/// What a set must hold: these places, and so many of each domain and zone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Musts {
    pub(crate) places: Vec<bool>,
    pub(crate) domains: Vec<u64>,
    pub(crate) zones: Vec<u64>,
}

/// In how many steps the part of its key that a site gives is found.
const PARTS: u64 = 32;

/// The largest `T` through which `n T` flow: Newton's method on the flow, which is concave in `T`.
fn objects_max(places: &[Place], limits: Limits) -> u64 {
    let mut objects = SHARES_MAX;
    while objects > 0 {
        let caps = places.iter().map(|place| place.shares_within(objects));
        let flow = Flow::of(places, limits, objects, caps);
        if flow.is_whole() {
            return objects;
        }
        // Along the narrowest cut the flow is at most `fixed + slope T`, where `n T` are needed.
        let (fixed, slope) = flow.cut(places, limits, objects);
        let meets = (fixed / (limits.n as f64 - slope)) as u64;
        // Arrivals are rounded down, so their cut may be narrower than its line says.
        let is_off = slope >= limits.n as f64 || meets >= objects;
        objects = if is_off { objects - objects.div_ceil(64) } else { meets };
    }
    0
}

/// The network of one number of objects, filled.
struct Flow {
    network: Network,
    arcs: Vec<usize>,
    domain_arcs: usize,
    zone_arcs: usize,
    zones: usize,
    sent: u64,
    wanted: u64,
}

const SOURCE: usize = 0;
const SINK: usize = 1;
const ENTRY: usize = 2;

impl Flow {
    fn of(places: &[Place], limits: Limits, objects: u64, caps: impl Iterator<Item = u64>) -> Self {
        let (domains, zones) = groups(places);
        let mut network = Network::with_nodes(3 + domains + zones);
        let wanted = limits.n * objects;
        network.connect(SOURCE, ENTRY, wanted, 0);
        for domain in 0..domains {
            network.connect(ENTRY, 3 + domain, limits.per_domain * objects, 0);
        }
        for zone in 0..zones {
            network.connect(3 + domains + zone, SINK, limits.per_zone * objects, 0);
        }
        let arcs = places
            .iter()
            .zip(caps)
            .map(|(place, cap)| network.connect(3 + place.domain, 3 + domains + place.zone, cap, 0))
            .collect();
        let sent = network.fill(SOURCE, SINK);
        Self { network, arcs, domain_arcs: domains, zone_arcs: 3 + domains, zones, sent, wanted }
    }

    /// Gives each place so much more room, and sends what goes then.
    fn widen(&mut self, more: impl Iterator<Item = u64>) {
        for (arc, more) in self.arcs.iter().zip(more) {
            self.network.widen(*arc, more);
        }
        self.sent += self.network.fill(SOURCE, SINK);
    }

    fn is_whole(&self) -> bool {
        self.sent == self.wanted
    }

    fn loads(&self) -> Vec<u64> {
        self.arcs.iter().map(|arc| self.network.flow_over(*arc)).collect()
    }

    /// The narrowest cut as a line in the number of objects that bounds it from above.
    fn cut(&self, places: &[Place], limits: Limits, objects: u64) -> (f64, f64) {
        let depths = self.network.depths(SOURCE);
        let is_near = |node: usize| depths[node] != usize::MAX;
        let (mut fixed, mut slope) = (0.0, 0.0);
        for domain in 0..self.domain_arcs {
            if is_near(ENTRY) && !is_near(3 + domain) {
                slope += limits.per_domain as f64;
            }
        }
        for zone in 0..self.zones {
            if is_near(self.zone_arcs + zone) {
                slope += limits.per_zone as f64;
            }
        }
        for place in places {
            if is_near(3 + place.domain) && !is_near(self.zone_arcs + place.zone) {
                let shares = place.shares.min(SHARES_MAX) as f64;
                if shares + place.arriving * (objects as f64) < objects as f64 {
                    fixed += shares;
                    slope += place.arriving;
                } else {
                    slope += 1.0;
                }
            }
        }
        (fixed, slope)
    }
}
