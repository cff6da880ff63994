//! The one operation behind split, join, repair and one-time pad.

use crate::isa::Level;
use crate::{Isa, Matrix, scalar};

#[cfg(target_arch = "x86_64")]
use crate::x86_64::{avx2, avx512};

/// `targets ^= matrix * sources` over GF(2^8), byte position by byte position: to target i is
/// added the sum over j of `matrix.coefficient(i, j)` times source j. All streams are equally long,
/// at any alignment.
///
/// # Panics
/// If there is not one target for each row of the matrix and one source for each column, or if
/// they are not all equally long.
pub fn dot(isa: Isa, matrix: &Matrix, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    match isa.level() {
        Level::Scalar => scalar::dot(matrix, targets, sources),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where detection found its features.
        Level::Avx2 => unsafe { avx2::dot(matrix, targets, sources) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::dot(matrix, targets, sources) },
    }
}
