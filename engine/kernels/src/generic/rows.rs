//! A pass that takes each row for itself: as many products as the block has coefficients.

use super::Vector;
use super::dot::Place;
use super::put::Put;
use super::walk::{Recipe, walk};
use crate::Matrix;

/// The coefficients of a block.
#[derive(Clone, Copy)]
struct Rows<M, const ROWS: usize, const COLUMNS: usize>([[M; COLUMNS]; ROWS]);

/// One block of the matrix over one part of the streams.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `P` may write there.
#[inline(always)]
pub(crate) unsafe fn rows<V: Vector, P: Put, const ROWS: usize, const COLUMNS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    // SAFETY: the instruction set is the caller's promise.
    let nothing = unsafe { V::multiplier(0) };
    let mut by = [[nothing; COLUMNS]; ROWS];
    for (i, row) in by.iter_mut().enumerate() {
        let coefficients = &matrix.row(place.row + i)[place.column..][..COLUMNS];
        for (multiplier, coefficient) in row.iter_mut().zip(coefficients) {
            // SAFETY: the instruction set is the caller's promise.
            *multiplier = unsafe { V::multiplier(*coefficient) };
        }
    }
    // SAFETY: the caller's promises.
    unsafe { walk::<V, P, ROWS, COLUMNS>(&Rows(by), targets, sources, place) }
}

impl<V: Vector, const ROWS: usize, const COLUMNS: usize> Recipe<V, ROWS, COLUMNS>
    for Rows<V::Multiplier, ROWS, COLUMNS>
{
    #[inline(always)]
    fn sums(&self, before: [Option<V>; ROWS], vectors: [V; COLUMNS]) -> [V; ROWS] {
        let mut sums = [vectors[0]; ROWS];
        for ((sum, before), row) in sums.iter_mut().zip(before).zip(&self.0) {
            *sum = one(before, &vectors, row);
        }
        sums
    }
}

/// What was there before, if anything, and all products. Two products are added at a time.
#[inline(always)]
fn one<V: Vector, const COLUMNS: usize>(
    before: Option<V>,
    vectors: &[V; COLUMNS],
    row: &[V::Multiplier; COLUMNS],
) -> V {
    let (mut sum, mut column) = match before {
        Some(before) => (before, 0),
        None => (vectors[0].mul(row[0]), 1),
    };
    while column + 1 < COLUMNS {
        sum = sum.xor3(vectors[column].mul(row[column]), vectors[column + 1].mul(row[column + 1]));
        column += 2;
    }
    match column < COLUMNS {
        true => sum.xor(vectors[column].mul(row[column])),
        false => sum,
    }
}
