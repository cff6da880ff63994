//! How much of key that lies in pieces can be counted on.
//!
//! A frame takes its key in one piece. What a piece has left over when the next frame does not fit
//! into it any more is of no use to that frame, so key in many pieces carries less than its length.

use crate::error::KeyError;
use crate::store::KeyStore;
use crate::witness::USEFUL_BYTES;
use warifu_core::{Direction, KeyRange, PoolId, RangeSet};

/// The free key of one direction, by its pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pieces {
    /// How many there are.
    pub count: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// Of these, bytes that messages can take whatever their order and lengths.
    pub usable_bytes: u64,
}

impl Pieces {
    /// Of these free positions.
    ///
    /// Let no message be longer than `m`, and at most the length of the longest piece. A message
    /// of `f <= m` bytes finds no place only once every piece has less than `f` left, so only once
    /// all messages together take more than the sum of `max(0, piece - (f - 1))` and `f - 1`. That
    /// falls as `f` grows, so `m` gives what can be counted on. Where no piece has room for the
    /// longest message that there is, it is the longest piece: what needs no more than that in all
    /// has no longer message.
    #[must_use]
    pub fn of(free: &RangeSet) -> Self {
        let lengths = || free.iter().map(|piece| piece.len());
        let longest = lengths().max().unwrap_or(0);
        let usable_bytes = match longest >= USEFUL_BYTES {
            true => {
                let sure = lengths().map(|bytes| bytes.saturating_sub(USEFUL_BYTES - 1));
                sure.sum::<u64>() + (USEFUL_BYTES - 1)
            }
            false => longest,
        };
        Self { count: free.iter().count() as u64, bytes: free.len(), usable_bytes }
    }

    /// Bytes that can't be counted on, as they lie in pieces that messages may not fit into.
    #[must_use]
    pub const fn too_short_bytes(&self) -> u64 {
        self.bytes - self.usable_bytes
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
        let of = |lengths: &[u64]| Pieces::of(&apart(lengths)).usable_bytes;
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[5]), 5);
        assert_eq!(of(&[100 << 20]), 100 << 20);
        assert_eq!(of(&[3000, 5000, 4000]), 5000);
        assert_eq!(of(&[8 << 20, 8 << 20]), (16 << 20) - (USEFUL_BYTES - 1));
        assert_eq!(of(&[8 << 20, 4000]), 8 << 20);
        assert_eq!(of(&[USEFUL_BYTES, USEFUL_BYTES - 1]), USEFUL_BYTES);
    }

    proptest! {
        /// Whatever messages take what is counted on, each into the first piece that has room or
        /// into any other, all of them fit.
        #[test]
        fn what_is_counted_on_can_be_used_in_any_order(
            lengths in prop::collection::vec(1_u64..4 * USEFUL_BYTES, 1..12),
            messages in prop::collection::vec((1_u64..=USEFUL_BYTES, any::<prop::sample::Index>()), 1..80),
        ) {
            let mut left = lengths.clone();
            let pieces = Pieces::of(&apart(&lengths));
            let mut rest = pieces.usable_bytes;
            for (bytes, place) in messages {
                let bytes = bytes.min(rest);
                if bytes == 0 {
                    break;
                }
                let roomy: Vec<usize> = (0..left.len()).filter(|at| left[*at] >= bytes).collect();
                prop_assert!(!roomy.is_empty(), "{bytes} do not fit, {rest} of {pieces:?} left");
                left[*place.get(&roomy)] -= bytes;
                rest -= bytes;
            }
        }
    }
}
