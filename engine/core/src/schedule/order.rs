//! The first set in an order: each site in turn gets a share where the rules still leave a set.

use super::balance::{Limits, Place, groups};
use super::network::Network;

/// The first admissible set of these sites in their order, or `None` where there is none.
pub(crate) fn first_set(order: &[usize], places: &[Place], limits: Limits) -> Option<Vec<usize>> {
    plainly(order, places, limits).or_else(|| exactly(order, places, limits))
}

/// Takes each site that the rules still let in. Where that makes a whole set, it is the first;
/// where not, it may have walked into a corner.
fn plainly(order: &[usize], places: &[Place], limits: Limits) -> Option<Vec<usize>> {
    let (domains, zones) = groups(places);
    let (mut in_domain, mut in_zone) = (vec![0; domains], vec![0; zones]);
    let n = usize::try_from(limits.n).unwrap_or(usize::MAX);
    let mut set = Vec::with_capacity(n);
    for &at in order {
        let place = &places[at];
        if in_domain[place.domain] < limits.per_domain && in_zone[place.zone] < limits.per_zone {
            in_domain[place.domain] += 1;
            in_zone[place.zone] += 1;
            set.push(at);
            if set.len() == n {
                return Some(set);
            }
        }
    }
    None
}

/// Finds any set by a flow, then draws in each site in its order where that leaves a set.
fn exactly(order: &[usize], places: &[Place], limits: Limits) -> Option<Vec<usize>> {
    if (order.len() as u64) < limits.n {
        return None;
    }
    let (domains, zones) = groups(places);
    let mut network = Network::with_nodes(2 + domains + zones);
    for domain in 0..domains {
        network.connect(SOURCE, 2 + domain, limits.per_domain, 0);
    }
    for zone in 0..zones {
        network.connect(2 + domains + zone, SINK, limits.per_zone, 0);
    }
    let arcs: Vec<usize> = order
        .iter()
        .map(|at| {
            let place = &places[*at];
            network.connect(2 + place.domain, 2 + domains + place.zone, 1, 0)
        })
        .collect();
    for _ in 0..limits.n {
        let (path, _) = network.cheapest(SOURCE, SINK)?;
        network.send(&path);
    }
    let in_set = order.iter().zip(arcs).filter(|(_, arc)| network.draw_in(*arc));
    Some(in_set.map(|(at, _)| *at).collect())
}

const SOURCE: usize = 0;
const SINK: usize = 1;

/// Numbers from a seed (SplitMix64): for choices of no consequence for secrecy.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// A number below this one, even but for one part in 2^64 over it.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}
