//! `targets ^= matrix * sources`, a block of up to 4 targets by 4 sources at a time.

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

    /// The product in GF(2^8), byte by byte.
    fn mul(self, by: Self::Multiplier) -> Self;
}

/// Bytes of each stream that are done with before going on, so that with many streams a source
/// byte that several blocks of the matrix need still comes from the cache.
const TILE_BYTES: usize = 32 * 1024;

/// At most so many targets share a load of a source.
const ROWS_MAX: usize = 4;

/// At most so many sources share a load and a store of a target.
const COLUMNS_MAX: usize = 4;

/// Where in matrix and streams a block of work begins, and where in the streams it ends.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    start: usize,
    end: usize,
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
    let mut start = 0;
    while start < len {
        let end = start + TILE_BYTES.min(len - start);
        for row in (0..matrix.rows()).step_by(ROWS_MAX) {
            for column in (0..matrix.columns()).step_by(COLUMNS_MAX) {
                let place = Place { row, column, start, end };
                // SAFETY: the instruction set is the caller's promise.
                unsafe { some_rows::<V>(matrix, targets, sources, place) }
            }
        }
        start = end;
    }
}

/// The length of all streams, once the shapes are known to match.
fn checked_len(matrix: &Matrix, targets: &[&mut [u8]], sources: &[&[u8]]) -> usize {
    assert_eq!(targets.len(), matrix.rows(), "one target for each row");
    assert_eq!(sources.len(), matrix.columns(), "one source for each column");
    let len = targets.first().map_or(0, |target| target.len());
    assert!(targets.iter().all(|target| target.len() == len), "targets of one length");
    assert!(sources.iter().all(|source| source.len() == len), "sources as long as targets");
    len
}

/// Chooses the number of rows. # Safety: as `dot`.
#[inline(always)]
unsafe fn some_rows<V: Vector>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    match matrix.rows() - place.row {
        // SAFETY: the instruction set is the caller's promise, here and below.
        1 => unsafe { some_columns::<V, 1>(matrix, targets, sources, place) },
        // SAFETY: as above.
        2 => unsafe { some_columns::<V, 2>(matrix, targets, sources, place) },
        // SAFETY: as above.
        3 => unsafe { some_columns::<V, 3>(matrix, targets, sources, place) },
        // SAFETY: as above.
        _ => unsafe { some_columns::<V, ROWS_MAX>(matrix, targets, sources, place) },
    }
}

/// Chooses the number of columns. # Safety: as `dot`.
#[inline(always)]
unsafe fn some_columns<V: Vector, const ROWS: usize>(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    match matrix.columns() - place.column {
        // SAFETY: the instruction set is the caller's promise, here and below.
        1 => unsafe { block::<V, ROWS, 1>(matrix, targets, sources, place) },
        // SAFETY: as above.
        2 => unsafe { block::<V, ROWS, 2>(matrix, targets, sources, place) },
        // SAFETY: as above.
        3 => unsafe { block::<V, ROWS, 3>(matrix, targets, sources, place) },
        // SAFETY: as above.
        _ => unsafe { block::<V, ROWS, COLUMNS_MAX>(matrix, targets, sources, place) },
    }
}

/// One block of the matrix over one tile of the streams. # Safety: as `dot`.
#[inline(always)]
unsafe fn block<V: Vector, const ROWS: usize, const COLUMNS: usize>(
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
    // The pointers come from slices of exactly the tile: that is where bounds are checked.
    let mut to = [std::ptr::null_mut(); ROWS];
    for (pointer, target) in to.iter_mut().zip(&mut targets[place.row..][..ROWS]) {
        *pointer = target[place.start..place.end].as_mut_ptr();
    }
    let mut from = [std::ptr::null(); COLUMNS];
    for (pointer, source) in from.iter_mut().zip(&sources[place.column..][..COLUMNS]) {
        *pointer = source[place.start..place.end].as_ptr();
    }
    let len = place.end - place.start;
    let whole = len - len % V::BYTES;
    let mut at = 0;
    while at < whole {
        // SAFETY: `at + BYTES <= whole <= len`, for which all pointers are valid; the targets are
        // exclusive borrows, so they overlap no source.
        unsafe { step::<V, ROWS, COLUMNS>(&by, to, from, at, None) }
        at += V::BYTES;
    }
    if at < len {
        // SAFETY: as above, with `len - at < BYTES` bytes left.
        unsafe { step::<V, ROWS, COLUMNS>(&by, to, from, at, Some(len - at)) }
    }
}

/// One vector of each stream, `at` bytes in; only its first `head` bytes if that is given.
///
/// # Safety
/// The CPU has the instruction set of `V`. All pointers are valid from `at` on for `BYTES` bytes,
/// or `head < BYTES` bytes, those of `to` for writes too, and these overlap no other stream.
#[inline(always)]
unsafe fn step<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    by: &[[V::Multiplier; COLUMNS]; ROWS],
    to: [*mut u8; ROWS],
    from: [*const u8; COLUMNS],
    at: usize,
    head: Option<usize>,
) {
    // SAFETY: the instruction set is the caller's promise.
    let zero = unsafe { V::zero() };
    let mut sums = [zero; ROWS];
    for (sum, target) in sums.iter_mut().zip(to) {
        // SAFETY: the caller's promise of `to`.
        *sum = unsafe { load_at::<V>(target, at, head) };
    }
    for (column, source) in from.into_iter().enumerate() {
        // SAFETY: the caller's promise of `from`.
        let bytes = unsafe { load_at::<V>(source, at, head) };
        for (sum, row) in sums.iter_mut().zip(by) {
            *sum = sum.xor(bytes.mul(row[column]));
        }
    }
    for (sum, target) in sums.into_iter().zip(to) {
        // SAFETY: the caller's promise of `to`: `at` lies within the stream.
        let target = unsafe { target.add(at) };
        match head {
            // SAFETY: the caller's promise of `to`.
            None => unsafe { sum.store(target) },
            // SAFETY: the caller's promise of `to` and `head`.
            Some(len) => unsafe { sum.store_head(target, len) },
        }
    }
}

/// The vector `at` bytes into a stream. # Safety: as `step`.
#[inline(always)]
unsafe fn load_at<V: Vector>(stream: *const u8, at: usize, head: Option<usize>) -> V {
    // SAFETY: the caller's promise: `at` lies within the stream.
    let source = unsafe { stream.add(at) };
    match head {
        // SAFETY: the caller's promise.
        None => unsafe { V::load(source) },
        // SAFETY: the caller's promise.
        Some(len) => unsafe { V::load_head(source, len) },
    }
}
