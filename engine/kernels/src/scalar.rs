//! The kernels in plain integers: for CPUs without vectors, and the twin that all others are
//! tested against. Constant-time where the CPU's multiplication of 64-bit numbers is.

use crate::generic::{self, Blocks, Pass, Powers, Product, Vector};
use crate::{Matrix, gf256};

/// See [`crate::dot`].
pub(crate) fn dot(matrix: &Matrix, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    // SAFETY: every CPU has integers.
    unsafe { generic::dot_each::<Word>(matrix, targets, sources) }
}

/// See [`crate::xor`].
pub(crate) fn xor(target: &mut [u8], source: &[u8]) {
    generic::xor(target, source);
}

/// See [`crate::PolyHash`].
pub(crate) fn powers(table: &mut Powers, r: u128) {
    // SAFETY: every CPU has integers.
    unsafe { generic::powers::<Number>(table, r) }
}

/// See [`crate::PolyHash`].
pub(crate) fn poly(table: &Powers, parts: &[&[u8]], sum: u128) -> u128 {
    // SAFETY: every CPU has integers.
    unsafe { generic::poly::<Number>(table, parts, sum) }
}

/// The product in GF(2^128).
pub(crate) fn multiply(a: u128, b: u128) -> u128 {
    Number::reduce(Product::of(Number(a), Number(b))).0
}

/// Eight bytes.
#[derive(Clone, Copy)]
struct Word(u64);

impl Vector for Word {
    const BYTES: usize = 8;

    /// For each bit of the coefficient all ones or all zeros.
    type Multiplier = [u64; 8];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self(0)
    }

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller's promise; arrays of bytes need no alignment.
        Self(u64::from_le_bytes(unsafe { source.cast::<[u8; 8]>().read() }))
    }

    #[inline(always)]
    unsafe fn load_head(source: *const u8, len: usize) -> Self {
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(source, len) };
        let mut word = 0;
        for (i, byte) in bytes.iter().enumerate() {
            word |= u64::from(*byte) << (8 * i);
        }
        Self(word)
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller's promise; arrays of bytes need no alignment.
        unsafe { target.cast::<[u8; 8]>().write(self.0.to_le_bytes()) }
    }

    #[inline(always)]
    unsafe fn store_head(self, target: *mut u8, len: usize) {
        // SAFETY: the caller's promise, and that no one else borrows a target.
        let bytes = unsafe { std::slice::from_raw_parts_mut(target, len) };
        for (to, from) in bytes.iter_mut().zip(self.0.to_le_bytes()) {
            *to = from;
        }
    }

    #[inline(always)]
    unsafe fn multiplier(coefficient: u8) -> [u64; 8] {
        let mut masks = [0; 8];
        for (bit, mask) in masks.iter_mut().enumerate() {
            *mask = u64::from((coefficient >> bit) & 1).wrapping_neg();
        }
        masks
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    unsafe fn apart(pass: impl Pass) {
        // SAFETY: the caller's promise.
        unsafe { pass.run() }
    }

    #[inline(always)]
    fn mul(self, by: [u64; 8]) -> Self {
        let mut product = 0;
        let mut shifted = self.0;
        for mask in by {
            product ^= shifted & mask;
            shifted = gf256::double_each(shifted);
        }
        Self(product)
    }
}

/// One block of 128 bits.
#[derive(Clone, Copy)]
struct Number(u128);

impl Blocks for Number {
    const LANES: usize = 1;
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn one(block: u128) -> Self {
        Self(block)
    }

    #[inline(always)]
    unsafe fn every(block: u128) -> Self {
        Self(block)
    }

    #[inline(always)]
    unsafe fn load_numbers(source: *const u128) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { source.read() })
    }

    #[inline(always)]
    unsafe fn store_numbers(self, target: *mut u128) {
        // SAFETY: the caller's promise.
        unsafe { target.write(self.0) }
    }

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller's promise; arrays of bytes need no alignment.
        Self(u128::from_le_bytes(unsafe { source.cast::<[u8; 16]>().read() }))
    }

    #[inline(always)]
    unsafe fn load_head(source: *const u8, len: usize) -> Self {
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(source, len) };
        let mut block = 0;
        for (i, byte) in bytes.iter().enumerate() {
            block |= u128::from(*byte) << (8 * i);
        }
        Self(block)
    }

    #[inline(always)]
    unsafe fn load_low_twice(source: *const u8) -> Self {
        // SAFETY: the caller's promise.
        let low = halves(unsafe { Self::load(source) }.0)[0];
        Self(u128::from(low) << 64 | u128::from(low))
    }

    #[inline(always)]
    fn prefetch(_source: *const u8) {}

    #[inline(always)]
    fn low_by_low(self, other: Self) -> Self {
        Self(multiply_words(halves(self.0)[0], halves(other.0)[0]))
    }

    #[inline(always)]
    fn low_by_high(self, other: Self) -> Self {
        Self(multiply_words(halves(self.0)[0], halves(other.0)[1]))
    }

    #[inline(always)]
    fn high_by_high(self, other: Self) -> Self {
        Self(multiply_words(halves(self.0)[1], halves(other.0)[1]))
    }

    #[inline(always)]
    fn swap(self) -> Self {
        Self(self.0.rotate_left(64))
    }

    #[inline(always)]
    fn beside(self, other: Self) -> Self {
        Self((other.0 >> 64 << 64) | u128::from(halves(self.0)[0]))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    #[inline(always)]
    fn xor3(self, other: Self, third: Self) -> Self {
        Self(self.0 ^ other.0 ^ third.0)
    }

    #[inline(always)]
    fn reduce(product: Product<Self>) -> Self {
        Self(generic::reduce_numbers(product.low.0, product.middle.0, product.high.0))
    }

    #[inline(always)]
    fn fold(self) -> u128 {
        self.0
    }
}

/// The low and the high 64 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each half is meant to be cut off")]
const fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

/// Every fifth bit, from bit 0.
const FIFTH: u128 = {
    let mut bits = 0;
    let mut at = 0;
    while at < u128::BITS {
        bits |= 1 << at;
        at += 5;
    }
    bits
};

/// The product of polynomials over GF(2), by integer multiplications with holes.
///
/// Each factor is cut into five, which have only every fifth bit, so at most 13 of them. Where two
/// of those are multiplied as integers, at most 13 ones meet in a place, and 13 needs four bits of
/// the five that lie between the places: no carry reaches a neighbour, and the lowest of the
/// five is the sum over GF(2).
#[inline(always)]
const fn multiply_words(a: u64, b: u64) -> u128 {
    let a = every_fifth(a);
    let b = every_fifth(b);
    let mut product = 0;
    let mut phase = 0;
    while phase < 5 {
        let mut sum = 0;
        let mut i = 0;
        while i < 5 {
            // Bit i of one and bit j of the other meet at i + j, which is `phase` modulo 5.
            sum ^= a[i] as u128 * b[(phase + 5 - i) % 5] as u128;
            i += 1;
        }
        product |= sum & (FIFTH << phase);
        phase += 1;
    }
    product
}

/// The bits at places 0, 1, 2, 3 and 4 modulo 5.
#[inline(always)]
const fn every_fifth(word: u64) -> [u64; 5] {
    const MASK: u64 = halves(FIFTH)[0];
    [word & MASK, word & (MASK << 1), word & (MASK << 2), word & (MASK << 3), word & (MASK << 4)]
}
