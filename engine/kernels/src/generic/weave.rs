//! `dot` and the hashes of its streams, one visit for each cache line.
//!
//! The streams are walked a tile at a time. Of a tile the products are computed, up to 4 targets
//! at a time, into a scratch that stays in the first cache, and in the same pass added to the
//! targets; then each hash takes its stream's tile, which is still there. The tiles go from the
//! last to the first, as the groups of a hash do; what lies ahead is asked for.

use super::Vector;
use super::poly::{Blocks, whole_groups};
use super::put::load;
use crate::Matrix;
use crate::weave::{Stream, StreamHash};
use zeroize::zeroize_bytes;

/// Bytes of each stream that are done with before going on: whole groups of a hash.
const TILE_BYTES: usize = 2048;

/// At most so many targets are computed together.
const ROWS_MAX: usize = 4;

/// At most so many sources are added up before the sums go to the scratch.
const COLUMNS_MAX: usize = 8;

/// So many multipliers are made once and not for each tile.
const READY_MAX: usize = 64;

/// How far ahead of the bytes in hand memory is asked for, and how much at a time.
const AHEAD_BYTES: usize = 2 * TILE_BYTES;
const LINE_BYTES: usize = 64;

/// What is to be done, once shapes and keys are known to match.
pub(crate) struct Work<'a, 'b> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) targets: &'a mut [&'b mut [u8]],
    pub(crate) sources: &'a [&'a [u8]],
    /// Bytes of each stream.
    pub(crate) len: usize,
    /// Whether the products are added to the targets, and not written over them.
    pub(crate) adds: bool,
}

/// The products of a tile in the clear, and a stream's incomplete tile with zeros behind it. Rows
/// are a line longer than a tile, so that their places in the cache differ.
#[repr(C, align(64))]
struct Scratch {
    products: [[u8; TILE_BYTES + LINE_BYTES]; ROWS_MAX],
    copy: [u8; TILE_BYTES],
}

/// A tile of all streams, and the first of the rows in hand.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    row: usize,
}

/// The first multipliers of the matrix, row after row.
struct Ready<V: Vector>([V::Multiplier; READY_MAX]);

/// See [`crate::weave`].
///
/// # Safety
/// The CPU has the instruction sets of `V` and `B`.
///
/// # Panics
/// If a stream has fewer than `len` bytes, or there are fewer than the matrix or a hash names.
#[inline(always)]
pub(crate) unsafe fn weave<V: Vector, B: Blocks>(
    mut work: Work<'_, '_>,
    hashes: &mut [StreamHash<'_>],
) {
    const { assert!(TILE_BYTES.is_multiple_of(B::GROUP * 16)) }
    let mut scratch =
        Scratch { products: [[0; TILE_BYTES + LINE_BYTES]; ROWS_MAX], copy: [0; TILE_BYTES] };
    // SAFETY: the instruction set is the caller's promise.
    let ready = unsafe { Ready::<V>::of(work.matrix) };
    let mut end = work.len;
    while end > 0 {
        let start = (end - 1) / TILE_BYTES * TILE_BYTES;
        for row in (0..work.matrix.rows()).step_by(ROWS_MAX) {
            let place = Place { start, end, row };
            // SAFETY: the caller's promises, here and below.
            unsafe { some_rows::<V, B>(&ready, &mut work, &mut scratch.products, place) }
            for hash in &mut *hashes {
                if let Some(bytes) = tile(&work, &mut scratch, place, hash.of()) {
                    // SAFETY: as above; a tile is whole groups.
                    unsafe { take::<B>(hash, bytes) }
                }
            }
        }
        end = start;
    }
    scratch.products.iter_mut().for_each(|row| zeroize_bytes(row));
    zeroize_bytes(&mut scratch.copy);
}

/// The tile of a stream that is done with in this place, zeros behind it if it is incomplete;
/// `None` where it is the turn of others.
#[inline(always)]
fn tile<'s>(
    work: &'s Work<'_, '_>,
    scratch: &'s mut Scratch,
    place: Place,
    of: Stream,
) -> Option<&'s [u8]> {
    let is_here = |i: usize| i >= place.row && i - place.row < ROWS_MAX;
    let stream: &[u8] = match of {
        Stream::Source(i) if place.row == 0 => work.sources[i],
        Stream::Target(i) if is_here(i) => &*work.targets[i],
        // Behind an incomplete tile the scratch is still as it began.
        Stream::Product(i) if is_here(i) => {
            return Some(&scratch.products[i - place.row][..TILE_BYTES]);
        }
        _ => return None,
    };
    let bytes = &stream[place.start..place.end];
    if bytes.len() == TILE_BYTES {
        return Some(bytes);
    }
    scratch.copy.fill(0);
    scratch.copy[..bytes.len()].copy_from_slice(bytes);
    Some(&scratch.copy)
}

/// Takes a tile into a hash.
///
/// # Safety
/// The CPU has the instruction set of `B`; `bytes` are whole groups.
#[inline(always)]
unsafe fn take<B: Blocks>(hash: &mut StreamHash<'_>, bytes: &[u8]) {
    let (powers, lanes) = hash.parts();
    // SAFETY: the instruction set is the caller's promise, and there are `LANES_MAX` numbers.
    let sum = unsafe { B::load_numbers(lanes.as_ptr()) };
    // SAFETY: the caller's promise.
    let sum = unsafe { whole_groups::<B>(powers, bytes, sum, bytes.as_ptr()) };
    // SAFETY: there are `LANES_MAX` numbers.
    unsafe { sum.store_numbers(lanes.as_mut_ptr()) }
}

impl<V: Vector> Ready<V> {
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    unsafe fn of(matrix: &Matrix) -> Self {
        // SAFETY: the caller's promise.
        let mut ready = [unsafe { V::multiplier(0) }; READY_MAX];
        let cells = (0..matrix.rows()).flat_map(|row| matrix.row(row));
        for (multiplier, coefficient) in ready.iter_mut().zip(cells) {
            // SAFETY: the caller's promise.
            *multiplier = unsafe { V::multiplier(*coefficient) };
        }
        Self(ready)
    }

    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    unsafe fn get(&self, matrix: &Matrix, row: usize, column: usize) -> V::Multiplier {
        match self.0.get(row * matrix.columns() + column) {
            Some(multiplier) => *multiplier,
            // SAFETY: the caller's promise.
            None => unsafe { V::multiplier(matrix.coefficient(row, column)) },
        }
    }
}

/// The products of a block of the matrix, which are added up in `sums`.
struct Pass<V: Vector, const ROWS: usize> {
    by: [[V::Multiplier; ROWS]; COLUMNS_MAX],
    sources: [*const u8; COLUMNS_MAX],
    columns: usize,
    sums: [*mut u8; ROWS],
    /// Whether nothing is in `sums` yet.
    begins: bool,
    targets: [*mut u8; ROWS],
    /// What becomes of the targets once all columns are added up.
    ends: Ending,
}

/// What a pass does to the targets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Nothing,
    Add,
    Overwrite,
}

/// Chooses the number of rows. # Safety: as [`weave`].
#[inline(always)]
unsafe fn some_rows<V: Vector, B: Blocks>(
    ready: &Ready<V>,
    work: &mut Work<'_, '_>,
    sums: &mut [[u8; TILE_BYTES + LINE_BYTES]; ROWS_MAX],
    place: Place,
) {
    match work.matrix.rows() - place.row {
        // SAFETY: the caller's promises, here and below.
        1 => unsafe { rows::<V, B, 1>(ready, work, sums, place) },
        // SAFETY: as above.
        2 => unsafe { rows::<V, B, 2>(ready, work, sums, place) },
        // SAFETY: as above.
        3 => unsafe { rows::<V, B, 3>(ready, work, sums, place) },
        // SAFETY: as above.
        _ => unsafe { rows::<V, B, ROWS_MAX>(ready, work, sums, place) },
    }
}

/// Computes `ROWS` products and brings them to their targets. # Safety: as [`weave`].
#[inline(always)]
unsafe fn rows<V: Vector, B: Blocks, const ROWS: usize>(
    ready: &Ready<V>,
    work: &mut Work<'_, '_>,
    sums: &mut [[u8; TILE_BYTES + LINE_BYTES]; ROWS_MAX],
    place: Place,
) {
    let columns = work.matrix.columns();
    let (start, end) = (place.start, place.end);
    for column in (0..columns).step_by(COLUMNS_MAX) {
        // SAFETY: the instruction set is the caller's promise.
        let nothing = unsafe { V::multiplier(0) };
        let is_last = columns - column <= COLUMNS_MAX;
        let mut pass = Pass::<V, ROWS> {
            by: [[nothing; ROWS]; COLUMNS_MAX],
            sources: [std::ptr::null(); COLUMNS_MAX],
            columns: COLUMNS_MAX.min(columns - column),
            sums: [std::ptr::null_mut(); ROWS],
            begins: column == 0,
            targets: [std::ptr::null_mut(); ROWS],
            ends: match (is_last, work.adds) {
                (false, _) => Ending::Nothing,
                (true, true) => Ending::Add,
                (true, false) => Ending::Overwrite,
            },
        };
        for j in 0..pass.columns {
            // The pointers come from slices of exactly the tile: that is where bounds are checked.
            pass.sources[j] = work.sources[column + j][start..end].as_ptr();
            for (i, by) in pass.by[j].iter_mut().enumerate() {
                // SAFETY: the instruction set is the caller's promise.
                *by = unsafe { ready.get(work.matrix, place.row + i, column + j) };
            }
        }
        for (i, sums) in sums.iter_mut().enumerate().take(ROWS) {
            pass.sums[i] = sums.as_mut_ptr();
            pass.targets[i] = work.targets[place.row + i][start..end].as_mut_ptr();
        }
        // SAFETY: all streams of the pass have so many bytes, and the scratch a whole tile; the
        // targets are exclusive borrows, so they overlap nothing.
        unsafe { pass.run::<B>(end - start) }
    }
}

impl<V: Vector, const ROWS: usize> Pass<V, ROWS> {
    /// # Safety
    /// The CPU has the instruction sets. All pointers are valid for `len` bytes, those of `sums`
    /// for a tile; targets and sums are written to and overlap nothing.
    #[inline(always)]
    unsafe fn run<B: Blocks>(&self, len: usize) {
        let whole = len - len % V::BYTES;
        let mut at = 0;
        while at < whole {
            if at.is_multiple_of(LINE_BYTES) {
                self.ask_ahead::<B>(at);
            }
            // SAFETY: a whole vector is left.
            unsafe { self.step(at, None) }
            at += V::BYTES;
        }
        if at < len {
            // SAFETY: less than a vector is left, so many bytes.
            unsafe { self.step(at, Some(len - at)) }
        }
    }

    /// Asks for the line of each stream that is wanted in a while.
    #[inline(always)]
    fn ask_ahead<B: Blocks>(&self, at: usize) {
        for source in &self.sources[..self.columns] {
            B::prefetch(source.wrapping_add(at).wrapping_sub(AHEAD_BYTES));
        }
        if self.ends == Ending::Add {
            for target in self.targets {
                B::prefetch(target.wrapping_add(at).wrapping_sub(AHEAD_BYTES));
            }
        }
    }

    /// One vector of each stream, `at` bytes in; only its first `head` bytes if that is given.
    ///
    /// # Safety
    /// As `run`, and from `at` on there are so many bytes of a vector.
    #[inline(always)]
    unsafe fn step(&self, at: usize, head: Option<usize>) {
        // SAFETY: the instruction set is the caller's promise.
        let mut sums = [unsafe { V::zero() }; ROWS];
        if !self.begins {
            for (sum, before) in sums.iter_mut().zip(self.sums) {
                // SAFETY: the scratch has whole vectors.
                *sum = unsafe { V::load(before.wrapping_add(at)) };
            }
        }
        let mut sources = self.sources[..self.columns].chunks_exact(2);
        for (pair, by) in (&mut sources).zip(self.by.chunks_exact(2)) {
            // SAFETY: the caller's promise.
            let first = unsafe { load::<V>(pair[0].wrapping_add(at), head) };
            // SAFETY: the caller's promise.
            let second = unsafe { load::<V>(pair[1].wrapping_add(at), head) };
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.xor3(first.mul(by[0][i]), second.mul(by[1][i]));
            }
        }
        if let [source] = sources.remainder() {
            // SAFETY: the caller's promise.
            let bytes = unsafe { load::<V>(source.wrapping_add(at), head) };
            for (sum, by) in sums.iter_mut().zip(&self.by[self.columns - 1]) {
                *sum = sum.xor(bytes.mul(*by));
            }
        }
        for ((sum, target), scratch) in sums.into_iter().zip(self.targets).zip(self.sums) {
            // SAFETY: the scratch has whole vectors.
            unsafe { sum.store(scratch.wrapping_add(at)) }
            let target = target.wrapping_add(at);
            let sum = match self.ends {
                Ending::Nothing => continue,
                // SAFETY: the caller's promise.
                Ending::Add => sum.xor(unsafe { load::<V>(target, head) }),
                Ending::Overwrite => sum,
            };
            match head {
                // SAFETY: the caller's promise.
                None => unsafe { sum.store(target) },
                // SAFETY: the caller's promise.
                Some(len) => unsafe { sum.store_head(target, len) },
            }
        }
    }
}
