//! Ranges of a pool, and sets of them.

use std::fmt;

/// A half-open range `[start, end)` of byte positions in one direction of a pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    start: u64,
    end: u64,
}

impl KeyRange {
    /// The range of `len` bytes at `start`, or `None` where its end would pass `u64::MAX`.
    #[must_use]
    pub const fn new(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// The range from `start` up to `end`; empty where `end` is not above `start`.
    #[must_use]
    pub const fn between(start: u64, end: u64) -> Self {
        Self { start, end: if end > start { end } else { start } }
    }

    /// First position.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// One past the last position.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether the range holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The positions that both ranges hold.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::between(self.start.max(other.start), self.end.min(other.end))
    }

    /// Whether every position of `other` lies in this range. The empty range lies in all.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    /// Splits off the first `len` bytes; both parts together are this range.
    ///
    /// # Panics
    /// Where `len` is larger than the range.
    #[must_use]
    pub fn split_at(&self, len: u64) -> (Self, Self) {
        assert!(len <= self.len(), "a range of {} bytes split at {len}", self.len());
        let middle = self.start + len;
        (Self::between(self.start, middle), Self::between(middle, self.end))
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of positions, kept as sorted, disjoint, non-touching ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<KeyRange>,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = KeyRange> + '_ {
        self.ranges.iter().copied()
    }

    /// Number of positions held.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(KeyRange::len).sum()
    }

    /// Whether no position is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// One past the highest position held; 0 when empty.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, KeyRange::end)
    }

    /// Whether any position of `range` is held.
    #[must_use]
    pub fn intersects(&self, range: &KeyRange) -> bool {
        let at = self.ranges.partition_point(|held| held.end <= range.start);
        self.ranges.get(at).is_some_and(|held| !held.intersection(range).is_empty())
    }

    /// Whether all positions of `range` are held.
    #[must_use]
    pub fn contains(&self, range: &KeyRange) -> bool {
        let at = self.ranges.partition_point(|held| held.end <= range.start);
        range.is_empty() || self.ranges.get(at).is_some_and(|held| held.contains(range))
    }

    /// Adds the positions of `range`.
    pub fn insert(&mut self, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|held| held.end < range.start);
        let to = self.ranges.partition_point(|held| held.start <= range.end);
        let merged = self.ranges[from..to].iter().fold(range, |merged, held| {
            KeyRange::between(merged.start.min(held.start), merged.end.max(held.end))
        });
        self.ranges.splice(from..to, [merged]);
    }

    /// Removes the positions of `range`.
    pub fn remove(&mut self, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|held| held.end <= range.start);
        let to = self.ranges.partition_point(|held| held.start < range.end);
        if from >= to {
            return;
        }
        let left = KeyRange::between(self.ranges[from].start, range.start);
        let right = KeyRange::between(range.end, self.ranges[to - 1].end);
        self.ranges.splice(from..to, [left, right].into_iter().filter(|part| !part.is_empty()));
    }

    /// The positions of `within` that are not held, ascending.
    #[must_use]
    pub fn gaps(&self, within: KeyRange) -> Self {
        let mut gaps = Self { ranges: if within.is_empty() { vec![] } else { vec![within] } };
        for held in &self.ranges {
            gaps.remove(*held);
        }
        gaps
    }
}

impl FromIterator<KeyRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = KeyRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(
            steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..16), 0..40)
        ) {
            let mut set = RangeSet::new();
            let mut bitmap = [false; 96];
            for (add, start, len) in steps {
                let range = KeyRange::new(start, len).unwrap();
                let touched = start as usize..(start + len) as usize;
                let bits = &bitmap[touched.clone()];
                prop_assert_eq!(set.intersects(&range), bits.iter().any(|bit| *bit));
                prop_assert_eq!(set.contains(&range), bits.iter().all(|bit| *bit));
                bitmap[touched].fill(add);
                if add { set.insert(range) } else { set.remove(range) }
                prop_assert_eq!(set.len(), bitmap.iter().filter(|bit| **bit).count() as u64);
                let gaps = set.gaps(KeyRange::between(0, 96));
                prop_assert_eq!(gaps.len() + set.len(), 96);
                prop_assert!(set.ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
