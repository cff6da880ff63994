//! A pass that takes each row for itself: as many products as the matrix has coefficients.
//!
//! The vectors of all sources stay in registers while the rows go by, and each target is visited
//! once. Coefficients come from a table on the stack, which is public, in the order of their use.

use super::Vector;
use super::dot::{COLUMNS_MAX, Place, ROWS_MAX};
use super::put::{Put, load};
use crate::Matrix;

/// Bytes ahead of the one at hand that the second cache is told of. Farther than a vector takes to
/// come from memory, nearer than the end of a tile.
const AHEAD_BYTES: usize = 1024;

/// The pointers to a part of all streams of a pass.
pub(crate) struct Streams<const COLUMNS: usize> {
    targets: [*mut u8; ROWS_MAX],
    sources: [*const u8; COLUMNS],
    rows: usize,
    len: usize,
}

impl<const COLUMNS: usize> Streams<COLUMNS> {
    /// Those of `place`. They come from slices of exactly that range: this is where bounds are
    /// checked.
    #[inline(always)]
    pub(crate) fn new(targets: &mut [&mut [u8]], sources: &[&[u8]], place: Place) -> Self {
        let mut to = [std::ptr::null_mut(); ROWS_MAX];
        let rows = (targets.len() - place.row).min(ROWS_MAX);
        for (pointer, target) in to.iter_mut().zip(&mut targets[place.row..][..rows]) {
            *pointer = target[place.start..place.end].as_mut_ptr();
        }
        let mut from = [std::ptr::null(); COLUMNS];
        for (pointer, source) in from.iter_mut().zip(&sources[place.column..][..COLUMNS]) {
            *pointer = source[place.start..place.end].as_ptr();
        }
        Self { targets: to, sources: from, rows, len: place.end - place.start }
    }

    /// How many bytes each has.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The targets.
    #[inline(always)]
    pub(crate) fn targets(&self) -> &[*mut u8] {
        &self.targets[..self.rows]
    }

    /// A vector of each source, `at` bytes in, and word to the CPU of what comes later.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and `at` bytes in there is a whole vector, or there
    /// are `head` bytes.
    #[inline(always)]
    pub(crate) unsafe fn load<V: Vector>(&self, at: usize, head: Option<usize>) -> [V; COLUMNS] {
        // SAFETY: the instruction set is the caller's promise.
        let mut vectors = [unsafe { V::zero() }; COLUMNS];
        for (vector, source) in vectors.iter_mut().zip(self.sources) {
            // SAFETY: the instruction set is the caller's promise.
            unsafe { V::prefetch(source.wrapping_add(at + AHEAD_BYTES)) }
            // SAFETY: the caller's promise: `at` lies within the stream.
            let source = unsafe { source.add(at) };
            // SAFETY: the caller's promise.
            *vector = unsafe { load::<V>(source, head) };
        }
        vectors
    }
}

/// One block of the matrix over one part of the streams.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `P` may write there.
#[inline(always)]
pub(crate) unsafe fn rows<V: Vector, P: Put, const COLUMNS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    const { assert!(COLUMNS <= COLUMNS_MAX) }
    let streams = Streams::<COLUMNS>::new(targets, sources, place);
    // SAFETY: the instruction set is the caller's promise.
    let nothing = unsafe { V::multiplier(0) };
    let mut by = [[nothing; COLUMNS]; ROWS_MAX];
    for (i, row) in by[..streams.rows].iter_mut().enumerate() {
        let coefficients = &matrix.row(place.row + i)[place.column..][..COLUMNS];
        for (multiplier, coefficient) in row.iter_mut().zip(coefficients) {
            // SAFETY: the instruction set is the caller's promise.
            *multiplier = unsafe { V::multiplier(*coefficient) };
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
    by: &[[V::Multiplier; COLUMNS]; ROWS_MAX],
    streams: &Streams<COLUMNS>,
    at: usize,
    head: Option<usize>,
) {
    // SAFETY: the caller's promise.
    let vectors = unsafe { streams.load::<V>(at, head) };
    for (row, target) in by.iter().zip(streams.targets()) {
        // SAFETY: the caller's promise: `at` lies within the stream.
        let target = unsafe { target.add(at) };
        // SAFETY: the caller's promise.
        let before = unsafe { P::before::<V>(target, head) };
        let sum = sum(before, &vectors, row);
        // SAFETY: the caller's promise; targets are exclusive borrows and overlap nothing.
        unsafe { P::after(sum, target, head) }
    }
}

/// What was there before, if anything, and all products. Two products are added at a time.
#[inline(always)]
fn sum<V: Vector, const COLUMNS: usize>(
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
