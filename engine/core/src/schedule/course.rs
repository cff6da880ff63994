//! The course that the forecast sets: which sets are due, one after the other.

use super::balance::{Balance, Limits, Musts, Place, groups};
use super::network::Network;

/// A balance that is being carried out. Empty where none was set, or what it rested on is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    way: Option<Way>,
    /// The mean need of late, in bytes; 0 before the first.
    mean_bytes: u64,
    /// Sets chosen off the course since the last was set.
    strayed: u32,
}

#[derive(Clone, Debug)]
struct Way {
    places: Vec<Place>,
    balance: Balance,
    unit_bytes: u64,
    /// The mean need when the course was set.
    mean_bytes: u64,
    set: Vec<usize>,
    /// What the set may still take.
    left_bytes: u64,
    /// Most units of a set in a row.
    row: u64,
    /// Key that has come and isn't reckoned with.
    credited_bytes: u64,
    /// That much is too much.
    credit_bytes_max: u64,
}

/// A balance is carried out in at least so many turns.
const TURNS: u64 = 32;

/// After so many sets off the course, a new one is set.
const STRAYS_MAX: u32 = 16;

/// Arrivals of one part in this many of what the course lays out make a new one due.
const CREDIT_DIVISOR: u64 = 32;

impl Course {
    /// Learns from a need that is asked for.
    pub(crate) fn note_need(&mut self, need_bytes: u64) {
        self.mean_bytes = match self.mean_bytes {
            0 => need_bytes,
            mean if need_bytes >= mean => mean + (need_bytes - mean) / 16,
            mean => mean - (mean - need_bytes) / 16,
        };
        let mean = self.mean_bytes;
        let is_off = |way: &Way| way.mean_bytes / 2 > mean || way.mean_bytes < mean / 2;
        if self.way.as_ref().is_some_and(is_off) {
            self.forget();
        }
    }

    /// Learns that key has come.
    pub(crate) fn note_credit(&mut self, bytes: u64) {
        if let Some(way) = &mut self.way {
            way.credited_bytes = way.credited_bytes.saturating_add(bytes);
            if way.credited_bytes > way.credit_bytes_max {
                self.forget();
            }
        }
    }

    /// Learns that the set was taken.
    pub(crate) fn note_taken(&mut self, need_bytes: u64) {
        if let Some(way) = &mut self.way {
            way.left_bytes = way.left_bytes.saturating_sub(need_bytes);
        }
    }

    /// Learns that all is different.
    pub(crate) fn forget(&mut self) {
        self.way = None;
        self.strayed = STRAYS_MAX;
    }

    /// The size in which a course should reckon, in bytes; 0 before the first need.
    pub(crate) const fn mean_bytes(&self) -> u64 {
        self.mean_bytes
    }

    /// Whether the course leads nowhere any more.
    pub(crate) fn is_over(&self) -> bool {
        self.way.as_ref().is_none_or(|way| way.balance.objects == 0 && way.is_turn_over())
    }

    /// Counts one set off the course, and says whether it is time for a new one.
    pub(crate) fn stray(&mut self) -> bool {
        self.strayed += 1;
        self.strayed > STRAYS_MAX || self.is_over()
    }

    /// Sets a course by what there is, in units of so many bytes.
    pub(crate) fn set_out(&mut self, places: Vec<Place>, limits: Limits, unit_bytes: u64) {
        let balance = Balance::of(&places, limits);
        let laid_out = balance.objects.saturating_mul(limits.n).saturating_mul(unit_bytes);
        self.strayed = 0;
        self.way = Some(Way {
            row: balance.objects.div_ceil(TURNS),
            places,
            balance,
            unit_bytes,
            mean_bytes: self.mean_bytes,
            set: Vec::new(),
            left_bytes: 0,
            credited_bytes: 0,
            credit_bytes_max: laid_out / CREDIT_DIVISOR,
        });
    }

    /// The set that is due, or `None` at the end of the course.
    pub(crate) fn next(&mut self, limits: Limits) -> Option<&[usize]> {
        let way = self.way.as_mut()?;
        if way.is_turn_over() {
            way.turn(limits)?;
        }
        Some(&way.set)
    }
}

impl Way {
    const fn is_turn_over(&self) -> bool {
        self.left_bytes < self.unit_bytes.div_ceil(2)
    }

    /// Goes over to the next set.
    fn turn(&mut self, limits: Limits) -> Option<()> {
        if self.balance.objects == 0 {
            return None;
        }
        self.set = due(&self.balance, &self.places, limits)?;
        let run = self.balance.run(&self.places, limits, &self.set).min(self.row);
        self.balance.take(&self.set, run);
        self.left_bytes = self.left_bytes.saturating_add(run.saturating_mul(self.unit_bytes));
        (run > 0).then_some(())
    }
}

/// A set that holds all that must be in it, and of the rest the sites with most load.
fn due(balance: &Balance, places: &[Place], limits: Limits) -> Option<Vec<usize>> {
    let Musts { places: musts, domains: of_domains, zones: of_zones } =
        balance.musts(places, limits);
    let (domains, zones) = groups(places);
    let mut network = Network::with_nodes(2 + domains + zones);
    let mut connect_group = |source, target, room: u64, must: u64| {
        network.connect(source, target, must.min(room), -MUST_GAIN);
        network.connect(source, target, room.saturating_sub(must), 0);
    };
    for (domain, must) in of_domains.into_iter().enumerate() {
        connect_group(SOURCE, 2 + domain, limits.per_domain, must);
    }
    for (zone, must) in of_zones.into_iter().enumerate() {
        connect_group(2 + domains + zone, SINK, limits.per_zone, must);
    }
    let mut arcs = Vec::with_capacity(places.len());
    for (at, place) in places.iter().enumerate() {
        let load = balance.loads[at];
        if load > 0 {
            let weight = u128::from(load) * 1024 / u128::from(balance.objects.max(1));
            let cost = if musts[at] { MUST_GAIN } else { weight as i64 };
            let arc = network.connect(2 + place.domain, 2 + domains + place.zone, 1, -cost);
            arcs.push((at, arc));
        }
    }
    for _ in 0..limits.n {
        let (path, _) = network.cheapest(SOURCE, SINK)?;
        network.send(&path);
    }
    let used = arcs.into_iter().filter(|(_, arc)| network.flow_over(*arc) == 1);
    Some(used.map(|(at, _)| at).collect())
}

/// More than all sites of a set weigh together.
const MUST_GAIN: i64 = 1 << 32;

const SOURCE: usize = 0;
const SINK: usize = 1;
