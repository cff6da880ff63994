//! `dot` that hashes its streams on the way, so that each is visited once.

use crate::generic::{LANES_MAX, Powers, Work};
use crate::isa::Level;
use crate::{Isa, Matrix, PolyHash, scalar};
use zeroize::{Zeroize, ZeroizeOnDrop};

#[cfg(target_arch = "x86_64")]
use crate::x86_64::{avx2, avx512};

/// A stream that [`weave`] meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// That source, by its column.
    Source(usize),
    /// What is added to the target of that row: the share in the clear, where the target began as
    /// a pad. It is hashed and kept nowhere.
    Product(usize),
    /// The target of that row as it is in the end.
    Target(usize),
}

/// The polynomial hash of one stream, while [`weave`] computes it. Zeroised on drop, and neither
/// cloned nor printed.
#[derive(ZeroizeOnDrop)]
pub struct StreamHash<'a> {
    #[zeroize(skip)]
    key: &'a PolyHash,
    #[zeroize(skip)]
    of: Stream,
    /// What was summed up in each lane of a register.
    lanes: [u128; LANES_MAX],
}

impl<'a> StreamHash<'a> {
    /// A hash of the stream `of` under `key`.
    #[must_use]
    pub const fn new(key: &'a PolyHash, of: Stream) -> Self {
        Self { key, of, lanes: [0; LANES_MAX] }
    }

    /// What [`PolyHash::poly`] gives for the stream, once it was woven. What belongs in front of
    /// it is added by [`PolyHash::poly_before`].
    #[must_use]
    pub fn sum(&self) -> [u8; 16] {
        self.lanes.iter().fold(0, |sum, lane| sum ^ lane).to_le_bytes()
    }

    pub(crate) const fn of(&self) -> Stream {
        self.of
    }

    /// The powers, and the sums of the lanes.
    pub(crate) const fn parts(&mut self) -> (&Powers, &mut [u128; LANES_MAX]) {
        (self.key.powers(), &mut self.lanes)
    }
}

/// `targets ^= matrix * sources` as by [`dot`](crate::dot), and the hash of each stream that is
/// named, of any number of streams and of one stream under any number of keys.
///
/// # Panics
/// As `dot`. If a hash names a stream that is not there, or its key is of another [`Isa`].
pub fn weave(
    isa: Isa,
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    hashes: &mut [StreamHash<'_>],
) {
    run(isa, matrix, targets, sources, hashes, true);
}

/// `targets = matrix * sources`, and the hashes, as by [`weave`] to targets of zeros: what they
/// hold before is neither read nor kept.
///
/// # Panics
/// As [`weave`].
pub fn weave_into(
    isa: Isa,
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    hashes: &mut [StreamHash<'_>],
) {
    run(isa, matrix, targets, sources, hashes, false);
}

fn run(
    isa: Isa,
    matrix: &Matrix,
    targets: &mut [&mut [u8]],
    sources: &[&[u8]],
    hashes: &mut [StreamHash<'_>],
    adds: bool,
) {
    assert_eq!(targets.len(), matrix.rows(), "one target for each row");
    assert_eq!(sources.len(), matrix.columns(), "one source for each column");
    let len = targets.first().map_or(0, |target| target.len());
    assert!(targets.iter().all(|target| target.len() == len), "targets of one length");
    assert!(sources.iter().all(|source| source.len() == len), "sources as long as targets");
    for hash in &mut *hashes {
        assert!(hash.key.isa() == isa, "keys of the instruction set in use");
        let (stream, count) = match hash.of {
            Stream::Source(i) => (i, sources.len()),
            Stream::Product(i) | Stream::Target(i) => (i, targets.len()),
        };
        assert!(stream < count, "stream {stream} of {count}");
        hash.lanes.zeroize();
    }
    let work = Work { matrix, targets, sources, len, adds };
    match isa.level() {
        Level::Scalar => scalar::weave(work, hashes),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where detection found its features.
        Level::Avx2 => unsafe { avx2::weave(work, hashes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::weave(work, hashes) },
    }
}
