//! How long sites take: a lane that is timed, from an order to its receipt.

use super::lane::{Lane, LaneError, Receipt, Spent};
use super::weave::Slot;
use crate::held::Held;
use crate::peer::Peer;
use crate::share::CommitOrder;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use warifu_buffers::Block;
use warifu_core::capsule::Verdict;
use warifu_core::{Kept, SiteName};
use warifu_link::ShareClass;

/// The longest time that is told apart, in microseconds: a day.
const MICROS_MAX: u64 = 86_400_000_000;

/// A distribution of times, to two digits, in a fixed piece of memory.
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are constants that hdrhistogram allows")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, 2).expect("bounds that are allowed"))
    }
}

impl Latencies {
    /// Counts one time; more than a day counts as a day.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX);
        self.0.saturating_record(micros);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time, in milliseconds, that `quantile` (0 to 1) of them did not exceed; 0 for none.
    #[must_use]
    pub fn at_quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// The longest, in milliseconds; 0 for none.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

/// The times of data chunks at each site, over many objects.
#[derive(Default)]
pub struct ChunkTimes {
    by_site: Mutex<BTreeMap<SiteName, Latencies>>,
}

impl ChunkTimes {
    /// Takes what was measured so far.
    #[must_use]
    pub fn take(&self) -> BTreeMap<SiteName, Latencies> {
        std::mem::take(&mut self.lock())
    }

    fn record(&self, site: &SiteName, took: Duration) {
        let mut by_site = self.lock();
        if let Some(latencies) = by_site.get_mut(site) {
            return latencies.record(took);
        }
        by_site.entry(site.clone()).or_default().record(took);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteName, Latencies>> {
        self.by_site.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane whose orders are timed; it does what the lane within does.
pub struct Timed {
    lane: Box<dyn Lane>,
    times: Arc<ChunkTimes>,
    /// When each order whose receipt is still to come was given, the oldest first.
    given: VecDeque<Instant>,
}

impl Timed {
    /// Times the data chunks of `lane` into `times`.
    #[must_use]
    pub fn new(lane: Box<dyn Lane>, times: Arc<ChunkTimes>) -> Self {
        Self { lane, times, given: VecDeque::new() }
    }

    /// Carries out one order and notes when it was given.
    fn order<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Lane) -> Result<T, LaneError>,
    ) -> Result<T, LaneError> {
        let now = Instant::now();
        let done = work(self.lane.as_mut())?;
        self.given.push_back(now);
        Ok(done)
    }
}

impl Lane for Timed {
    fn site(&self) -> &SiteName {
        self.lane.site()
    }

    fn draw(&mut self, slot: Slot, attempt: u32, bytes: usize) -> Result<Kept, LaneError> {
        self.order(|lane| lane.draw(slot, attempt, bytes))
    }

    fn store(&mut self, slot: Slot, attempt: u32, frame: Block) -> Result<(), LaneError> {
        self.order(|lane| lane.store(slot, attempt, frame))
    }

    fn mask(&mut self, index: u64, attempt: u32) -> Result<(), LaneError> {
        self.order(|lane| lane.mask(index, attempt))
    }

    fn held(&self) -> &Held {
        self.lane.held()
    }

    fn take_up(&mut self, slot: Slot, attempt: u32, hash: [u8; 16]) {
        self.lane.take_up(slot, attempt, hash);
    }

    fn outstanding(&self) -> usize {
        self.lane.outstanding()
    }

    fn settle(&mut self) -> Result<Receipt, LaneError> {
        let held = self.lane.settle()?;
        if let Some(given) = self.given.pop_front()
            && held.slot.class == ShareClass::Data
        {
            self.times.record(self.lane.site(), given.elapsed());
        }
        Ok(held)
    }

    fn recover(&mut self, about: Option<(Slot, u32)>) -> Result<Vec<(Slot, u32)>, LaneError> {
        self.given.clear();
        self.lane.recover(about)
    }

    fn verdict(&self, chunks: u64, masks: u32) -> Verdict {
        self.lane.verdict(chunks, masks)
    }

    fn commit(&mut self, order: &CommitOrder<'_>) -> Result<(), LaneError> {
        self.lane.commit(order)
    }

    fn abandon(&mut self) {
        self.lane.abandon();
    }

    fn spent(&self) -> Spent {
        self.lane.spent()
    }

    fn close(self: Box<Self>) {
        self.lane.close();
    }

    fn into_peer(self: Box<Self>) -> Option<Peer> {
        self.lane.into_peer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_milliseconds() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.count(), latencies.max_ms()), (0, 0.0));
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let near = |found: f64, expected: f64| (found - expected).abs() <= 0.02 * expected;
        assert!(near(latencies.at_quantile_ms(0.5), 50.0), "{}", latencies.at_quantile_ms(0.5));
        assert!(near(latencies.at_quantile_ms(0.99), 99.0));
        assert!(near(latencies.max_ms(), 100.0));
        latencies.record(Duration::from_secs(1 << 40));
        assert_eq!(latencies.count(), 101);
    }

    #[test]
    fn sites_are_told_apart() {
        let times = ChunkTimes::default();
        let site = |name: &str| name.parse::<SiteName>().unwrap();
        (0..3).for_each(|_| times.record(&site("a"), Duration::from_millis(4)));
        times.record(&site("b"), Duration::from_millis(9));
        let taken = times.take();
        let counts: Vec<_> = taken.iter().map(|(site, of)| (site.as_str(), of.count())).collect();
        assert_eq!(counts, [("a", 3), ("b", 1)]);
        assert!(times.take().is_empty());
    }
}
