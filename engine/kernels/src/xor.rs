//! Addition of one stream to another.

use crate::isa::Level;
use crate::{Isa, scalar};

#[cfg(target_arch = "x86_64")]
use crate::x86_64::{avx2, avx512, avx512bw};

/// `target ^= source`, at any alignment.
///
/// # Panics
/// If they are not equally long.
pub fn xor(isa: Isa, target: &mut [u8], source: &[u8]) {
    match isa.level() {
        Level::Scalar => scalar::xor(target, source),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where detection found its features.
        Level::Avx2 => unsafe { avx2::xor(target, source) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512Bw => unsafe { avx512bw::xor(target, source) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::xor(target, source) },
    }
}
