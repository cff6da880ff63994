//! Streams in registers of 64 bytes, whichever way the CPU multiplies there.

use crate::generic::{Pass, Vector};
use std::arch::x86_64::{
    __m512i, __mmask64, _MM_HINT_T1, _mm_prefetch, _mm_sfence, _mm512_loadu_si512,
    _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_setzero_si512, _mm512_storeu_si512,
    _mm512_stream_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};
use std::marker::PhantomData;

/// A way to multiply bytes of GF(2^8) in 512 bits. Each needs AVX-512 F and BW at least.
pub(super) trait Multiply: Copy {
    /// See [`Vector::Multiplier`].
    type Multiplier: Copy;

    /// See [`Vector::multiplier`].
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn multiplier(coefficient: u8) -> Self::Multiplier;

    /// See [`Vector::mul`].
    ///
    /// # Safety
    /// The CPU has the instruction set of the type.
    unsafe fn product(bytes: __m512i, by: Self::Multiplier) -> __m512i;

    /// See [`Vector::apart`].
    ///
    /// # Safety
    /// Those of [`Pass::run`].
    unsafe fn apart(pass: impl Pass);
}

/// The lowest `len` of 64 places; `len` is below 64.
#[inline(always)]
pub(super) const fn head(len: usize) -> __mmask64 {
    (1 << len) - 1
}

/// 64 bytes, which `M` multiplies: the proof that the CPU has what that needs.
#[derive(Clone, Copy)]
pub(super) struct Bytes<M> {
    bytes: __m512i,
    by: PhantomData<M>,
}

impl<M> Bytes<M> {
    #[inline(always)]
    const fn of(bytes: __m512i) -> Self {
        Self { bytes, by: PhantomData }
    }
}

impl<M: Multiply> Vector for Bytes<M> {
    const BYTES: usize = 64;

    type Multiplier = M::Multiplier;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller has AVX-512 F.
        Self::of(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        Self::of(unsafe { _mm512_loadu_si512(source.cast()) })
    }

    #[inline(always)]
    unsafe fn load_head(source: *const u8, len: usize) -> Self {
        // SAFETY: the caller's promise; bytes that the mask leaves out are not touched.
        Self::of(unsafe { _mm512_maskz_loadu_epi8(head(len), source.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller's promise; the instruction asks for no alignment.
        unsafe { _mm512_storeu_si512(target.cast(), self.bytes) }
    }

    #[inline(always)]
    unsafe fn store_head(self, target: *mut u8, len: usize) {
        // SAFETY: the caller's promise; bytes that the mask leaves out are not touched.
        unsafe { _mm512_mask_storeu_epi8(target.cast(), head(len), self.bytes) }
    }

    #[inline(always)]
    unsafe fn multiplier(coefficient: u8) -> M::Multiplier {
        // SAFETY: the caller's promise.
        unsafe { M::multiplier(coefficient) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` is the proof of AVX-512 F.
        Self::of(unsafe { _mm512_xor_si512(self.bytes, other.bytes) })
    }

    #[inline(always)]
    unsafe fn apart(pass: impl Pass) {
        // SAFETY: the caller's promise.
        unsafe { M::apart(pass) }
    }

    #[inline(always)]
    fn mul(self, by: M::Multiplier) -> Self {
        // SAFETY: `self` is the proof of all that `M` needs.
        Self::of(unsafe { M::product(self.bytes, by) })
    }

    #[inline(always)]
    fn xor3(self, second: Self, third: Self) -> Self {
        // SAFETY: `self` is the proof of AVX-512 F.
        Self::of(unsafe {
            _mm512_ternarylogic_epi64::<0x96>(self.bytes, second.bytes, third.bytes)
        })
    }

    #[inline(always)]
    unsafe fn stream(self, target: *mut u8) {
        // SAFETY: the caller's promise of an aligned target.
        unsafe { _mm512_stream_si512(target.cast(), self.bytes) }
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
