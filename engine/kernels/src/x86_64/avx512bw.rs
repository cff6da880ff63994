//! AVX-512 (F, BW and VL) without GFNI, as in Intel's cores from Skylake to Cascade Lake. Blocks of
//! 128 bits are multiplied as [`super::avx2`] does: these have no wider product.

use crate::generic::{self, Pass};
use crate::x86_64::zmm::{Bytes, Multiply};
use crate::{Matrix, gf256};
use std::arch::x86_64::{
    __m512i, _mm_set_epi64x, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_set1_epi8,
    _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_xor_si512,
};

/// See [`crate::dot`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) fn dot(matrix: &Matrix, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    // SAFETY: whoever may call this function has all that `ByNibbles` needs.
    unsafe { generic::dot::<Bytes<ByNibbles>>(matrix, targets, sources) }
}

/// See [`crate::dot_into`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) fn dot_into(
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    streamed: bool,
) {
    // SAFETY: whoever may call this function has all that `ByNibbles` needs.
    unsafe { generic::dot_into::<Bytes<ByNibbles>>(matrix, targets, sources, streamed) }
}

/// See [`crate::xor`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) fn xor(target: &mut [u8], source: &[u8]) {
    generic::xor(target, source);
}

/// A nibble at a time by `vpshufb`, whose tables stay in registers and depend on the public
/// coefficient alone.
#[derive(Clone, Copy)]
struct ByNibbles;

impl Multiply for ByNibbles {
    /// The products of all low and of all high nibbles, in each quarter of the register.
    type Multiplier = [__m512i; 2];

    #[inline(always)]
    unsafe fn multiplier(coefficient: u8) -> [__m512i; 2] {
        gf256::nibble_products(coefficient).map(|halves| {
            let [low, high] = halves.map(u64::cast_signed);
            // SAFETY: the caller has AVX-512 F, and so SSE2.
            let quarter = unsafe { _mm_set_epi64x(high, low) };
            // SAFETY: the caller has AVX-512 F.
            unsafe { _mm512_broadcast_i32x4(quarter) }
        })
    }

    #[inline(always)]
    unsafe fn product(bytes: __m512i, by: [__m512i; 2]) -> __m512i {
        // SAFETY: the caller has AVX-512 F and BW, here and below.
        let nibble = unsafe { _mm512_set1_epi8(0x0F) };
        // SAFETY: as above.
        let low = unsafe { _mm512_and_si512(bytes, nibble) };
        // SAFETY: as above.
        let high = unsafe { _mm512_srli_epi16::<4>(bytes) };
        // SAFETY: as above.
        let high = unsafe { _mm512_and_si512(high, nibble) };
        // SAFETY: as above.
        let low = unsafe { _mm512_shuffle_epi8(by[0], low) };
        // SAFETY: as above.
        let high = unsafe { _mm512_shuffle_epi8(by[1], high) };
        // SAFETY: as above.
        unsafe { _mm512_xor_si512(low, high) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline(never)]
    unsafe fn apart(pass: impl Pass) {
        // SAFETY: the caller's promise.
        unsafe { pass.run() }
    }
}
