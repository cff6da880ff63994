//! `sum of m_j * r^(j+1)`, many blocks for each reduction.
//!
//! A group of p blocks is summed up with the powers r^1 to r^p that lie ready, unreduced. As block
//! 0 has the lowest power, the groups are taken from the last to the first: what is summed up so
//! far lies p powers further up, so `sum = sum * r^p + group`, and both share one reduction. Each
//! lane has a sum of its own, and the lanes are added up when all is done.
//!
//! A product of 128 by 128 bits is three products of 64 (Karatsuba). It needs the sum of both
//! halves of each factor: those of the powers lie ready, two to a block; those of the message come
//! from a second load, of each low half twice: a load costs nothing where a shuffle would take the
//! place of the product that is saved.

use crate::gf128::reduce;
use zeroize::Zeroize;

/// How many powers of r are kept at most.
pub(crate) const POWERS: usize = 64;

/// Bytes of a block.
const BLOCK_BYTES: usize = 16;

/// How far ahead of the blocks in hand memory is asked for, and so much at a time as there is in
/// a cache line.
const AHEAD_BYTES: usize = 4096;
const LINE_BYTES: usize = 64;

/// Blocks of 128 bits, one in each lane of a register. A value of it is the proof that the CPU
/// has what its methods need.
pub(crate) trait Blocks: Copy {
    /// How many blocks it holds.
    const LANES: usize;

    /// How many blocks are summed up for each reduction: a multiple of `2 * LANES`, at most
    /// `POWERS`, and a power of two.
    const GROUP: usize;

    /// `block` in lane 0, zeros elsewhere.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn one(block: u128) -> Self;

    /// `block` in every lane.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn every(block: u128) -> Self;

    /// The blocks of `LANES` numbers.
    ///
    /// # Safety
    /// The CPU has the instruction set of the type, and `source` is valid for reads of `LANES`
    /// numbers.
    unsafe fn load_numbers(source: *const u128) -> Self;

    /// Writes the blocks as `LANES` numbers.
    ///
    /// # Safety
    /// `target` is valid for writes of `LANES` numbers.
    unsafe fn store_numbers(self, target: *mut u128);

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

    /// The low half of each of the blocks of `LANES * 16` bytes, twice: in both halves of a lane.
    ///
    /// # Safety
    /// As `load`.
    unsafe fn load_low_twice(source: *const u8) -> Self;

    /// Asks for the cache line at `source`, which need not be valid for anything.
    fn prefetch(source: *const u8);

    /// The products of the low halves, lane by lane: polynomials of degree below 127.
    fn low_by_low(self, other: Self) -> Self;

    /// The products of the low halves of `self` and the high ones of `other`, lane by lane.
    fn low_by_high(self, other: Self) -> Self;

    /// The products of the high halves, lane by lane.
    fn high_by_high(self, other: Self) -> Self;

    /// Each lane with its halves exchanged.
    fn swap(self) -> Self;

    /// The low halves of `self` beside the high halves of `other`.
    fn beside(self, other: Self) -> Self;

    /// The sum, lane by lane.
    fn xor(self, other: Self) -> Self;

    /// The sum of three, lane by lane.
    fn xor3(self, other: Self, third: Self) -> Self;

    /// The elements of the field that the products stand for, lane by lane.
    fn reduce(product: Product<Self>) -> Self;

    /// The sum of all lanes.
    fn fold(self) -> u128;
}

/// Products of 256 bits in each lane: `low + (low + middle + high) * x^64 + high * x^128`.
#[derive(Clone, Copy)]
pub(crate) struct Product<B> {
    /// The products of the low halves.
    pub(crate) low: B,
    /// The products of the sums of both halves.
    pub(crate) middle: B,
    /// The products of the high halves.
    pub(crate) high: B,
}

impl<B: Blocks> Product<B> {
    /// The product of two vectors, lane by lane.
    #[inline(always)]
    pub(crate) fn of(a: B, b: B) -> Self {
        let middle = a.xor(a.swap()).low_by_low(b.xor(b.swap()));
        Self { low: a.low_by_low(b), middle, high: a.high_by_high(b) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self {
            low: self.low.xor(other.low),
            middle: self.middle.xor(other.middle),
            high: self.high.xor(other.high),
        }
    }
}

/// A reduction by two products, for instruction sets that have them: x^128 = x^7 + x^2 + x + 1 is
/// 0x87, by which whatever lies beyond is multiplied, 64 bits at a time.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
pub(crate) unsafe fn reduce_by_products<B: Blocks>(product: Product<B>) -> B {
    let Product { low, middle, high } = product;
    // SAFETY: the instruction set is the caller's promise, here and below.
    let modulus = unsafe { B::every(0x87 | 0x87 << 64) };
    // SAFETY: as above.
    let zero = unsafe { B::one(0) };
    let middle = middle.xor3(low, high).xor(high.high_by_high(modulus));
    // What is left: low, middle at x^64, and the low half of high at x^128.
    let swapped = middle.swap();
    let over = high.xor(swapped).low_by_low(modulus);
    low.xor3(over, zero.beside(swapped))
}

/// The same by shifts, of one lane of numbers.
#[inline(always)]
pub(crate) const fn reduce_numbers(low: u128, middle: u128, high: u128) -> u128 {
    let middle = middle ^ low ^ high;
    reduce(low ^ (middle << 64), high ^ (middle >> 64))
}

/// r^1, r^2, ...: as many as the ISA uses, the others zero. Aligned as vectors like it.
#[derive(Zeroize)]
#[repr(C, align(64))]
pub(crate) struct Powers {
    powers: [u128; POWERS],
    /// Of two vectors of powers the sums of both halves, beside each other.
    sums: [u128; POWERS / 2],
}

impl Powers {
    /// Before any is computed.
    pub(crate) const fn zero() -> Self {
        Self { powers: [0; POWERS], sums: [0; POWERS / 2] }
    }
}

/// Computes the powers of `r` up to r^`GROUP`.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
pub(crate) unsafe fn powers<B: Blocks>(table: &mut Powers, r: u128) {
    let powers = &mut table.powers;
    powers[0] = r;
    for i in 1..B::LANES {
        // SAFETY: the instruction set is the caller's promise, here and below.
        let before = unsafe { B::one(powers[i - 1]) };
        // SAFETY: as above.
        let r = unsafe { B::one(r) };
        powers[i] = B::reduce(Product::of(before, r)).fold();
    }
    // So many lie ready; the next ones are these times the last of them.
    let mut ready = B::LANES;
    while ready < B::GROUP {
        // SAFETY: the instruction set is the caller's promise.
        let last = unsafe { B::every(powers[ready - 1]) };
        let (from, to) = powers.split_at_mut(ready);
        for (from, to) in from.chunks_exact(B::LANES).zip(to.chunks_exact_mut(B::LANES)) {
            // SAFETY: a chunk holds as many numbers as the type asks for.
            let power = unsafe { B::load_numbers(from.as_ptr()) };
            // SAFETY: as above.
            unsafe { B::reduce(Product::of(power, last)).store_numbers(to.as_mut_ptr()) }
        }
        ready *= 2;
    }
    let pairs = powers[..B::GROUP].chunks_exact(2 * B::LANES);
    for (pair, sums) in pairs.zip(table.sums.chunks_exact_mut(B::LANES)) {
        let (first, second) = pair.split_at(B::LANES);
        // SAFETY: each half of the pair holds as many numbers as the type asks for.
        let first = unsafe { B::load_numbers(first.as_ptr()) };
        // SAFETY: as above.
        let second = unsafe { B::load_numbers(second.as_ptr()) };
        let both = first.xor(first.swap()).beside(second.xor(second.swap()));
        // SAFETY: a chunk holds as many numbers as the type asks for.
        unsafe { both.store_numbers(sums.as_mut_ptr()) }
    }
}

/// `sum * r^p` and the polynomial hash of the p blocks of all parts, each part zero-filled to a
/// whole block. `table` is that of [`powers`] for the same `B`.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
pub(crate) unsafe fn poly<B: Blocks>(table: &Powers, parts: &[&[u8]], sum: u128) -> u128 {
    let mut sum = sum;
    for part in parts.iter().rev() {
        let (groups, rest) = part.split_at(part.len() - part.len() % (B::GROUP * BLOCK_BYTES));
        if !rest.is_empty() {
            // SAFETY: the instruction set is the caller's promise, here and below.
            sum = unsafe { incomplete_group::<B>(table, rest, sum) };
        }
        if !groups.is_empty() {
            // SAFETY: as above.
            sum = unsafe { whole_groups::<B>(table, groups, sum) };
        }
    }
    sum
}

/// `sum * r^p` and the hash of the p blocks of `bytes`, which are whole groups.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
unsafe fn whole_groups<B: Blocks>(table: &Powers, bytes: &[u8], sum: u128) -> u128 {
    // SAFETY: the instruction set is the caller's promise, here and below.
    let further = unsafe { B::every(table.powers[B::GROUP - 1]) };
    // SAFETY: as above.
    let mut sum = unsafe { B::one(sum) };
    for bytes in bytes.rchunks_exact(B::GROUP * BLOCK_BYTES) {
        let ahead = bytes.as_ptr().wrapping_sub(AHEAD_BYTES);
        // SAFETY: as above, and the chunk is a group.
        let group = unsafe { whole_group::<B>(table, bytes.as_ptr(), ahead) };
        sum = B::reduce(group.xor(Product::of(sum, further)));
    }
    sum.fold()
}

/// The hash of one group.
///
/// # Safety
/// The CPU has the instruction set of `B`, and `source` is valid for reads of `GROUP` blocks.
#[inline(always)]
unsafe fn whole_group<B: Blocks>(
    table: &Powers,
    source: *const u8,
    ahead: *const u8,
) -> Product<B> {
    // SAFETY: the instruction set is the caller's promise, here and below.
    let zero = unsafe { B::one(0) };
    let mut total = Product { low: zero, middle: zero, high: zero };
    for pair in 0..B::GROUP / (2 * B::LANES) {
        let at_a = source.wrapping_add(pair * 2 * B::LANES * BLOCK_BYTES);
        let at_b = at_a.wrapping_add(B::LANES * BLOCK_BYTES);
        for line in (0..2 * B::LANES * BLOCK_BYTES).step_by(LINE_BYTES) {
            B::prefetch(ahead.wrapping_add(pair * 2 * B::LANES * BLOCK_BYTES + line));
        }
        // SAFETY: two vectors of the group begin at `at_a`, here and below.
        let a = unsafe { B::load(at_a) };
        // SAFETY: as above.
        let b = unsafe { B::load(at_b) };
        // SAFETY: as above.
        let a_halves = unsafe { B::load_low_twice(at_a) }.xor(a);
        // SAFETY: as above.
        let b_halves = unsafe { B::load_low_twice(at_b) }.xor(b);
        let powers = table.powers.as_ptr().wrapping_add(pair * 2 * B::LANES);
        // SAFETY: the table has `POWERS` powers, at least a group.
        let by_a = unsafe { B::load_numbers(powers) };
        // SAFETY: as above.
        let by_b = unsafe { B::load_numbers(powers.wrapping_add(B::LANES)) };
        let sums = table.sums.as_ptr().wrapping_add(pair * B::LANES);
        // SAFETY: as above, and of the sums there are half as many.
        let sums = unsafe { B::load_numbers(sums) };
        let middle = total.middle;
        total = Product {
            low: total.low.xor3(a.low_by_low(by_a), b.low_by_low(by_b)),
            middle: middle.xor3(sums.low_by_high(a_halves), sums.high_by_high(b_halves)),
            high: total.high.xor3(a.high_by_high(by_a), b.high_by_high(by_b)),
        };
    }
    total
}

/// `sum * r^p` and the hash of the p blocks of `bytes`, at least one and fewer than a group; the
/// last one is zero-filled.
///
/// # Safety
/// The CPU has the instruction set of `B`.
#[inline(always)]
unsafe fn incomplete_group<B: Blocks>(table: &Powers, bytes: &[u8], sum: u128) -> u128 {
    let blocks = bytes.len().div_ceil(BLOCK_BYTES);
    // SAFETY: the instruction set is the caller's promise, here and below.
    let before = unsafe { B::one(sum) };
    // SAFETY: as above.
    let further = unsafe { B::one(table.powers[blocks - 1]) };
    let mut total = Product::of(before, further);

    let mut vectors = bytes.chunks_exact(B::LANES * BLOCK_BYTES);
    let mut factors = table.powers.chunks_exact(B::LANES);
    for (vector, factor) in (&mut vectors).zip(&mut factors) {
        // SAFETY: a chunk is exactly as long as the type asks for.
        let vector = unsafe { B::load(vector.as_ptr()) };
        // SAFETY: as above.
        let factor = unsafe { B::load_numbers(factor.as_ptr()) };
        total = total.xor(Product::of(vector, factor));
    }
    let rest = vectors.remainder();
    if let (false, Some(factor)) = (rest.is_empty(), factors.next()) {
        // SAFETY: a remainder is shorter than a chunk.
        let vector = unsafe { B::load_head(rest.as_ptr(), rest.len()) };
        // SAFETY: a chunk is exactly as long as the type asks for.
        let factor = unsafe { B::load_numbers(factor.as_ptr()) };
        total = total.xor(Product::of(vector, factor));
    }
    B::reduce(total).fold()
}
