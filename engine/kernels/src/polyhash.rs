//! The polynomial hash over GF(2^128) for tags, at-rest hashes and receipts.

use crate::generic::POWERS;
use crate::isa::Level;
use crate::{Isa, scalar};
use zeroize::{Zeroize, ZeroizeOnDrop};

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

/// r^1, r^2, ...: as many as the ISA uses, the others zero. Aligned as vectors like it.
#[derive(Zeroize)]
#[repr(align(64))]
struct Powers([u128; POWERS]);

impl PolyHash {
    /// The hash under `r`, a block of GF(2^128). Costs less than a microsecond.
    #[must_use]
    pub fn new(isa: Isa, r: &[u8; 16]) -> Self {
        let mut hash = Self { powers: Powers([0; POWERS]), isa };
        let powers = &mut hash.powers.0;
        let r = u128::from_le_bytes(*r);
        match isa.level() {
            Level::Scalar => scalar::powers(powers, r),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level is only made where detection found its features.
            Level::Avx2 => unsafe { avx2::powers(powers, r) },
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
        let powers = &self.powers.0;
        let sum = match self.isa.level() {
            Level::Scalar => scalar::poly(powers, parts),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level is only made where detection found its features.
            Level::Avx2 => unsafe { avx2::poly(powers, parts) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::poly(powers, parts) },
        };
        sum.to_le_bytes()
    }
}
