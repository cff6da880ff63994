//! How much key a pair has: a bucket that time fills and deliveries empty.

use std::time::Duration;

const NS_PER_S: u128 = 1_000_000_000;

/// The key that one pair of applications has not yet had delivered.
///
/// Counted in bit-nanoseconds, so that nothing is rounded however often it is looked at.
pub(crate) struct Stock {
    rate_bits_per_s: u64,
    capacity: u128,
    held: u128,
    seen_at: Duration,
}

impl Stock {
    /// A stock that is filled at `rate_bits_per_s` up to `capacity_bits`. A rate of 0 is no limit:
    /// it is always full.
    pub(crate) fn new(
        rate_bits_per_s: u64,
        capacity_bits: u64,
        initial_bits: u64,
        now: Duration,
    ) -> Self {
        let capacity = u128::from(capacity_bits) * NS_PER_S;
        let held = (u128::from(initial_bits) * NS_PER_S).min(capacity);
        Self { rate_bits_per_s, capacity, held, seen_at: now }
    }

    /// What is there now, in bits.
    pub(crate) fn bits(&mut self, now: Duration) -> u64 {
        self.fill(now);
        u64::try_from(self.held / NS_PER_S).unwrap_or(u64::MAX)
    }

    /// How many seconds from now there will be `bits`; 0 where they are there.
    pub(crate) fn wait_s(&mut self, bits: u64, now: Duration) -> u64 {
        self.fill(now);
        let missing = (u128::from(bits) * NS_PER_S).saturating_sub(self.held);
        if missing == 0 || self.rate_bits_per_s == 0 {
            return 0;
        }
        let wait_ns = missing.div_ceil(self.rate_bits_per_s.into());
        u64::try_from(wait_ns.div_ceil(NS_PER_S)).unwrap_or(u64::MAX)
    }

    /// Takes `bits` that [`wait_s`](Self::wait_s) has found to be there.
    pub(crate) fn take(&mut self, bits: u64) {
        if self.rate_bits_per_s > 0 {
            self.held = self.held.saturating_sub(u128::from(bits) * NS_PER_S);
        }
    }

    fn fill(&mut self, now: Duration) {
        let elapsed_ns = now.saturating_sub(self.seen_at).as_nanos();
        self.seen_at = self.seen_at.max(now);
        self.held = if self.rate_bits_per_s == 0 {
            self.capacity
        } else {
            let gained = elapsed_ns.saturating_mul(self.rate_bits_per_s.into());
            self.held.saturating_add(gained).min(self.capacity)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_lost_by_looking_often() {
        let mut looked_at = Stock::new(333, 1_000_000, 0, Duration::ZERO);
        let mut left_alone = Stock::new(333, 1_000_000, 0, Duration::ZERO);
        for step in 1..=60_000 {
            looked_at.bits(MS * step);
        }
        assert_eq!(looked_at.bits(MS * 60_000), 333 * 60);
        assert_eq!(left_alone.bits(MS * 60_000), 333 * 60);
    }

    #[test]
    fn it_holds_no_more_than_its_capacity() {
        let mut stock = Stock::new(1000, 500, 10_000, Duration::ZERO);
        assert_eq!(stock.bits(Duration::ZERO), 500);
        stock.take(500);
        assert_eq!(stock.bits(Duration::ZERO), 0);
        assert_eq!(stock.bits(Duration::from_secs(1 << 40)), 500);
    }

    #[test]
    fn it_says_when_there_will_be_enough() {
        let mut stock = Stock::new(1000, 100_000, 0, Duration::ZERO);
        assert_eq!(stock.wait_s(1001, Duration::ZERO), 2);
        assert_eq!(stock.wait_s(1001, MS * 1000), 1);
        assert_eq!(stock.wait_s(1001, MS * 1001), 0);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing() {
        let mut stock = Stock::new(1000, 100_000, 0, MS * 1000);
        assert_eq!(stock.bits(MS * 2000), 1000);
        assert_eq!(stock.bits(MS * 1500), 1000);
        assert_eq!(stock.bits(MS * 2000), 1000);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut stock = Stock::new(0, 4096, 0, Duration::ZERO);
        for _ in 0..10 {
            assert_eq!(stock.wait_s(4096, Duration::ZERO), 0);
            stock.take(4096);
        }
        assert_eq!(stock.bits(Duration::ZERO), 4096);
    }
}
