//! AVX2 with PCLMULQDQ, and no GFNI.

use crate::generic::{self, Blocks, Pass, Powers, Product, Vector};
use crate::{Matrix, gf256};
use std::arch::x86_64::{
    __m128i, __m256i, _MM_HINT_T0, _MM_HINT_T1, _mm_blend_epi16, _mm_clmulepi64_si128,
    _mm_cvtsi128_si64, _mm_loadl_epi64, _mm_loadu_si128, _mm_prefetch, _mm_set_epi64x, _mm_sfence,
    _mm_shuffle_epi32, _mm_storeu_si128, _mm_unpackhi_epi64, _mm_unpacklo_epi64, _mm_xor_si128,
    _mm256_and_si256, _mm256_loadu_si256, _mm256_set_epi64x, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_si256,
    _mm256_stream_si256, _mm256_xor_si256,
};
use zeroize::Zeroize;

/// See [`crate::dot`].
#[target_feature(enable = "avx2,pclmulqdq")]
pub(crate) fn dot(matrix: &Matrix, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    // SAFETY: whoever may call this function has AVX2.
    unsafe { generic::dot::<Nibbles>(matrix, targets, sources) }
}

/// See [`crate::dot_into`].
#[target_feature(enable = "avx2,pclmulqdq")]
pub(crate) fn dot_into(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    streamed: bool,
) {
    // SAFETY: whoever may call this function has AVX2.
    unsafe { generic::dot_into::<Nibbles>(matrix, targets, sources, streamed) }
}

/// See [`crate::xor`].
#[target_feature(enable = "avx2,pclmulqdq")]
pub(crate) fn xor(target: &mut [u8], source: &[u8]) {
    generic::xor(target, source);
}

/// See [`crate::PolyHash`].
#[target_feature(enable = "avx2,pclmulqdq")]
pub(crate) fn powers(table: &mut Powers, r: u128) {
    // SAFETY: whoever may call this function has PCLMULQDQ.
    unsafe { generic::powers::<Lane>(table, r) }
}

/// See [`crate::PolyHash`].
#[target_feature(enable = "avx2,pclmulqdq")]
pub(crate) fn poly(table: &Powers, parts: &[&[u8]], sum: u128) -> u128 {
    // SAFETY: whoever may call this function has PCLMULQDQ.
    unsafe { generic::poly::<Lane>(table, parts, sum) }
}

/// 32 bytes, multiplied a nibble at a time by `vpshufb`, whose tables stay in registers and depend
/// on the public coefficient alone.
#[derive(Clone, Copy)]
struct Nibbles(__m256i);

impl Vector for Nibbles {
    const BYTES: usize = 32;

    /// The products of all low and of all high nibbles, in both halves of the register.
    type Multiplier = [__m256i; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller has AVX2.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        Self(unsafe { _mm256_loadu_si256(source.cast()) })
    }

    #[inline(always)]
    unsafe fn load_head(source: *const u8, len: usize) -> Self {
        let mut bytes = [0; Self::BYTES];
        // SAFETY: the caller's promise.
        bytes[..len].copy_from_slice(unsafe { std::slice::from_raw_parts(source, len) });
        // SAFETY: the array is as long as a vector.
        let vector = unsafe { Self::load(bytes.as_ptr()) };
        bytes.zeroize();
        vector
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        unsafe { _mm256_storeu_si256(target.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_head(self, target: *mut u8, len: usize) {
        let mut bytes = [0; Self::BYTES];
        // SAFETY: the array is as long as a vector.
        unsafe { self.store(bytes.as_mut_ptr()) };
        // SAFETY: the caller's promise, and that no one else borrows a target.
        unsafe { std::slice::from_raw_parts_mut(target, len) }.copy_from_slice(&bytes[..len]);
        bytes.zeroize();
    }

    #[inline(always)]
    unsafe fn multiplier(coefficient: u8) -> [__m256i; 2] {
        let [low, high] =
            gf256::nibble_products(coefficient).map(|halves| halves.map(u64::cast_signed));
        // SAFETY: the caller has AVX2.
        let low = unsafe { _mm256_set_epi64x(low[1], low[0], low[1], low[0]) };
        // SAFETY: the caller has AVX2.
        let high = unsafe { _mm256_set_epi64x(high[1], high[0], high[1], high[0]) };
        [low, high]
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of AVX2.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[target_feature(enable = "avx2,pclmulqdq")]
    #[inline(never)]
    unsafe fn apart(pass: impl Pass) {
        // SAFETY: the caller's promise.
        unsafe { pass.run() }
    }

    #[inline(always)]
    fn mul(self, by: [__m256i; 2]) -> Self {
        // SAFETY: `self` is the proof of AVX2, here and below.
        let nibble = unsafe { _mm256_set1_epi8(0x0F) };
        // SAFETY: as above.
        let low = unsafe { _mm256_and_si256(self.0, nibble) };
        // SAFETY: as above.
        let high = unsafe { _mm256_srli_epi16::<4>(self.0) };
        // SAFETY: as above.
        let high = unsafe { _mm256_and_si256(high, nibble) };
        // SAFETY: as above.
        let low = unsafe { _mm256_shuffle_epi8(by[0], low) };
        // SAFETY: as above.
        let high = unsafe { _mm256_shuffle_epi8(by[1], high) };
        Self(low).xor(Self(high))
    }

    #[inline(always)]
    unsafe fn stream(self, target: *mut u8) {
        // SAFETY: the caller's promise of an aligned target.
        unsafe { _mm256_stream_si256(target.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn settle() {
        // SAFETY: every x86-64 has SSE.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    unsafe fn prefetch(source: *const u8) {
        // SAFETY: every x86-64 has SSE; the instruction touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(source.cast()) }
    }
}

/// One block of 128 bits.
#[derive(Clone, Copy)]
struct Lane(__m128i);

impl Blocks for Lane {
    const LANES: usize = 1;
    const GROUP: usize = 32;

    #[inline(always)]
    unsafe fn one(block: u128) -> Self {
        let [low, high] = super::halves(block);
        // SAFETY: the caller has PCLMULQDQ, and so SSE2.
        Self(unsafe { _mm_set_epi64x(high, low) })
    }

    #[inline(always)]
    unsafe fn every(block: u128) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::one(block) }
    }

    #[inline(always)]
    unsafe fn load_numbers(source: *const u128) -> Self {
        // SAFETY: the caller's promise; x86-64 keeps a number's bytes in the order of a block.
        Self(unsafe { _mm_loadu_si128(source.cast()) })
    }

    #[inline(always)]
    unsafe fn store_numbers(self, target: *mut u128) {
        // SAFETY: the caller's promise; x86-64 keeps a number's bytes in the order of a block.
        unsafe { _mm_storeu_si128(target.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        Self(unsafe { _mm_loadu_si128(source.cast()) })
    }

    #[inline(always)]
    unsafe fn load_head(source: *const u8, len: usize) -> Self {
        let mut bytes = [0; 16];
        // SAFETY: the caller's promise.
        bytes[..len].copy_from_slice(unsafe { std::slice::from_raw_parts(source, len) });
        // SAFETY: the array is as long as a block.
        let lane = unsafe { Self::load(bytes.as_ptr()) };
        bytes.zeroize();
        lane
    }

    #[inline(always)]
    unsafe fn load_low_twice(source: *const u8) -> Self {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        let low = unsafe { _mm_loadl_epi64(source.cast()) };
        // SAFETY: the caller has PCLMULQDQ, and so SSE2.
        Self(unsafe { _mm_unpacklo_epi64(low, low) })
    }

    #[inline(always)]
    fn prefetch(source: *const u8) {
        // SAFETY: every x86-64 has it, and it asks nothing of the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
    }

    #[inline(always)]
    fn low_by_low(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of PCLMULQDQ.
        Self(unsafe { _mm_clmulepi64_si128::<0x00>(self.0, other.0) })
    }

    #[inline(always)]
    fn low_by_high(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of PCLMULQDQ.
        Self(unsafe { _mm_clmulepi64_si128::<0x10>(self.0, other.0) })
    }

    #[inline(always)]
    fn high_by_high(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of PCLMULQDQ.
        Self(unsafe { _mm_clmulepi64_si128::<0x11>(self.0, other.0) })
    }

    #[inline(always)]
    fn swap(self) -> Self {
        // SAFETY: `self` is the proof of PCLMULQDQ, and so of SSE2.
        Self(unsafe { _mm_shuffle_epi32::<0b01_00_11_10>(self.0) })
    }

    #[inline(always)]
    fn beside(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of AVX2, and so of SSE4.1.
        Self(unsafe { _mm_blend_epi16::<0b1111_0000>(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of PCLMULQDQ, and so of SSE2.
        Self(unsafe { _mm_xor_si128(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(self, other: Self, third: Self) -> Self {
        self.xor(other).xor(third)
    }

    #[inline(always)]
    fn reduce(product: Product<Self>) -> Self {
        // SAFETY: a vector of the product is the proof of the instruction set.
        unsafe { generic::reduce_by_products(product) }
    }

    #[inline(always)]
    fn fold(self) -> u128 {
        // SAFETY: `self` is the proof of PCLMULQDQ, and so of SSE2.
        let low = unsafe { _mm_cvtsi128_si64(self.0) };
        // SAFETY: as above.
        let swapped = unsafe { _mm_unpackhi_epi64(self.0, self.0) };
        // SAFETY: as above.
        let high = unsafe { _mm_cvtsi128_si64(swapped) };
        super::joined([low, high])
    }
}
