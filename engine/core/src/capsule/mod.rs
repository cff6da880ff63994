//! The capsule: all that `k` sites need to rebuild a lost catalog, itself shared (k, n) and kept
//! with each share.
//!
//! It is one string of parts, the head and one verdict for each share, each with a code of its own
//! that finds any alteration made without knowing it. So a part can be fetched and recovered alone.

mod amd;
mod head;
mod recover;
mod subsets;
mod verdict;

pub use amd::{Damaged, decode_part};
pub use head::{BINDING_BYTES_MAX, CapsuleHead, LABEL_BYTES_MAX, ShareEntry};
pub use recover::{Recovered, RecoveredCapsule, recover_capsule, recover_part};
pub use verdict::Verdict;

use crate::format::{FormatError, Writer};
use crate::share_file::{CapsuleShape, part_bytes};
use crate::sharing::SharingError;
use warifu_buffers::Block;
use warifu_kernels::Isa;

/// How many k-subsets of the shares a recovery tries before it gives up.
pub const SUBSETS_MAX: usize = 10_000;

/// Why a capsule can't be made or recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapsuleError {
    /// Fewer shares than the scheme needs.
    #[error("{needed} shares of the capsule are needed, got {got}")]
    TooFew {
        /// The k of the object.
        needed: usize,
        /// How many were given.
        got: usize,
    },
    /// Shares of one part are equally long.
    #[error("the shares of the capsule differ in length, or have one that no capsule has")]
    Lengths,
    /// The x-coordinates are not those of shares.
    #[error("the shares of the capsule can't be joined")]
    Sharing(#[from] SharingError),
    /// No subset that was tried joins to a part whose code holds.
    #[error("no {needed} of {got} shares of the capsule agree ({tried} subsets tried)")]
    NoSubset {
        /// The k of the object.
        needed: usize,
        /// How many shares were given.
        got: usize,
        /// How many subsets were tried.
        tried: usize,
    },
    /// The content of a part is not what it must be.
    #[error("the capsule can't be read")]
    Format(#[from] FormatError),
    /// The head and the verdicts, or the shape that sites state, contradict each other.
    #[error("the parts of the capsule contradict each other: {what}")]
    Contradiction {
        /// What does not agree.
        what: &'static str,
    },
}

/// Head and verdicts of one object, which fit each other.
pub struct Capsule {
    head: CapsuleHead,
    verdicts: Vec<Verdict>,
}

impl Capsule {
    /// The capsule with this head and one verdict for each share, in the head's order.
    ///
    /// # Errors
    /// Where the head breaks a rule of [`CapsuleHead`], or the verdicts don't fit it.
    pub fn new(head: CapsuleHead, verdicts: Vec<Verdict>) -> Result<Self, CapsuleError> {
        head.check()?;
        let contradiction = |what| Err(CapsuleError::Contradiction { what });
        if !verdicts.iter().map(|verdict| verdict.x).eq(head.shares.iter().map(|share| share.x)) {
            return contradiction("verdicts and shares are not the same, in the same order");
        }
        let (chunks, masks) = (head.geometry.chunk_count(), head.masks as usize);
        let fits = |v: &Verdict| v.hashes.len() as u64 == chunks && v.masks.len() == masks;
        if !verdicts.iter().all(fits) {
            return contradiction("a verdict has not one hash for each chunk and mask");
        }
        Ok(Self { head, verdicts })
    }

    /// The head.
    #[must_use]
    pub const fn head(&self) -> &CapsuleHead {
        &self.head
    }

    /// One verdict for each share, in the head's order.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Head and verdicts, given away.
    #[must_use]
    pub fn into_parts(self) -> (CapsuleHead, Vec<Verdict>) {
        (self.head, self.verdicts)
    }

    /// The lengths of its parts.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the head was checked when the capsule was made")]
    pub fn shape(&self) -> CapsuleShape {
        let head_bytes = part_bytes(self.head.content_bytes()) as u32;
        CapsuleShape::new(head_bytes, &self.head.geometry, self.head.masks).expect("a checked head")
    }

    /// The capsule's bytes, to be shared. `amd_points` are uniform, drawn for this writing and
    /// kept nowhere: one for the head, then one for each verdict.
    ///
    /// # Panics
    /// Where there are not `n + 1` points.
    #[must_use]
    pub fn encode(&self, isa: Isa, amd_points: &[[u8; 16]]) -> Block {
        assert_eq!(amd_points.len(), self.verdicts.len() + 1, "one point for each part");
        let shape = self.shape();
        let capsule_bytes = shape.capsule_bytes(self.head.threshold);
        let mut capsule = Block::zeroed(capsule_bytes as usize);
        let (head, verdicts) = capsule.split_at_mut(shape.head_bytes as usize);
        self.head.write(&mut Writer::new(head));
        amd::protect(isa, head, &amd_points[0]);
        let parts = verdicts.chunks_exact_mut(shape.verdict_bytes as usize);
        for ((part, verdict), point) in parts.zip(&self.verdicts).zip(&amd_points[1..]) {
            verdict.write(&mut Writer::new(part));
            amd::protect(isa, part, point);
        }
        capsule
    }
}
