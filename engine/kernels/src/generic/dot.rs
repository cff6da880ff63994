//! `targets ^= matrix * sources`, or `=`: a vector of every source is loaded once, and each target
//! loaded and stored once, for up to five targets and six sources. Where there are more, several
//! passes take turns on a tile that stays in the first cache.

use super::pairs::pairs;
use super::put::{Add, Put, Replace, Stream};
use super::rows::rows;
use super::walk::Pass;
use crate::Matrix;

/// A few bytes of a stream in a register.
///
/// A value of it is the proof that the CPU has what its methods need: only the `unsafe`
/// constructors make one, and they ask for just that.
pub(crate) trait Vector: Copy {
    /// How many bytes it holds.
    const BYTES: usize;

    /// A public coefficient, made ready to multiply by. A proof of the CPU, like the vector.
    type Multiplier: Copy;

    /// Bytes of zero.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn zero() -> Self;

    /// The `BYTES` bytes at `source`.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type. `source` is valid for reads of `BYTES` bytes;
    /// any alignment will do.
    unsafe fn load(source: *const u8) -> Self;

    /// The `len` bytes at `source`, then zeros.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type. `len < BYTES`, and `source` is valid for reads
    /// of `len` bytes; any alignment will do.
    unsafe fn load_head(source: *const u8, len: usize) -> Self;

    /// Writes all bytes to `target`.
    ///
    /// # Safety
    /// `target` is valid for writes of `BYTES` bytes; any alignment will do.
    unsafe fn store(self, target: *mut u8);

    /// Writes the first `len` bytes to `target` and touches no other.
    ///
    /// # Safety
    /// `len < BYTES`, and `target` is valid for writes of `len` bytes; any alignment will do.
    unsafe fn store_head(self, target: *mut u8, len: usize);

    /// The coefficient, ready to multiply by.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn multiplier(coefficient: u8) -> Self::Multiplier;

    /// The sum in GF(2^8), byte by byte.
    fn xor(self, other: Self) -> Self;

    /// Runs the pass in a function of its own that is compiled for the instruction set.
    ///
    /// # Safety
    /// Those of [`Pass::run`].
    unsafe fn apart(pass: impl Pass);

    /// The product in GF(2^8), byte by byte.
    fn mul(self, by: Self::Multiplier) -> Self;

    /// The sum of three in GF(2^8), byte by byte: one instruction where there is one.
    #[inline(always)]
    fn xor3(self, second: Self, third: Self) -> Self {
        self.xor(second).xor(third)
    }

    /// Writes all bytes to `target` past the caches, where the CPU can. [`Vector::settle`] has to
    /// follow before anyone else is told of them.
    ///
    /// # Safety
    /// `target` is valid for writes of `BYTES` bytes and aligned to as many.
    #[inline(always)]
    unsafe fn stream(self, target: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { self.store(target) }
    }

    /// Puts what [`Vector::stream`] wrote before whatever this thread writes from now on.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    #[inline(always)]
    unsafe fn settle() {}

    /// Tells the CPU that the line at `source` is wanted soon, in its second cache. Any address
    /// will do.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    #[inline(always)]
    unsafe fn prefetch(_source: *const u8) {}
}

/// Bytes of each stream that are done with before going on where one pass can't take the whole
/// matrix, so that what several passes need still comes from the first cache.
const TILE_BYTES: usize = 4 * 1024;

/// At most so many targets share a load of a source: with as many sources as may be, their pointers
/// fill the registers of x86-64.
const ROWS_MAX: usize = 5;

/// At most so many rows of a paired matrix besides the first: whole pairs.
const PAIRED_ROWS_MAX: usize = ROWS_MAX - 1;

/// At most so many sources share a load and a store of a target.
pub(crate) const COLUMNS_MAX: usize = 6;

/// Where in matrix and streams a pass begins, and where it ends.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// `targets ^= matrix * sources`.
///
/// # Safety
/// The CPU has the instruction set of `V`.
///
/// # Panics
/// If there is not one target for each row and one source for each column, all equally long.
#[inline(always)]
pub(crate) unsafe fn dot<V: Vector>(matrix: &Matrix, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    let len = checked_len(matrix, targets, sources);
    // SAFETY: the instruction set is the caller's promise.
    unsafe { passes::<V, Add>(matrix, targets, sources, 0, len) }
}

/// `targets ^= matrix * sources`, one coefficient at a time: for the twin, which takes no part in
/// the shapes that it judges.
///
/// # Safety
/// The CPU has the instruction set of `V`.
///
/// # Panics
/// If there is not one target for each row and one source for each column, all equally long.
#[inline(always)]
pub(crate) unsafe fn dot_each<V: Vector>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
) {
    let end = checked_len(matrix, targets, sources);
    for row in 0..matrix.rows() {
        for column in 0..matrix.columns() {
            let place = Place { row, column, start: 0, end };
            // SAFETY: the instruction set is the caller's promise.
            unsafe { rows::<V, Add, 1, 1>(matrix, targets, sources, place) }
        }
    }
}

/// `targets = matrix * sources` for at most `COLUMNS_MAX` sources, past the caches if `streamed`.
///
/// # Safety
/// The CPU has the instruction set of `V`.
///
/// # Panics
/// If there is not one target for each row and one source for each column, all equally long; or
/// if there are more than `COLUMNS_MAX` columns.
#[inline(always)]
pub(crate) unsafe fn dot_into<V: Vector>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    streamed: bool,
) {
    let len = checked_len(matrix, targets, sources);
    assert!(matrix.columns() <= COLUMNS_MAX, "a target is overwritten by one pass");
    let head =
        if streamed { head_bytes::<V>(targets).map_or(len, |head| head.min(len)) } else { len };
    let body = len - (len - head) % V::BYTES;
    // Up to the first whole vector of all targets, the whole vectors, and what is left.
    for (start, end, streamed) in [(0, head, false), (head, body, true), (body, len, false)] {
        match streamed {
            // SAFETY: the instruction set is the caller's promise; from `head` on all targets are
            // aligned, and up to `body` there are whole vectors.
            true => unsafe { passes::<V, Stream>(matrix, targets, sources, start, end) },
            // SAFETY: the instruction set is the caller's promise.
            false => unsafe { passes::<V, Replace>(matrix, targets, sources, start, end) },
        }
    }
    if head < body {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { V::settle() }
    }
}

/// The length of all streams, once the shapes are known to match.
pub(crate) fn checked_len(matrix: &Matrix, targets: &[&mut [u8]], sources: &[&[u8]]) -> usize {
    assert_eq!(targets.len(), matrix.rows(), "one target for each row");
    assert_eq!(sources.len(), matrix.columns(), "one source for each column");
    let len = targets.first().map_or(0, |target| target.len());
    assert!(targets.iter().all(|target| target.len() == len), "targets of one length");
    assert!(sources.iter().all(|source| source.len() == len), "sources as long as targets");
    len
}

/// Bytes in front of the first address that is aligned for `V` in all targets; `None` where they
/// lie differently.
fn head_bytes<V: Vector>(targets: &[&mut [u8]]) -> Option<usize> {
    let mut heads = targets.iter().map(|target| target.as_ptr().addr().wrapping_neg() % V::BYTES);
    let first = heads.next()?;
    heads.all(|head| head == first).then_some(first)
}

/// All passes over the bytes from `start` to `end`: a single one, if the shape allows.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `P` may write from `start` to `end`.
#[inline(always)]
unsafe fn passes<V: Vector, P: Put>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    start: usize,
    end: usize,
) {
    let single = matrix.rows() <= ROWS_MAX && matrix.columns() <= COLUMNS_MAX;
    let step = if single { end - start } else { TILE_BYTES };
    let paired = matrix.is_paired() && matrix.columns() <= COLUMNS_MAX;
    let mut at = start;
    while at < end {
        let next = at + step.min(end - at);
        let mut row = 0;
        while row < matrix.rows() {
            let place = Place { row, column: 0, start: at, end: next };
            let some = some_rows(matrix, row, paired);
            match paired && some > 1 {
                // SAFETY: the caller's promises.
                true => unsafe { some_pairs::<V, P>(matrix, targets, sources, place, some) },
                // SAFETY: as above.
                false => unsafe { some_columns::<V, P>(matrix, targets, sources, place, some) },
            }
            row += some;
        }
        at = next;
    }
}

/// How many rows from `row` on make the next pass.
fn some_rows(matrix: &Matrix, row: usize, paired: bool) -> usize {
    let left = matrix.rows() - row;
    if !paired {
        // As evenly as can be.
        return left.div_ceil(left.div_ceil(ROWS_MAX));
    }
    // The first row of all goes with the pairs behind it, the last one perhaps alone.
    let first = if row == 0 { 1 } else { 0 };
    match first + (left - first) / 2 * 2 {
        0 => 1,
        rows if rows > first + PAIRED_ROWS_MAX => first + PAIRED_ROWS_MAX,
        rows => rows,
    }
}

/// Chooses the number of rows, and goes through all columns. # Safety: as `passes`.
#[inline(always)]
unsafe fn some_columns<V: Vector, P: Put>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    mut place: Place,
    some: usize,
) {
    while place.column < matrix.columns() {
        match some {
            // SAFETY: the caller's promises, here and below.
            1 => unsafe { rows_of::<V, P, 1>(matrix, targets, sources, place) },
            // SAFETY: as above.
            2 => unsafe { rows_of::<V, P, 2>(matrix, targets, sources, place) },
            // SAFETY: as above.
            3 => unsafe { rows_of::<V, P, 3>(matrix, targets, sources, place) },
            // SAFETY: as above.
            4 => unsafe { rows_of::<V, P, 4>(matrix, targets, sources, place) },
            // SAFETY: as above.
            _ => unsafe { rows_of::<V, P, ROWS_MAX>(matrix, targets, sources, place) },
        }
        place.column += COLUMNS_MAX;
    }
}

/// Chooses the number of columns. # Safety: as `passes`.
#[inline(always)]
unsafe fn rows_of<V: Vector, P: Put, const ROWS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    match matrix.columns() - place.column {
        // SAFETY: the caller's promises, here and below.
        1 => unsafe { rows::<V, P, ROWS, 1>(matrix, targets, sources, place) },
        // SAFETY: as above.
        2 => unsafe { rows::<V, P, ROWS, 2>(matrix, targets, sources, place) },
        // SAFETY: as above.
        3 => unsafe { rows::<V, P, ROWS, 3>(matrix, targets, sources, place) },
        // SAFETY: as above.
        4 => unsafe { rows::<V, P, ROWS, 4>(matrix, targets, sources, place) },
        // SAFETY: as above.
        5 => unsafe { rows::<V, P, ROWS, 5>(matrix, targets, sources, place) },
        // SAFETY: as above.
        _ => unsafe { rows::<V, P, ROWS, COLUMNS_MAX>(matrix, targets, sources, place) },
    }
}

/// Chooses the number of rows that come in pairs. # Safety: as `passes`.
#[inline(always)]
unsafe fn some_pairs<V: Vector, P: Put>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
    some: usize,
) {
    match some {
        // SAFETY: the caller's promises, here and below.
        2 => unsafe { pairs_of::<V, P, 2>(matrix, targets, sources, place) },
        // SAFETY: as above.
        3 => unsafe { pairs_of::<V, P, 3>(matrix, targets, sources, place) },
        // SAFETY: as above.
        4 => unsafe { pairs_of::<V, P, PAIRED_ROWS_MAX>(matrix, targets, sources, place) },
        // SAFETY: as above.
        _ => unsafe { pairs_of::<V, P, ROWS_MAX>(matrix, targets, sources, place) },
    }
}

/// Chooses the number of columns. # Safety: as `passes`.
#[inline(always)]
unsafe fn pairs_of<V: Vector, P: Put, const ROWS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    match matrix.columns() {
        // SAFETY: the caller's promises, here and below.
        2 => unsafe { pairs::<V, P, ROWS, 2>(matrix, targets, sources, place) },
        // SAFETY: as above.
        3 => unsafe { pairs::<V, P, ROWS, 3>(matrix, targets, sources, place) },
        // SAFETY: as above.
        4 => unsafe { pairs::<V, P, ROWS, 4>(matrix, targets, sources, place) },
        // SAFETY: as above.
        5 => unsafe { pairs::<V, P, ROWS, 5>(matrix, targets, sources, place) },
        // SAFETY: as above.
        _ => unsafe { pairs::<V, P, ROWS, COLUMNS_MAX>(matrix, targets, sources, place) },
    }
}
