//! A pass over a matrix whose rows come in pairs ([`Matrix::is_paired`]): half the products.
//!
//! Row x of such a matrix is (1, x, c, x c, d, x d, ...), and the next one is the same at x + 1. With
//! the sum E of the even sources times 1, c, d, ... and the sum O of the odd ones times the same, the
//! target at x is E + x O, and the one at x + 1 is O more.

use super::Vector;
use super::dot::{Place, ROWS_MAX};
use super::put::Put;
use super::rows::Streams;
use crate::Matrix;

/// Multipliers of one pair: x, c, d.
const FACTORS: usize = 3;

/// The whole matrix over one part of the streams.
///
/// # Safety
/// The CPU has the instruction set of `V`, the matrix is paired and has `COLUMNS` columns and at
/// most `ROWS_MAX` rows, and `P` may write there.
#[inline(always)]
pub(crate) unsafe fn pairs<V: Vector, P: Put, const COLUMNS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    const { assert!(COLUMNS >= 2 && COLUMNS.div_ceil(2) <= FACTORS) }
    let streams = Streams::<COLUMNS>::new(targets, sources, place);
    // SAFETY: the instruction set is the caller's promise.
    let nothing = unsafe { V::multiplier(0) };
    let mut by = [[nothing; FACTORS]; ROWS_MAX / 2];
    for (i, pair) in by.iter_mut().enumerate().take(matrix.rows() / 2) {
        let row = matrix.row(2 * i + 1);
        pair[0] = unsafe { V::multiplier(row[1]) };
        for (j, factor) in pair.iter_mut().enumerate().skip(1).take((COLUMNS - 1) / 2) {
            // SAFETY: the instruction set is the caller's promise.
            *factor = unsafe { V::multiplier(row[2 * j]) };
        }
    }
    let whole = streams.len() - streams.len() % V::BYTES;
    let mut at = 0;
    while at < whole {
        // SAFETY: a whole vector is left.
        unsafe { step::<V, P, COLUMNS>(&by, &streams, at, None) }
        at += V::BYTES;
    }
    if at < streams.len() {
        // SAFETY: less than a vector is left, and as many bytes as that.
        unsafe { step::<V, P, COLUMNS>(&by, &streams, at, Some(streams.len() - at)) }
    }
}

/// One vector of each stream, `at` bytes in; only its first `head` bytes if that is given.
///
/// # Safety
/// The CPU has the instruction set of `V`. From `at` on, the streams have `BYTES` bytes, or
/// `head < BYTES` bytes, and `P` may write them.
#[inline(always)]
unsafe fn step<V: Vector, P: Put, const COLUMNS: usize>(
    by: &[[V::Multiplier; FACTORS]; ROWS_MAX / 2],
    streams: &Streams<COLUMNS>,
    at: usize,
    head: Option<usize>,
) {
    // SAFETY: the caller's promise.
    let vectors = unsafe { streams.load::<V>(at, head) };
    let Some((first, targets)) = streams.targets().split_first() else { return };
    // SAFETY: the caller's promise: `at` lies within the stream.
    let first = unsafe { first.add(at) };
    // SAFETY: the caller's promise, here and below.
    unsafe { put::<V, P>(vectors[0], vectors[1], first, head) }
    for (factors, pair) in by.iter().zip(targets.chunks(2)) {
        let (even, odd) = halves(&vectors, factors);
        let shifted = odd.mul(factors[0]);
        // SAFETY: as above.
        let low = unsafe { pair[0].add(at) };
        // SAFETY: as above.
        unsafe { put::<V, P>(even, shifted, low, head) }
        if let Some(high) = pair.get(1) {
            // SAFETY: as above.
            let high = unsafe { high.add(at) };
            // SAFETY: as above.
            unsafe { put::<V, P>(even.xor(shifted), odd, high, head) }
        }
    }
}

/// The sums of the even and of the odd sources.
#[inline(always)]
fn halves<V: Vector, const COLUMNS: usize>(
    vectors: &[V; COLUMNS],
    factors: &[V::Multiplier; FACTORS],
) -> (V, V) {
    let even = match COLUMNS {
        0..=2 => vectors[0],
        3..=4 => vectors[0].xor(vectors[2].mul(factors[1])),
        _ => vectors[0].xor3(vectors[2].mul(factors[1]), vectors[4].mul(factors[2])),
    };
    let odd = match COLUMNS {
        0..=3 => vectors[1],
        4..=5 => vectors[1].xor(vectors[3].mul(factors[1])),
        _ => vectors[1].xor3(vectors[3].mul(factors[1]), vectors[5].mul(factors[2])),
    };
    (even, odd)
}

/// Puts `a + b` to a target. # Safety: as `step`.
#[inline(always)]
unsafe fn put<V: Vector, P: Put>(a: V, b: V, target: *mut u8, head: Option<usize>) {
    // SAFETY: the caller's promise.
    let before = unsafe { P::before::<V>(target, head) };
    let sum = match before {
        Some(before) => before.xor3(a, b),
        None => a.xor(b),
    };
    // SAFETY: the caller's promise; targets are exclusive borrows and overlap nothing.
    unsafe { P::after(sum, target, head) }
}
