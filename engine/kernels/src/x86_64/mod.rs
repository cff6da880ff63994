//! The vectors of x86-64. This is the only place for its intrinsics.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod avx512bw;
mod zmm;

/// The low and the high 64 bits of a block, as the intrinsics want them.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each half is meant to be cut off")]
const fn halves(block: u128) -> [i64; 2] {
    [block as i64, (block >> 64) as i64]
}

/// The block of such halves.
#[inline(always)]
const fn joined([low, high]: [i64; 2]) -> u128 {
    low.cast_unsigned() as u128 | (high.cast_unsigned() as u128) << 64
}
