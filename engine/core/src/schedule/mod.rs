//! The share controller: which `n` sites get the shares of the next object, so that the time
//! until no admissible set remains is the longest.
//!
//! [`Scheduler`] is pure: budgets, arrivals and a seed are handed in, and the same calls give the
//! same answers. It places long rows of objects fast; [`plan`](crate::plan) places one object of
//! a real vault by the same objective.

mod balance;
mod course;
mod network;
mod order;
#[cfg(test)]
mod tests;

pub(crate) use balance::{Balance, Limits, Musts, Place, SHARES_MAX};
pub(crate) use course::Course;
pub(crate) use network::Network;
pub(crate) use order::Dice;

use crate::threshold::Threshold;
use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// Arrivals of so many days count as if they were there, where how fast key is spent isn't known.
pub const HORIZON_DAYS: f64 = 30.0;

/// One site as the scheduler sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spot {
    /// What burns together: any two spots of one number.
    pub zone: u32,
    /// Who could bribe or coerce together: any two spots of one number.
    pub domain: u32,
    /// Key left for shares: of the direction with less, in bytes.
    pub budget_bytes: u64,
    /// Key that comes in a day, in bytes: of the direction with less. What is no finite number
    /// above 0 counts as 0.
    pub fill_bytes_per_day: f64,
    /// How fast its network is, where that is known.
    pub network_bytes_per_second: Option<u64>,
    /// Whether it takes shares now.
    pub is_open: bool,
}

/// By what the scheduler chooses. All keep the rules of zones, domains and budgets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Policy {
    /// The same sites for all objects: those with most key at the beginning, what comes within
    /// [`HORIZON_DAYS`] with it; none once one of them is short or away.
    Fixed,
    /// The sites after those that had their turn.
    RoundRobin,
    /// By lot.
    Random,
    /// Those with most key left.
    MostRemaining,
    /// Those that leave the longest time until no admissible set remains. warifu's own.
    Forecast,
}

impl Policy {
    /// All of them, from the plainest on.
    pub const ALL: [Self; 5] =
        [Self::Fixed, Self::RoundRobin, Self::Random, Self::MostRemaining, Self::Forecast];

    /// The word by which an operator names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::MostRemaining => "most-remaining",
            Self::Forecast => "forecast",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no policy is called {text:?}: there are fixed, round-robin, random, most-remaining and \
     forecast"
)]
pub struct PolicyError {
    /// What was given, shortened to 64 characters.
    text: String,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| PolicyError { text: text.chars().take(64).collect() })
    }
}

/// Chooses sites for one object after another, and keeps the account.
#[derive(Clone, Debug)]
pub struct Scheduler {
    spots: Vec<Spot>,
    /// Zones and domains by index, as the balance takes them.
    places: Vec<Place>,
    limits: Limits,
    policy: Policy,
    dice: Dice,
    /// Where the next turn begins under [`Policy::RoundRobin`].
    turn: usize,
    /// The sites of [`Policy::Fixed`].
    fixed: Option<Vec<usize>>,
    course: Course,
    demand_bytes_per_day: Option<f64>,
    stored: u64,
}

impl Scheduler {
    /// A scheduler for objects of one threshold. The seed is that of [`Policy::Random`].
    #[must_use]
    pub fn new(spots: Vec<Spot>, threshold: Threshold, policy: Policy, seed: u64) -> Self {
        let (n, k) = (threshold.n() as u64, threshold.k() as u64);
        let limits = Limits { n, per_domain: 1, per_zone: n - k };
        let places = places(&spots);
        let coming = |spot: &Spot| (fill(spot) * HORIZON_DAYS) as u64;
        let mut fullest: Vec<usize> = (0..spots.len()).collect();
        fullest.sort_by_key(|at| {
            let spot = &spots[*at];
            (Reverse(spot.budget_bytes.saturating_add(coming(spot))), *at)
        });
        let fixed = order::first_set(&fullest, &places, limits);
        Self {
            spots,
            places,
            limits,
            policy,
            dice: Dice::new(seed),
            turn: 0,
            fixed,
            course: Course::default(),
            demand_bytes_per_day: None,
            stored: 0,
        }
    }

    /// Chooses `n` spots that are open and have this many bytes each, and charges them. The
    /// slowest networks come first, for these get the pads; then the unknown ones, most key first.
    ///
    /// `None` where no admissible set can pay, and under [`Policy::Fixed`] where its own can't.
    /// A need of 0 counts as 1.
    pub fn choose(&mut self, need_bytes: u64) -> Option<Vec<usize>> {
        let need_bytes = need_bytes.max(1);
        let mut set = match self.policy {
            Policy::Fixed => self.fixed.clone().filter(|set| self.can_pay(set, need_bytes)),
            Policy::RoundRobin => self.next_turn(need_bytes),
            Policy::Random => {
                let mut able = self.able(need_bytes);
                self.dice.shuffle(&mut able);
                order::first_set(&able, &self.places, self.limits)
            }
            Policy::MostRemaining => self.fullest(need_bytes),
            Policy::Forecast => self.by_forecast(need_bytes),
        }?;
        set.sort_by_key(|at| {
            let spot = &self.spots[*at];
            let speed = spot.network_bytes_per_second.unwrap_or(u64::MAX);
            (speed, Reverse(spot.budget_bytes), *at)
        });
        for &at in &set {
            self.spots[at].budget_bytes -= need_bytes;
        }
        self.stored += 1;
        Some(set)
    }

    /// Adds key to a spot. Does nothing where there is none of that number.
    pub fn credit(&mut self, spot: usize, bytes: u64) {
        if let Some(spot) = self.spots.get_mut(spot) {
            spot.budget_bytes = spot.budget_bytes.saturating_add(bytes);
            self.course.note_credit(bytes);
        }
    }

    /// Takes key off a spot that went to something else than shares: a restore, or it was lost.
    /// Where the spot has less, it has none then. Does nothing where there is none of that number.
    pub fn debit(&mut self, spot: usize, bytes: u64) {
        if let Some(spot) = self.spots.get_mut(spot) {
            spot.budget_bytes = spot.budget_bytes.saturating_sub(bytes);
            self.course.forget();
        }
    }

    /// Says whether a spot takes shares now. Does nothing where there is none of that number.
    pub fn set_open(&mut self, spot: usize, is_open: bool) {
        if let Some(spot) = self.spots.get_mut(spot)
            && spot.is_open != is_open
        {
            spot.is_open = is_open;
            self.course.forget();
        }
    }

    /// Says how much key a day comes to a spot from now on.
    pub fn set_fill(&mut self, spot: usize, fill_bytes_per_day: f64) {
        if let Some(spot) = self.spots.get_mut(spot)
            && spot.fill_bytes_per_day != fill_bytes_per_day
        {
            spot.fill_bytes_per_day = fill_bytes_per_day;
            self.course.forget();
        }
    }

    /// Says how much key the objects of a day take at each of their `n` sites. Where that isn't
    /// known, or is no finite number above 0, arrivals of [`HORIZON_DAYS`] count as there.
    pub fn set_demand(&mut self, bytes_per_day: Option<f64>) {
        self.demand_bytes_per_day = bytes_per_day.filter(|rate| rate.is_finite() && *rate > 0.0);
        self.course.forget();
    }

    /// Key left at a spot, in bytes; 0 where there is none of that number.
    #[must_use]
    pub fn budget_bytes(&self, spot: usize) -> u64 {
        self.spots.get(spot).map_or(0, |spot| spot.budget_bytes)
    }

    /// Objects placed so far.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    /// How many more objects of this need fit what is there now, arrivals aside.
    #[must_use]
    pub fn fits(&self, need_bytes: u64) -> u64 {
        let places: Vec<Place> = self.places_for(need_bytes.max(1), |_| (0, 0.0));
        Balance::of(&places, self.limits).objects
    }

    /// The spots that are open and have so much, by number.
    fn able(&self, need_bytes: u64) -> Vec<usize> {
        let is_able = |at: &usize| self.is_able(*at, need_bytes);
        (0..self.spots.len()).filter(is_able).collect()
    }

    fn is_able(&self, at: usize, need_bytes: u64) -> bool {
        self.spots[at].is_open && self.spots[at].budget_bytes >= need_bytes
    }

    fn can_pay(&self, set: &[usize], need_bytes: u64) -> bool {
        set.iter().all(|at| self.is_able(*at, need_bytes))
    }

    fn next_turn(&mut self, need_bytes: u64) -> Option<Vec<usize>> {
        let mut able = self.able(need_bytes);
        let first = able.iter().position(|at| *at >= self.turn).unwrap_or(0);
        able.rotate_left(first);
        let set = order::first_set(&able, &self.places, self.limits)?;
        self.turn = set.last().map_or(0, |at| at + 1);
        Some(set)
    }

    fn fullest(&self, need_bytes: u64) -> Option<Vec<usize>> {
        let mut able = self.able(need_bytes);
        able.sort_by_key(|at| (Reverse(self.spots[*at].budget_bytes), *at));
        order::first_set(&able, &self.places, self.limits)
    }

    fn by_forecast(&mut self, need_bytes: u64) -> Option<Vec<usize>> {
        self.course.note_need(need_bytes);
        if let Some(set) = self.next_on_course(need_bytes) {
            return Some(set);
        }
        // Where no set can pay, no course leads on.
        let fullest = self.fullest(need_bytes)?;
        if self.course.stray() {
            // Where nothing of the usual size fits any more, smaller ones may.
            self.set_out(self.course.mean_bytes().max(1));
            if self.course.is_over() {
                self.set_out(need_bytes);
            }
        }
        Some(self.next_on_course(need_bytes).unwrap_or(fullest))
    }

    fn set_out(&mut self, unit_bytes: u64) {
        let places = self.places_for(unit_bytes, |spot| match self.demand_bytes_per_day {
            Some(demand) => (0, fill(spot) / demand),
            None => ((fill(spot) * HORIZON_DAYS / unit_bytes as f64) as u64, 0.0),
        });
        self.course.set_out(places, self.limits, unit_bytes);
    }

    fn next_on_course(&mut self, need_bytes: u64) -> Option<Vec<usize>> {
        let set = self.course.next(self.limits)?.to_vec();
        let set = Some(set).filter(|set| self.can_pay(set, need_bytes))?;
        self.course.note_taken(need_bytes);
        Some(set)
    }

    /// The spots in units of so many bytes, with what else counts as there, and what arrives for
    /// each unit placed.
    fn places_for(&self, unit_bytes: u64, coming: impl Fn(&Spot) -> (u64, f64)) -> Vec<Place> {
        let place = |(spot, place): (&Spot, &Place)| {
            let (more, arriving) = if spot.is_open { coming(spot) } else { (0, 0.0) };
            let left = if spot.is_open { spot.budget_bytes / unit_bytes } else { 0 };
            Place { shares: left.saturating_add(more), arriving, ..*place }
        };
        self.spots.iter().zip(&self.places).map(place).collect()
    }
}

/// What comes in a day, where that is a number to reckon with.
fn fill(spot: &Spot) -> f64 {
    let rate = spot.fill_bytes_per_day;
    if rate.is_finite() { rate.max(0.0) } else { 0.0 }
}

/// Zones and domains by index in place of their numbers.
fn places(spots: &[Spot]) -> Vec<Place> {
    let index = |numbers: Vec<u32>| -> Vec<usize> {
        let mut known = numbers.clone();
        known.sort_unstable();
        known.dedup();
        numbers.iter().map(|number| known.partition_point(|known| known < number)).collect()
    };
    let domains = index(spots.iter().map(|spot| spot.domain).collect());
    let zones = index(spots.iter().map(|spot| spot.zone).collect());
    domains
        .into_iter()
        .zip(zones)
        .map(|(domain, zone)| Place { domain, zone, shares: 0, arriving: 0.0 })
        .collect()
}
