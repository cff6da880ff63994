//! `dot` and the hashes of its streams, one visit for each cache line.
//!
//! The streams are walked a tile at a time. Of a tile the products are computed into a scratch that
//! stays in the first cache, and added to the targets; then each hash takes its stream's tile, which
//! is still there. The tiles go from the last to the first, as the groups of a hash do, and between
//! two steps of a tile one stream's tile is asked for that is wanted soon.

use super::dot::{COLUMNS_MAX, Vector, dot, dot_into};
use super::poly::{Blocks, whole_groups};
use super::xor::xor;
use crate::Matrix;
use crate::weave::{SOURCES_MAX, Stream, StreamHash};
use zeroize::zeroize_bytes;

/// Bytes of each stream that are done with before going on: whole groups of a hash.
const TILE_BYTES: usize = 2048;

/// At most so many targets are woven together.
pub(crate) const ROWS_MAX: usize = 8;

/// How far ahead of the tile in hand memory is asked for, and how much at a time.
const AHEAD_BYTES: usize = 2 * TILE_BYTES;
const LINE_BYTES: usize = 64;

/// What is to be done.
pub(crate) struct Work<'a, 'b> {
    /// At most `ROWS_MAX` rows.
    pub(crate) matrix: &'a Matrix,
    /// One for each row, all equally long.
    pub(crate) targets: &'a mut [&'b mut [u8]],
    /// One for each column, as long as targets; at most `SOURCES_MAX`.
    pub(crate) sources: &'a [&'a [u8]],
    /// The row of the first target, as hashes count them.
    pub(crate) first_row: usize,
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

/// See [`crate::weave`].
///
/// # Safety
/// The CPU has the instruction sets of `V` and `B`.
///
/// # Panics
/// If shapes don't match, or a hash names a stream that is not there.
#[inline(always)]
pub(crate) unsafe fn weave<V: Vector, B: Blocks>(
    mut work: Work<'_, '_>,
    hashes: &mut [StreamHash<'_>],
) {
    const { assert!(TILE_BYTES.is_multiple_of(B::GROUP * 16)) }
    let mut scratch =
        Scratch { products: [[0; TILE_BYTES + LINE_BYTES]; ROWS_MAX], copy: [0; TILE_BYTES] };
    let mut sources: [&[u8]; SOURCES_MAX] = [&[]; SOURCES_MAX];
    let sources = &mut sources[..work.sources.len()];
    let mut end = work.targets.first().map_or(0, |target| target.len());
    while end > 0 {
        let start = (end - 1) / TILE_BYTES * TILE_BYTES;
        let mut ahead = work.ahead(start);
        // SAFETY: the instruction set is the caller's promise, here and below.
        unsafe { work.multiply::<V>(&mut scratch, sources, start, end) }
        for hash in &mut *hashes {
            if let Some(next) = ahead.next() {
                ask::<B>(next);
            }
            if let Some(bytes) = work.tile(&mut scratch, start, end, hash.of()) {
                // SAFETY: as above, and a tile is whole groups.
                unsafe { take::<B>(hash, bytes) }
            }
        }
        for next in ahead {
            ask::<B>(next);
        }
        end = start;
    }
    scratch.wipe(work.targets.len());
}

impl<'a> Work<'a, '_> {
    /// Brings the products of a tile to the scratch, and to the targets.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    unsafe fn multiply<V: Vector>(
        &mut self,
        scratch: &mut Scratch,
        sources: &mut [&'a [u8]],
        start: usize,
        end: usize,
    ) {
        for (part, source) in sources.iter_mut().zip(self.sources) {
            *part = &source[start..end];
        }
        let mut to: [&mut [u8]; ROWS_MAX] = Default::default();
        let to = &mut to[..self.targets.len()];
        if self.adds {
            for (to, product) in to.iter_mut().zip(&mut scratch.products) {
                *to = &mut product[..end - start];
            }
        } else {
            for (to, target) in to.iter_mut().zip(&mut *self.targets) {
                *to = &mut target[start..end];
            }
        }
        if sources.len() <= COLUMNS_MAX {
            // SAFETY: the caller's promise.
            unsafe { dot_into::<V>(self.matrix, to, sources, false) }
        } else {
            to.iter_mut().for_each(|to| to.fill(0));
            // SAFETY: the caller's promise.
            unsafe { dot::<V>(self.matrix, to, sources) }
        }
        if self.adds {
            for (target, product) in self.targets.iter_mut().zip(&scratch.products) {
                xor(&mut target[start..end], &product[..end - start]);
            }
        }
    }

    /// The tile of a stream, with zeros behind it if it is incomplete; `None` where it is the turn
    /// of others.
    #[inline(always)]
    fn tile<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        start: usize,
        end: usize,
        of: Stream,
    ) -> Option<&'s [u8]> {
        let here = |row: usize| row.checked_sub(self.first_row);
        let bytes = match of {
            Stream::Source(i) if self.first_row == 0 => &self.sources[i][start..end],
            Stream::Product(row) if self.adds => {
                // Behind an incomplete tile, which is the first, the scratch is as it began.
                return Some(&scratch.products.get(here(row)?)?[..TILE_BYTES]);
            }
            Stream::Product(row) | Stream::Target(row) => {
                &self.targets.get(here(row)?)?[start..end]
            }
            Stream::Source(_) => return None,
        };
        if bytes.len() == TILE_BYTES {
            return Some(bytes);
        }
        scratch.copy[..bytes.len()].copy_from_slice(bytes);
        scratch.copy[bytes.len()..].fill(0);
        Some(&scratch.copy)
    }

    /// Where the tiles of all streams begin that are wanted soon.
    #[inline(always)]
    fn ahead(&self, start: usize) -> impl Iterator<Item = *const u8> + use<> {
        let mut tiles = [std::ptr::null(); ROWS_MAX + COLUMNS_MAX];
        let sources = self.sources.iter().map(|source| source.as_ptr());
        let targets = self.targets.iter().map(|target| target.as_ptr());
        let mut count = 0;
        if let Some(start) = start.checked_sub(AHEAD_BYTES) {
            for (tile, stream) in tiles.iter_mut().zip(targets.chain(sources)) {
                *tile = stream.wrapping_add(start);
                count += 1;
            }
        }
        tiles.into_iter().take(count)
    }
}

impl Scratch {
    /// Overwrites what `rows` rows of shares and copies of streams left.
    fn wipe(&mut self, rows: usize) {
        for row in &mut self.products[..rows] {
            zeroize_bytes(row);
        }
        zeroize_bytes(&mut self.copy);
    }
}

/// Asks for a tile.
#[inline(always)]
fn ask<B: Blocks>(tile: *const u8) {
    for line in (0..TILE_BYTES).step_by(LINE_BYTES) {
        B::prefetch(tile.wrapping_add(line));
    }
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
    let sum = unsafe { whole_groups::<B, false>(powers, bytes, sum) };
    // SAFETY: there are `LANES_MAX` numbers.
    unsafe { sum.store_numbers(lanes.as_mut_ptr()) }
}
