//! `sum of m_j * r^(j+1)`, many blocks for each reduction.
//!
//! A group of p blocks is summed up with the powers r^1 to r^p that lie ready, unreduced. As block
//! 0 has the lowest power, the groups are taken from the last to the first: what is summed up so
//! far lies p powers further up, so `sum = sum * r^p + group`, and both share one reduction.

use crate::gf128::reduce;

/// How many powers of r are kept at most.
pub(crate) const POWERS: usize = 32;

/// Bytes of a block.
const BLOCK_BYTES: usize = 16;

/// Blocks of 128 bits, one in each lane of a register. A value of it is the proof that the CPU
/// has what its methods need.
pub(crate) trait Blocks: Copy {
    /// How many blocks it holds.
    const LANES: usize;

    /// How many blocks are summed up for each reduction: a multiple of `LANES`, at most `POWERS`.
    const GROUP: usize;

    /// `block` in lane 0, zeros elsewhere.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn one(block: u128) -> Self;

    /// The blocks of `LANES` numbers.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type, and `source` is valid for reads of `LANES`
    /// numbers.
    unsafe fn load_numbers(source: *const u128) -> Self;

    /// The blocks of `LANES * 16` bytes.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type, and `source` is valid for reads of that many
    /// bytes; any alignment will do.
    unsafe fn load(source: *const u8) -> Self;

    /// The blocks of `len` bytes, then zeros.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type, `len < LANES * 16`, and `source` is valid for
    /// reads of `len` bytes; any alignment will do.
    unsafe fn load_head(source: *const u8, len: usize) -> Self;

    /// The products of polynomials, lane by lane, not reduced.
    fn multiply(self, other: Self) -> Product<Self>;

    /// The sum, lane by lane.
    fn xor(self, other: Self) -> Self;

    /// The sum of all lanes.
    fn fold(self) -> u128;
}

/// Products of 256 bits: `low + middle * x^64 + high * x^128` in each lane.
#[derive(Clone, Copy)]
pub(crate) struct Product<B> {
    pub(crate) low: B,
    pub(crate) middle: B,
    pub(crate) high: B,
}

impl<B: Blocks> Product<B> {
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self {
            low: self.low.xor(other.low),
            middle: self.middle.xor(other.middle),
            high: self.high.xor(other.high),
        }
    }

    /// The sum of all lanes as an element of the field.
    #[inline(always)]
    pub(crate) fn reduce(self) -> u128 {
        let middle = self.middle.fold();
        reduce(self.low.fold() ^ (middle << 64), self.high.fold() ^ (middle >> 64))
    }
}

/// Puts r^1, r^2, ... up to r^`GROUP` into `powers`.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
pub(crate) unsafe fn powers<B: Blocks>(powers: &mut [u128; POWERS], r: u128) {
    powers[0] = r;
    for i in 1..B::GROUP {
        // r^(i+1) from two halves of the exponent: few products wait for one another.
        let (a, b) = (powers[(i - 1) / 2], powers[i / 2]);
        // SAFETY: the instruction set is the caller's promise.
        let a = unsafe { B::one(a) };
        // SAFETY: as above.
        let b = unsafe { B::one(b) };
        powers[i] = a.multiply(b).reduce();
    }
}

/// The polynomial hash of all blocks of all parts, each part zero-filled to a whole block.
/// `powers` are those of [`powers`] for the same `B`.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
pub(crate) unsafe fn poly<B: Blocks>(powers: &[u128; POWERS], parts: &[&[u8]]) -> u128 {
    let group_bytes = B::GROUP * BLOCK_BYTES;
    let mut sum = 0;
    for part in parts.iter().rev() {
        let mut end = part.len();
        while end > 0 {
            let start = (end - 1) / group_bytes * group_bytes;
            // SAFETY: the instruction set is the caller's promise.
            sum = unsafe { group::<B>(powers, &part[start..end], sum) };
            end = start;
        }
    }
    sum
}

/// `sum * r^p` and the hash of the 1 to `GROUP` blocks of `bytes`, p being their number; the last
/// one is zero-filled.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
unsafe fn group<B: Blocks>(powers: &[u128; POWERS], bytes: &[u8], sum: u128) -> u128 {
    let blocks = bytes.len().div_ceil(BLOCK_BYTES);
    // SAFETY: the instruction set is the caller's promise.
    let before = unsafe { B::one(sum) };
    // SAFETY: as above.
    let further = unsafe { B::one(powers[blocks - 1]) };
    let mut total = before.multiply(further);

    let mut vectors = bytes.chunks_exact(B::LANES * BLOCK_BYTES);
    let mut factors = powers.chunks_exact(B::LANES);
    for (vector, factor) in (&mut vectors).zip(&mut factors) {
        // SAFETY: a chunk is exactly as long as the type asks for.
        let vector = unsafe { B::load(vector.as_ptr()) };
        // SAFETY: as above.
        let factor = unsafe { B::load_numbers(factor.as_ptr()) };
        total = total.xor(vector.multiply(factor));
    }
    let rest = vectors.remainder();
    if let (false, Some(factor)) = (rest.is_empty(), factors.next()) {
        // SAFETY: a remainder is shorter than a chunk.
        let vector = unsafe { B::load_head(rest.as_ptr(), rest.len()) };
        // SAFETY: a chunk is exactly as long as the type asks for.
        let factor = unsafe { B::load_numbers(factor.as_ptr()) };
        total = total.xor(vector.multiply(factor));
    }
    total.reduce()
}
