//! From a range of an object as it was given to ranges of its payload as it is stored.
//!
//! How an object is encoded stands in its payload alone, and so does how long its attributes are.
//! So a range of the data becomes the chunks in which it can lie, whatever the attributes; and
//! where the length does not rule out that the object is compressed, no such range can be told at all.

use std::ops::Range;
use warifu_core::Geometry;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::{PROLOGUE_BYTES, padded_bytes};

/// More than the attributes that any release so far writes, in bytes.
const ATTRIBUTES_BYTES: u64 = 2048;

/// Whether an object of this length can't be compressed, whose length is always rounded up
/// coarsely.
pub(super) fn is_as_given(geometry: Geometry) -> bool {
    let payload_bytes = geometry.payload_bytes();
    padded_bytes(payload_bytes) != Some(payload_bytes)
}

/// The stored range that holds bytes `from..to` of the data of an object that is not compressed:
/// whole chunks.
pub(super) fn stored(geometry: Geometry, from: u64, to: Option<u64>) -> Range<u64> {
    let (chunk, end) = (u64::from(CHUNK_BYTES), geometry.payload_bytes());
    let first = from.saturating_add(PROLOGUE_BYTES).min(end);
    let last = match to {
        Some(to) => to.saturating_add(PROLOGUE_BYTES + ATTRIBUTES_BYTES).min(end),
        None => end,
    };
    (first - first % chunk)..last.div_ceil(chunk).saturating_mul(chunk).min(end)
}

/// Whether `ranges`, ascending and disjoint, hold all of `wanted`.
pub(super) fn covers(ranges: &[Range<u64>], wanted: &Range<u64>) -> bool {
    let mut at = wanted.start;
    for range in ranges {
        if range.start <= at && at < range.end {
            at = range.end;
        }
    }
    at >= wanted.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coarse_lengths_may_be_compressed_and_others_can_not() {
        let geometry = |bytes| Geometry::new(bytes).unwrap();
        assert!(is_as_given(geometry((5 << 20) + 4096)));
        assert!(!is_as_given(geometry(padded_bytes((5 << 20) + 4096).unwrap())));
    }

    proptest! {
        #[test]
        fn wherever_the_data_begins_its_range_lies_within(
            pages in 1..4096_u64, attributes in 0..ATTRIBUTES_BYTES,
            from in 0..(1_u64 << 24), bytes in 1..(1_u64 << 22),
        ) {
            let geometry = Geometry::new(pages * 4096).unwrap();
            let held = stored(geometry, from, Some(from + bytes));
            let end = geometry.payload_bytes();
            let true_range = (PROLOGUE_BYTES + attributes + from).min(end)
                ..(PROLOGUE_BYTES + attributes + from + bytes).min(end);
            prop_assert!(true_range.is_empty() || covers(std::slice::from_ref(&held), &true_range));
            prop_assert!(held.end <= end && held.start <= held.end);
            let open = stored(geometry, from, None);
            prop_assert!(open.start == held.start && open.end == end);
        }

        #[test]
        fn covering_agrees_with_counting(
            cuts in prop::collection::btree_set(0..40_u64, 0..8),
            start in 0..40_u64, len in 0..9_u64,
        ) {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            let ranges: Vec<Range<u64>> = cuts.chunks_exact(2).map(|two| two[0]..two[1]).collect();
            let wanted = start..start + len;
            let all = wanted.clone().all(|at| ranges.iter().any(|range| range.contains(&at)));
            prop_assert_eq!(covers(&ranges, &wanted), all);
        }
    }
}
