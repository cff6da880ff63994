//! A pass over rows that come in pairs ([`Matrix::is_paired`]): half the products.
//!
//! Row x of such a matrix is (1, x, c, x c, d, x d, ...), and the next one is the same at x + 1.
//! Let E be the sum of the even sources times 1, c, d, ..., and O that of the odd ones times the
//! same: the target at x is E + x O, and the one at x + 1 is O more.

use super::Vector;
use super::dot::Place;
use super::put::Put;
use super::walk::{Recipe, walk, with};
use crate::Matrix;

/// Multipliers of one pair: x, c, d.
const FACTORS: usize = 3;

/// At most so many pairs in one pass.
const PAIRS_MAX: usize = 2;

/// The factors of all pairs. If the number of rows is odd, the first is alone: (1, 1, 0, 0, ...).
#[derive(Clone, Copy)]
struct Pairs<M>([[M; FACTORS]; PAIRS_MAX]);

/// All columns and a few rows of the matrix over one part of the streams.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `P` may write there.
#[inline(always)]
pub(crate) unsafe fn pairs<V: Vector, P: Put, const ROWS: usize, const COLUMNS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    const { assert!(COLUMNS >= 2 && COLUMNS.div_ceil(2) <= FACTORS && ROWS / 2 <= PAIRS_MAX) }
    // SAFETY: the instruction set is the caller's promise.
    let nothing = unsafe { V::multiplier(0) };
    let mut by = [[nothing; FACTORS]; PAIRS_MAX];
    for (i, factors) in by[..ROWS / 2].iter_mut().enumerate() {
        let row = matrix.row(place.row + ROWS % 2 + 2 * i);
        let coefficients = [row[1], row.get(2).map_or(0, |c| *c), row.get(4).map_or(0, |d| *d)];
        for (factor, coefficient) in factors.iter_mut().zip(coefficients) {
            // SAFETY: the instruction set is the caller's promise.
            *factor = unsafe { V::multiplier(coefficient) };
        }
    }
    // SAFETY: the caller's promises.
    unsafe { walk::<V, P, ROWS, COLUMNS>(&Pairs(by), targets, sources, place) }
}

impl<V: Vector, const ROWS: usize, const COLUMNS: usize> Recipe<V, ROWS, COLUMNS>
    for Pairs<V::Multiplier>
{
    #[inline(always)]
    fn sums(&self, before: [Option<V>; ROWS], vectors: [V; COLUMNS]) -> [V; ROWS] {
        let mut sums = [vectors[0]; ROWS];
        let first = ROWS % 2;
        if first == 1 {
            sums[0] = with(before[0], vectors[0], vectors[1]);
        }
        let mut row = first;
        while row < ROWS {
            let factors = &self.0[row / 2];
            let (even, odd) = halves(&vectors, factors);
            let shifted = odd.mul(factors[0]);
            sums[row] = with(before[row], even, shifted);
            // Added to what was there before anyone wrote, so not made from its neighbour.
            sums[row + 1] = with(before[row + 1], even.xor(shifted), odd);
            row += 2;
        }
        sums
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
