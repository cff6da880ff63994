//! How much of key that lies in pieces can be counted on.
//!
//! A frame takes its key in one piece. What a piece has left over when the next frame does not fit
//! into it any more is of no use to that frame, so key in many pieces carries less than its length.

use crate::error::KeyError;
use crate::store::KeyStore;
use crate::witness::USEFUL_BYTES;
use warifu_core::{Direction, KeyRange, PoolId, RangeSet};

/// The free key of one direction, by its pieces.
///
/// A message of `f` bytes finds no place only once every piece has less than `f` left, so only once
/// all messages together take more than the sum of `max(0, piece - (f - 1))` and `f - 1`. That
/// falls as `f` grows up to the longest piece, so the longest of them gives what can be counted on
/// for all, whatever their order and lengths.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pieces {
    lengths: Vec<u64>,
}

impl Pieces {
    /// Of these free positions.
    #[must_use]
    pub fn of(free: &RangeSet) -> Self {
        Self { lengths: free.iter().map(|piece| piece.len()).collect() }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.lengths.len()
    }

    /// Their bytes together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lengths.iter().sum()
    }

    /// Bytes that can be counted on by whoever needs no more than that.
    #[must_use]
    pub fn usable_bytes(&self) -> u64 {
        self.spare_bytes(0, 0)
    }

    /// Bytes that can be counted on besides `promised_bytes`, of which no message takes more than
    /// `promised_frame_bytes`. What needs `n` bytes in all has no message longer than `n`, and
    /// none has one longer than a chunk with what goes with it.
    #[must_use]
    pub fn spare_bytes(&self, promised_bytes: u64, promised_frame_bytes: u64) -> u64 {
        let fits = |bytes: u64| {
            let frame_bytes = bytes.max(promised_frame_bytes).clamp(1, USEFUL_BYTES);
            self.sure_bytes(frame_bytes) >= promised_bytes.saturating_add(bytes)
        };
        // It fits at `low`, if at all, and not above `high`.
        let (mut low, mut high) = (0, self.bytes());
        while low < high {
            let middle = high - (high - low) / 2;
            match fits(middle) {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        low
    }

    /// What messages of at most `frame_bytes` can take together, if one is so long.
    fn sure_bytes(&self, frame_bytes: u64) -> u64 {
        if self.lengths.iter().all(|bytes| *bytes < frame_bytes) {
            return 0;
        }
        let beyond = frame_bytes - 1;
        let sure: u64 = self.lengths.iter().map(|bytes| bytes.saturating_sub(beyond)).sum();
        sure + beyond
    }
}

impl KeyStore {
    /// What is free of a direction within a range, as this end's ledger knows it.
    ///
    /// # Errors
    /// [`KeyError::NoPool`]; I/O.
    pub fn pieces(
        &self,
        pool: PoolId,
        direction: Direction,
        within: KeyRange,
    ) -> Result<Pieces, KeyError> {
        self.pool(pool)?.locked(|entry| {
            let side = entry.side(direction);
            let within = KeyRange::between(within.start(), within.end().min(side.end));
            Ok(Pieces::of(&side.free(within)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Pieces {
        fn longest(&self) -> u64 {
            self.lengths.iter().copied().max().unwrap_or(0)
        }
    }

    /// Positions with a gap after each piece.
    fn apart(lengths: &[u64]) -> RangeSet {
        let mut start = 0;
        let piece = |&bytes: &u64| {
            let range = KeyRange::between(start, start + bytes);
            start = range.end() + 1;
            range
        };
        lengths.iter().map(piece).collect()
    }

    #[test]
    fn one_piece_counts_whole_and_each_further_one_less_a_message() {
        let of = |lengths: &[u64]| Pieces::of(&apart(lengths)).usable_bytes();
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[5]), 5);
        assert_eq!(of(&[100 << 20]), 100 << 20);
        assert_eq!(of(&[3000, 5000, 4000]), 5000);
        assert_eq!(of(&[8 << 20, 8 << 20]), (16 << 20) - (USEFUL_BYTES - 1));
        assert_eq!(of(&[8 << 20, 4000]), 8 << 20);
        assert_eq!(of(&[USEFUL_BYTES, USEFUL_BYTES - 1]), USEFUL_BYTES);
        let small = Pieces::of(&apart(&[3000; 10]));
        assert_eq!(small.spare_bytes(9000, 1000), 2_100);
        assert_eq!((small.spare_bytes(9000, 3001), small.spare_bytes(40_000, 10)), (0, 0));
    }

    proptest! {
        /// Whatever messages take what is counted on, each into the first piece that has room or
        /// into any other, all of them fit.
        #[test]
        fn what_is_counted_on_can_be_used_in_any_order(
            lengths in prop::collection::vec(1_u64..4 * USEFUL_BYTES, 1..12),
            (promised, frame) in (0_u64..8 * USEFUL_BYTES, 1_u64..=USEFUL_BYTES),
            messages in prop::collection::vec(
                (1_u64..=USEFUL_BYTES, any::<bool>(), any::<prop::sample::Index>()),
                1..120,
            ),
        ) {
            let mut left = lengths.clone();
            let pieces = Pieces::of(&apart(&lengths));
            // Some of it is promised, in shorter messages, and they come in between.
            let promised = promised.min(pieces.sure_bytes(frame.min(pieces.longest())));
            let mut spare = pieces.spare_bytes(promised, frame.min(pieces.longest()));
            let mut rest = promised + spare;
            for (bytes, is_promised, place) in messages {
                let bytes = match is_promised {
                    true => bytes.min(frame).min(pieces.longest()).min(rest - spare),
                    false => bytes.min(spare),
                };
                if bytes == 0 {
                    continue;
                }
                spare -= if is_promised { 0 } else { bytes };
                let roomy: Vec<usize> = (0..left.len()).filter(|at| left[*at] >= bytes).collect();
                prop_assert!(!roomy.is_empty(), "{bytes} do not fit, {rest} of {pieces:?} left");
                left[*place.get(&roomy)] -= bytes;
                rest -= bytes;
            }
        }
    }
}
