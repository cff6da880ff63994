//! The polynomial hash over GF(2^128) for tags, at-rest hashes and receipts.

use crate::generic::Powers;
use crate::isa::Level;
use crate::{Isa, scalar};
use zeroize::ZeroizeOnDrop;

#[cfg(target_arch = "x86_64")]
use crate::x86_64::{avx2, avx512};

/// The hash under one secret `r`, whose powers lie ready. It is cheap to make, zeroised on drop,
/// and neither cloned nor printed:
///
/// ```compile_fail
/// fn printed(hash: &warifu_kernels::PolyHash) -> String {
///     format!("{hash:?}")
/// }
/// ```
#[derive(ZeroizeOnDrop)]
pub struct PolyHash {
    powers: Powers,
    #[zeroize(skip)]
    isa: Isa,
}

impl PolyHash {
    /// The hash under `r`, a block of GF(2^128). Costs less than a microsecond.
    #[must_use]
    pub fn new(isa: Isa, r: &[u8; 16]) -> Self {
        let mut hash = Self { powers: Powers::zero(), isa };
        let powers = &mut hash.powers;
        let r = u128::from_le_bytes(*r);
        match isa.level() {
            Level::Scalar => scalar::powers(powers, r),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level is only made where detection found its features.
            Level::Avx2 | Level::Avx512Bw => unsafe { avx2::powers(powers, r) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::powers(powers, r) },
        }
        hash
    }

    /// The sum of `m_j * r^(j+1)`, j from 0, over the 16-byte blocks m_j of all `parts` in their
    /// order. Each part is filled with zeros to a whole block; an empty part adds none.
    ///
    /// It is linear in the blocks. Trailing zeros don't change it, so a length has to stand in
    /// front.
    #[must_use]
    pub fn poly(&self, parts: &[&[u8]]) -> [u8; 16] {
        self.poly_before(parts, &[0; 16])
    }

    /// The hash of all blocks of `parts` and, behind them, of what hashed to `rest`.
    #[must_use]
    pub fn poly_before(&self, parts: &[&[u8]], rest: &[u8; 16]) -> [u8; 16] {
        let (powers, rest) = (&self.powers, u128::from_le_bytes(*rest));
        let sum = match self.isa.level() {
            Level::Scalar => scalar::poly(powers, parts, rest),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level is only made where detection found its features.
            Level::Avx2 | Level::Avx512Bw => unsafe { avx2::poly(powers, parts, rest) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::poly(powers, parts, rest) },
        };
        sum.to_le_bytes()
    }
}
