//! The one operation behind split, join, repair and one-time pad.

use crate::generic::{COLUMNS_MAX, checked_len};
use crate::isa::Level;
use crate::{Isa, Matrix, scalar};

#[cfg(target_arch = "x86_64")]
use crate::x86_64::{avx2, avx512, avx512bw};

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
        Level::Avx512Bw => unsafe { avx512bw::dot(matrix, targets, sources) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::dot(matrix, targets, sources) },
    }
}

/// Where the bytes of a target are wanted next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// Soon, by this CPU: they go through its caches, as all writes do.
    Cached,
    /// Later, or by a device: they go past the caches, which is much faster where the streams are
    /// larger than those, and slower by half where the CPU hashes or sends a target next. Targets
    /// have to lie alike to a cache line for it; it is only a wish.
    Streamed,
}

/// `targets = matrix * sources` over GF(2^8), as [`dot`] to targets of zeros: what they hold before
/// is neither read nor kept.
///
/// # Panics
/// If there is not one target for each row of the matrix and one source for each column, or if
/// they are not all equally long.
pub fn dot_into(
    isa: Isa,
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    write: Write,
) {
    if isa.level() == Level::Scalar || matrix.columns() > COLUMNS_MAX {
        checked_len(matrix, targets, sources);
        targets.iter_mut().for_each(|target| target.fill(0));
        return dot(isa, matrix, targets, sources);
    }
    let streamed = write == Write::Streamed;
    match isa.level() {
        Level::Scalar => {}
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where detection found its features.
        Level::Avx2 => unsafe { avx2::dot_into(matrix, targets, sources, streamed) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512Bw => unsafe { avx512bw::dot_into(matrix, targets, sources, streamed) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::dot_into(matrix, targets, sources, streamed) },
    }
}
