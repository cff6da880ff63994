//! Numbers from a seed: everything in a simulation that is left to chance.

use std::f64::consts::TAU;

/// What a row of numbers is for. Each purpose has a row of its own, so that more of one thing
/// does not shift what is drawn for another.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// When individuals come.
    Arrivals,
    /// How long their files are.
    Sizes,
    /// When somebody wants a file back, and which.
    Restores,
    /// When a site or its link fails.
    Outages,
    /// A scenario of its own.
    Scenario,
}

/// A row of numbers (`SplitMix64`, by Steele, Lea and Flood, 2014).
pub(super) struct Dice(u64);

impl Dice {
    /// The row of `seed` for one purpose and the `index`-th thing of its kind.
    pub(super) fn new(seed: u64, purpose: Purpose, index: usize) -> Self {
        let row = (purpose as u64 + 1) << 32 | (index as u64 & 0xFFFF_FFFF);
        let mut start = Self(seed);
        let mixed = start.next() ^ row.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self(mixed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to 1, 1 itself left out.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number from `low` to `high`, both of them included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// A number whose logarithm is even between those of `low` and `high`.
    pub(super) fn scaled(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// The time to the next of things that come by chance, `mean` apart.
    pub(super) fn gap(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A number of the normal distribution (Box and Muller, 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_differ_by_seed_purpose_and_index_and_repeat() {
        let first = |seed, purpose, index| Dice::new(seed, purpose, index).next();
        assert_eq!(first(1, Purpose::Sizes, 3), first(1, Purpose::Sizes, 3));
        let rows = [
            first(1, Purpose::Sizes, 3),
            first(2, Purpose::Sizes, 3),
            first(1, Purpose::Outages, 3),
            first(1, Purpose::Sizes, 4),
        ];
        assert!((1..4).all(|at| !rows[..at].contains(&rows[at])), "{rows:?}");
    }

    #[test]
    fn gaps_and_normal_numbers_have_the_moments_that_they_should() {
        let mut dice = Dice::new(7, Purpose::Arrivals, 0);
        let count = 100_000;
        let gaps: f64 = (0..count).map(|_| dice.gap(3.0)).sum();
        assert!((gaps / f64::from(count) - 3.0).abs() < 0.05, "{gaps}");
        let normals: Vec<f64> = (0..count).map(|_| dice.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(count);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(count);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
