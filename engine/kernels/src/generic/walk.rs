//! One visit of a part of all streams, whatever is computed of it.
//!
//! All pointers are meant to stay in registers, which is why the numbers of targets and sources are
//! constants: rows took up to three times as long where pointers came from memory.

use super::Vector;
use super::dot::Place;
use super::put::{Put, load};
use std::marker::PhantomData;

/// Bytes ahead of those at hand that the second cache is told of.
const AHEAD_BYTES: usize = 1024;

/// How a vector of each target comes from a vector of each source.
pub(crate) trait Recipe<V, const ROWS: usize, const COLUMNS: usize>: Copy {
    /// The sums for all targets, each with what was there `before`, if anything.
    fn sums(&self, before: [Option<V>; ROWS], vectors: [V; COLUMNS]) -> [V; ROWS];
}

/// A pass that is ready to go, apart from whatever calls it: `Vector::apart` gives it a function of
/// its own, which keeps both the compiler's work and the caller small.
pub(crate) trait Pass {
    /// Goes.
    ///
    /// # Safety
    /// The CPU has the instruction set of the vectors, and the streams are as the pass was
    /// promised.
    unsafe fn run(self);
}

/// A recipe and the pointers to a part of all streams.
struct Walk<'a, V, P, R, const ROWS: usize, const COLUMNS: usize> {
    recipe: &'a R,
    targets: [*mut u8; ROWS],
    sources: [*const u8; COLUMNS],
    len: usize,
    of: PhantomData<(V, P)>,
}

/// Follows the recipe over the streams of `place`.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `P` may write there.
#[inline(always)]
pub(crate) unsafe fn walk<V: Vector, P: Put, const ROWS: usize, const COLUMNS: usize>(
    recipe: &impl Recipe<V, ROWS, COLUMNS>,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    place: Place,
) {
    // The pointers come from slices of exactly the place: that is where bounds are checked.
    let mut to = [std::ptr::null_mut(); ROWS];
    for (pointer, target) in to.iter_mut().zip(&mut targets[place.row..][..ROWS]) {
        *pointer = target[place.start..place.end].as_mut_ptr();
    }
    let mut from = [std::ptr::null(); COLUMNS];
    for (pointer, source) in from.iter_mut().zip(&sources[place.column..][..COLUMNS]) {
        *pointer = source[place.start..place.end].as_ptr();
    }
    let len = place.end - place.start;
    let walk = Walk { recipe, targets: to, sources: from, len, of: PhantomData::<(V, P)> };
    // SAFETY: the caller's promises. All pointers are valid for `len` bytes; the targets are
    // exclusive borrows, so they overlap no other stream.
    unsafe { V::apart(walk) }
}

impl<V: Vector, P: Put, R: Recipe<V, ROWS, COLUMNS>, const ROWS: usize, const COLUMNS: usize> Pass
    for Walk<'_, V, P, R, ROWS, COLUMNS>
{
    #[inline(always)]
    unsafe fn run(self) {
        // Of its own, so that no store can be thought to change it.
        let recipe = *self.recipe;
        let whole = self.len - self.len % V::BYTES;
        let mut at = 0;
        while at < whole {
            // SAFETY: `at + BYTES <= whole <= len`, for which the streams were promised.
            unsafe { self.step(&recipe, at, None) }
            at += V::BYTES;
        }
        if at < self.len {
            // SAFETY: as above, with `len - at < BYTES` bytes left.
            unsafe { self.step(&recipe, at, Some(self.len - at)) }
        }
    }
}

impl<V: Vector, P: Put, R: Recipe<V, ROWS, COLUMNS>, const ROWS: usize, const COLUMNS: usize>
    Walk<'_, V, P, R, ROWS, COLUMNS>
{
    /// One vector of each stream, `at` bytes in; only its first `head` bytes if that is given.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`. All pointers are valid from `at` on for `BYTES`
    /// bytes, or `head < BYTES` bytes, those of the targets for writes too, as `P` asks for them,
    /// and these overlap no other stream.
    #[inline(always)]
    unsafe fn step(&self, recipe: &R, at: usize, head: Option<usize>) {
        // SAFETY: the instruction set is the caller's promise.
        let mut vectors = [unsafe { V::zero() }; COLUMNS];
        for (vector, source) in vectors.iter_mut().zip(self.sources) {
            if P::FAR {
                // SAFETY: the instruction set is the caller's promise.
                unsafe { V::prefetch(source.wrapping_add(at).wrapping_add(AHEAD_BYTES)) }
            }
            // SAFETY: the caller's promise: `at` lies within the stream.
            let source = unsafe { source.add(at) };
            // SAFETY: the caller's promise.
            *vector = unsafe { load::<V>(source, head) };
        }
        let mut before = [None; ROWS];
        for (before, target) in before.iter_mut().zip(self.targets) {
            // SAFETY: the caller's promise: `at` lies within the stream.
            let target = unsafe { target.add(at) };
            // SAFETY: the caller's promise.
            *before = unsafe { P::before::<V>(target, head) };
        }
        for (sum, target) in recipe.sums(before, vectors).into_iter().zip(self.targets) {
            // SAFETY: the caller's promise: `at` lies within the stream.
            let target = unsafe { target.add(at) };
            // SAFETY: the caller's promise.
            unsafe { P::after(sum, target, head) }
        }
    }
}

/// The sum, with what was there before if anything.
#[inline(always)]
pub(crate) fn with<V: Vector>(before: Option<V>, a: V, b: V) -> V {
    match before {
        Some(before) => before.xor3(a, b),
        None => a.xor(b),
    }
}
