//! The order in which subsets of the shares are tried.

/// Subsets of `k` out of `count` indices: first the windows, as few liars leave one untouched. Then
/// all in order, where they are few; otherwise draws from a fixed pseudo-random order, so that no
/// single liar stays in thousands of trials.
pub(super) struct Subsets {
    count: usize,
    k: usize,
    windows: usize,
    next: Option<Vec<usize>>,
    state: Option<u64>,
    left: usize,
}

impl Subsets {
    /// At most `limit` subsets: all, each once, where they are no more.
    ///
    /// # Panics
    /// Where `k` exceeds `count`.
    pub(super) fn new(count: usize, k: usize, limit: usize) -> Self {
        let few = is_at_most(limit, count, k);
        let state = (!few).then_some(0x9E37_79B9_7F4A_7C15);
        Self { count, k, windows: 0, next: few.then(|| (0..k).collect()), state, left: limit }
    }

    /// How many windows differ from each other.
    fn window_count(&self) -> usize {
        if self.k == self.count { 1 } else { self.count }
    }

    /// Whether an ascending subset is one of the windows: it has at most one gap, seen as a ring.
    fn is_window(&self, subset: &[usize]) -> bool {
        let next = subset.iter().cycle().skip(1);
        let gaps = subset.iter().zip(next).filter(|(a, b)| (**a + 1) % self.count != **b);
        gaps.count() <= 1
    }

    /// The next subset in lexicographic order.
    fn advance(&self, subset: &[usize]) -> Option<Vec<usize>> {
        let room = self.count - self.k;
        let at = (0..self.k).rev().find(|&i| subset[i] < i + room)?;
        let risen = (at..self.k).map(|i| subset[at] + 1 + (i - at));
        Some(subset[..at].iter().copied().chain(risen).collect())
    }

    /// The first `k` of a shuffled deck, and the shuffler's next state (Marsaglia's xorshift64).
    fn draw(&self, mut state: u64) -> (Vec<usize>, u64) {
        let mut deck: Vec<usize> = (0..self.count).collect();
        for at in 0..self.k {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            deck.swap(at, at + (state % (self.count - at) as u64) as usize);
        }
        deck.truncate(self.k);
        (deck, state)
    }
}

impl Iterator for Subsets {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        self.left = self.left.checked_sub(1)?;
        if self.windows < self.window_count() {
            let start = self.windows;
            self.windows += 1;
            return Some((start..start + self.k).map(|index| index % self.count).collect());
        }
        if let Some(state) = self.state {
            let (subset, state) = self.draw(state);
            self.state = Some(state);
            return Some(subset);
        }
        loop {
            let subset = self.next.take()?;
            self.next = self.advance(&subset);
            if !self.is_window(&subset) {
                return Some(subset);
            }
        }
    }
}

/// Whether there are no more than `limit` k-subsets.
fn is_at_most(limit: usize, count: usize, k: usize) -> bool {
    let k = k.min(count - k);
    let total = (0..k).try_fold(1_usize, |total, i| {
        let total = total.checked_mul(count - i)? / (i + 1);
        (total <= limit).then_some(total)
    });
    total.is_some_and(|total| total <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn few_subsets_all_come_and_none_is_malformed() {
        for (count, k) in [(2, 2), (3, 2), (5, 3), (7, 4), (8, 8), (12, 6)] {
            let all: Vec<_> = Subsets::new(count, k, 10_000).collect();
            let sets: BTreeSet<BTreeSet<usize>> =
                all.iter().map(|subset| subset.iter().copied().collect()).collect();
            let expected = (0..k).fold(1, |total, i| total * (count - i) / (i + 1));
            assert_eq!(sets.len(), expected, "{k} of {count}");
            assert!(sets.iter().all(|set| set.len() == k && set.iter().all(|i| *i < count)));
            assert_eq!(all.len(), expected, "{k} of {count}: none comes twice");
        }
    }

    #[test]
    fn many_subsets_are_drawn_up_to_the_limit() {
        for (count, k) in [(40, 20), (255, 128), (255, 254), (255, 2)] {
            let all: Vec<_> = Subsets::new(count, k, 1_000).collect();
            let sets: BTreeSet<BTreeSet<usize>> =
                all.iter().map(|subset| subset.iter().copied().collect()).collect();
            assert!(all.len() <= 1_000, "{k} of {count}");
            assert!(sets.iter().all(|set| set.len() == k && set.iter().all(|i| *i < count)));
            assert!(sets.len() >= 255.min(all.len() / 2), "{k} of {count}: {}", sets.len());
        }
    }
}
