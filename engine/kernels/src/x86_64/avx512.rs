//! AVX-512 (F, BW and VL) with GFNI and VPCLMULQDQ.

use crate::Matrix;
use crate::generic::{self, Blocks, Pass, Powers, Product};
use crate::x86_64::zmm::{Bytes, Multiply, head};
use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_cvtsi128_si64, _mm_prefetch, _mm_set_epi64x, _mm_unpackhi_epi64,
    _mm_xor_si128, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_xor_si256,
    _mm512_broadcast_i32x4, _mm512_castsi512_si256, _mm512_clmulepi64_epi128,
    _mm512_extracti64x4_epi64, _mm512_gf2p8mul_epi8, _mm512_loadu_si512, _mm512_mask_blend_epi64,
    _mm512_maskz_loadu_epi8, _mm512_set1_epi8, _mm512_shuffle_epi32, _mm512_storeu_si512,
    _mm512_ternarylogic_epi64, _mm512_xor_si512, _mm512_zextsi128_si512,
};

/// See [`crate::dot`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,gfni,vpclmulqdq")]
pub(crate) fn dot(matrix: &Matrix, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    // SAFETY: whoever may call this function has all that `ByGfni` needs.
    unsafe { generic::dot::<Bytes<ByGfni>>(matrix, targets, sources) }
}

/// See [`crate::dot_into`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,gfni,vpclmulqdq")]
pub(crate) fn dot_into(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    streamed: bool,
) {
    // SAFETY: whoever may call this function has all that `ByGfni` needs.
    unsafe { generic::dot_into::<Bytes<ByGfni>>(matrix, targets, sources, streamed) }
}

/// See [`crate::xor`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,gfni,vpclmulqdq")]
pub(crate) fn xor(target: &mut [u8], source: &[u8]) {
    generic::xor(target, source);
}

/// See [`crate::PolyHash`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,gfni,vpclmulqdq")]
pub(crate) fn powers(table: &mut Powers, r: u128) {
    // SAFETY: whoever may call this function has all that `Lanes` needs.
    unsafe { generic::powers::<Lanes>(table, r) }
}

/// See [`crate::PolyHash`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,gfni,vpclmulqdq")]
pub(crate) fn poly(table: &Powers, parts: &[&[u8]], sum: u128) -> u128 {
    // SAFETY: whoever may call this function has all that `Lanes` needs.
    unsafe { generic::poly::<Lanes>(table, parts, sum) }
}

/// The low half of each lane of the 64 bytes at `source`, twice.
///
/// In assembly: of the intrinsics the compiler makes a load that it has already and a shuffle, and
/// shuffles wait for the port that multiplies.
///
/// # Safety
/// `source` is valid for reads of 64 bytes; any alignment will do.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_low_halves_twice(source: *const u8) -> __m512i {
    let lanes: __m512i;
    // SAFETY: the caller's promise; the instruction asks for no alignment.
    unsafe {
        std::arch::asm!(
            "vmovddup {lanes}, zmmword ptr [{source}]",
            lanes = lateout(zmm_reg) lanes,
            source = in(reg) source,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    lanes
}

/// `gf2p8mulb` multiplies in the very field.
#[derive(Clone, Copy)]
struct ByGfni;

impl Multiply for ByGfni {
    /// The coefficient in every byte.
    type Multiplier = __m512i;

    #[inline(always)]
    unsafe fn multiplier(coefficient: u8) -> __m512i {
        // SAFETY: the caller has AVX-512 F.
        unsafe { _mm512_set1_epi8(coefficient.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn product(bytes: __m512i, by: __m512i) -> __m512i {
        // SAFETY: the caller has AVX-512 F and GFNI.
        unsafe { _mm512_gf2p8mul_epi8(bytes, by) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,gfni,vpclmulqdq")]
    #[inline(never)]
    unsafe fn apart(pass: impl Pass) {
        // SAFETY: the caller's promise.
        unsafe { pass.run() }
    }
}

/// Four blocks of 128 bits.
#[derive(Clone, Copy)]
struct Lanes(__m512i);

impl Blocks for Lanes {
    const LANES: usize = 4;
    const GROUP: usize = 64;

    #[inline(always)]
    unsafe fn one(block: u128) -> Self {
        let [low, high] = super::halves(block);
        // SAFETY: the caller has AVX-512 F, and so SSE2.
        let lane = unsafe { _mm_set_epi64x(high, low) };
        // SAFETY: the caller has AVX-512 F.
        Self(unsafe { _mm512_zextsi128_si512(lane) })
    }

    #[inline(always)]
    unsafe fn every(block: u128) -> Self {
        let [low, high] = super::halves(block);
        // SAFETY: the caller has AVX-512 F, and so SSE2.
        let lane = unsafe { _mm_set_epi64x(high, low) };
        // SAFETY: the caller has AVX-512 F.
        Self(unsafe { _mm512_broadcast_i32x4(lane) })
    }

    #[inline(always)]
    unsafe fn load_numbers(source: *const u128) -> Self {
        // SAFETY: the caller's promise; x86-64 keeps a number's bytes in the order of a block.
        Self(unsafe { _mm512_loadu_si512(source.cast()) })
    }

    #[inline(always)]
    unsafe fn store_numbers(self, target: *mut u128) {
        // SAFETY: the caller's promise; x86-64 keeps a number's bytes in the order of a block.
        unsafe { _mm512_storeu_si512(target.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        Self(unsafe { _mm512_loadu_si512(source.cast()) })
    }

    #[inline(always)]
    unsafe fn load_head(source: *const u8, len: usize) -> Self {
        // SAFETY: the caller's promise; bytes that the mask leaves out are not touched.
        Self(unsafe { _mm512_maskz_loadu_epi8(head(len), source.cast()) })
    }

    #[inline(always)]
    unsafe fn load_low_twice(source: *const u8) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { load_low_halves_twice(source) })
    }

    #[inline(always)]
    fn prefetch(source: *const u8) {
        // SAFETY: every x86-64 has it, and it asks nothing of the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
    }

    #[inline(always)]
    fn low_by_low(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of VPCLMULQDQ.
        Self(unsafe { _mm512_clmulepi64_epi128::<0x00>(self.0, other.0) })
    }

    #[inline(always)]
    fn low_by_high(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of VPCLMULQDQ.
        Self(unsafe { _mm512_clmulepi64_epi128::<0x10>(self.0, other.0) })
    }

    #[inline(always)]
    fn high_by_high(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of VPCLMULQDQ.
        Self(unsafe { _mm512_clmulepi64_epi128::<0x11>(self.0, other.0) })
    }

    #[inline(always)]
    fn swap(self) -> Self {
        // SAFETY: `self` is the proof of AVX-512 F.
        Self(unsafe { _mm512_shuffle_epi32::<0b01_00_11_10>(self.0) })
    }

    #[inline(always)]
    fn beside(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of AVX-512 F.
        Self(unsafe { _mm512_mask_blend_epi64(0b1010_1010, self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of AVX-512 F.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(self, other: Self, third: Self) -> Self {
        // SAFETY: `self` is the proof of AVX-512 F.
        Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(self.0, other.0, third.0) })
    }

    #[inline(always)]
    fn reduce(product: Product<Self>) -> Self {
        // SAFETY: a vector of the product is the proof of the instruction set.
        unsafe { generic::reduce_by_products(product) }
    }

    #[inline(always)]
    fn fold(self) -> u128 {
        // SAFETY: `self` is the proof of AVX-512 F and of all that it implies, here and below.
        let upper = unsafe { _mm512_extracti64x4_epi64::<1>(self.0) };
        // SAFETY: as above.
        let lower = unsafe { _mm512_castsi512_si256(self.0) };
        // SAFETY: as above.
        let two = unsafe { _mm256_xor_si256(lower, upper) };
        // SAFETY: as above.
        let upper = unsafe { _mm256_extracti128_si256::<1>(two) };
        // SAFETY: as above.
        let lower = unsafe { _mm256_castsi256_si128(two) };
        // SAFETY: as above.
        let lane = unsafe { _mm_xor_si128(lower, upper) };
        // SAFETY: as above.
        let low = unsafe { _mm_cvtsi128_si64(lane) };
        // SAFETY: as above.
        let swapped = unsafe { _mm_unpackhi_epi64(lane, lane) };
        // SAFETY: as above.
        let high = unsafe { _mm_cvtsi128_si64(swapped) };
        super::joined([low, high])
    }
}
