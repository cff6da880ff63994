//! Worlds that a seed draws.

use std::collections::BTreeMap;
use std::fmt;
use warifu_core::plan::{Candidate, Health, Need, PlanRequest, need};
use warifu_core::schedule::{Policy, Scheduler, Spot};
use warifu_core::{Channel, Geometry, Role, SiteName, Threshold};

/// How budgets, zones and domains are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each site is a zone and a domain of its own.
    Apart,
    /// Zones of unequal size, a domain for each site.
    Zones,
    /// Zones, and domains of several sites within one zone.
    Nested,
    /// Zones, and domains that lie in several of them.
    Crossed,
    /// As `Zones`, with budgets over four orders of magnitude.
    Steep,
}

impl Shape {
    pub(crate) const ALL: [Self; 5] =
        [Self::Apart, Self::Zones, Self::Nested, Self::Crossed, Self::Steep];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Apart => "apart",
            Self::Zones => "zones",
            Self::Nested => "zones, domains within",
            Self::Crossed => "zones, domains across",
            Self::Steep => "zones, steep budgets",
        }
    }
}

/// One world.
pub(crate) struct World {
    shape: Shape,
    pub(crate) threshold: Threshold,
    pub(crate) spots: Vec<Spot>,
    pub(crate) need_bytes: u64,
    geometry: Geometry,
    need: Need,
}

impl World {
    /// A world whose budgets suffice for about so many objects.
    #[expect(clippy::expect_used, reason = "3 of 5 and a mebibyte are sound")]
    pub(crate) fn drawn(shape: Shape, sites: u32, objects: u64, seed: u64) -> Self {
        let threshold = Threshold::new(3, 5).expect("3 of 5");
        let geometry = Geometry::new(1 << 20).expect("a mebibyte");
        let need = need(threshold, geometry, Role::Pad, Channel::Otp);
        let need_bytes = need.to_site_bytes.max(need.from_site_bytes);
        let mut draw = Draw(seed);
        // Four fifths of what so many objects need.
        let mean = objects * 4 / u64::from(sites);
        let spot = |at: u32| {
            // A large zone, and ever smaller ones.
            let zone = match shape {
                Shape::Apart => at,
                _ => (draw.below(8) * draw.below(8) / 8) as u32,
            };
            let domain = match shape {
                Shape::Apart | Shape::Zones | Shape::Steep => at,
                Shape::Nested => zone * 100 + draw.below(4) as u32,
                Shape::Crossed => draw.below(u64::from(sites) * 2 / 3) as u32,
            };
            let shares = match shape {
                Shape::Steep => (mean * 4) >> draw.below(14),
                _ => draw.below(2 * mean),
            };
            Spot {
                zone,
                domain,
                budget_bytes: shares * need_bytes,
                fill_bytes_per_day: 0.0,
                network_bytes_per_second: None,
                is_open: true,
            }
        };
        let spots = (0..sites).map(spot).collect();
        Self { shape, threshold, spots, need_bytes, geometry, need }
    }

    /// How many objects fit, at best.
    pub(crate) fn optimum(&self) -> u64 {
        if self.shape == Shape::Crossed {
            let own = Scheduler::new(self.spots.clone(), self.threshold, Policy::Forecast, 0);
            return own.fits(self.need_bytes);
        }
        let (n, k) = (self.threshold.n() as u64, self.threshold.k() as u64);
        let mut zones: BTreeMap<u32, BTreeMap<u32, Vec<u64>>> = BTreeMap::new();
        for spot in &self.spots {
            let shares = spot.budget_bytes / self.need_bytes;
            zones.entry(spot.zone).or_default().entry(spot.domain).or_default().push(shares);
        }
        let all: u64 = zones.values().flat_map(BTreeMap::values).flatten().sum();
        let holds = |t: u64| {
            let of_domain =
                |sites: &Vec<u64>| sites.iter().map(|site| t.min(*site)).sum::<u64>().min(t);
            let of_zone = |zone: &BTreeMap<u32, Vec<u64>>| {
                zone.values().map(of_domain).sum::<u64>().min((n - k) * t)
            };
            zones.values().map(of_zone).sum::<u64>() >= n * t
        };
        let (mut low, mut high) = (0, all / n + 1);
        while low + 1 < high {
            let middle = (low + high) / 2;
            if holds(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// What is asked for one of its objects.
    pub(crate) fn request(&self) -> PlanRequest<'static> {
        PlanRequest {
            threshold: self.threshold,
            geometry: self.geometry,
            candidates: &[],
            random_bytes: 0,
            overrides: &[],
            pins: &[],
            exclusions: &[],
            zone_shares_max: None,
        }
    }

    /// Its sites as the planner takes them.
    #[expect(clippy::expect_used, reason = "a letter and digits are a name")]
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let name = |kind: char, number: u32| -> SiteName {
            format!("{kind}{number}").parse().expect("a name")
        };
        let candidate = |(at, spot): (usize, &Spot)| {
            let shares = spot.budget_bytes / self.need_bytes;
            Candidate {
                site: name('s', at as u32),
                zone: name('z', spot.zone),
                domain: name('d', spot.domain),
                channel: Channel::Otp,
                health: Health::Up,
                draining: false,
                room_bytes: None,
                to_site_bytes: shares * self.need.to_site_bytes,
                from_site_bytes: shares * self.need.from_site_bytes,
                to_site_fill_bytes_per_day: 0,
                from_site_fill_bytes_per_day: 0,
                network_bytes_per_second: None,
                enforces_consent: true,
            }
        };
        self.spots.iter().enumerate().map(candidate).collect()
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.shape.as_str(), self.threshold)
    }
}

/// Numbers from a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        ((u128::from(mixed) * u128::from(end)) >> 64) as u64
    }
}
