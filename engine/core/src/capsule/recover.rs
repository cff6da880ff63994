//! From shares of a capsule, some of which may lie, to its content and the names of those that do.
//!
//! Content is right with overwhelming probability as soon as one subset's code holds. *Who* lies is
//! less certain: liars who know which subset will be tried can add errors that cancel in it, and
//! then the honest rest seems to lie. So the polynomial on which most shares lie is sought. Two
//! polynomials with the same secret share at most `k - 2` shares, hence of `m` shares the one with
//! more than `(m + k - 2) / 2` is alone; a smaller majority is reported as disputed.

use super::amd::decode_part;
use super::subsets::Subsets;
use super::{Capsule, CapsuleError, CapsuleHead, SUBSETS_MAX, Verdict};
use crate::format::all_zero;
use crate::share_file::CapsuleShape;
use crate::sharing::{SharingError, evaluation_matrix, join_matrix, require_distinct};
use crate::threshold::{Threshold, XCoord};
use std::ops::Range;
use warifu_buffers::Block;
use warifu_kernels::{Isa, Write, dot, dot_into};

/// A part, and who didn't contribute to it.
pub struct Recovered {
    /// The content, zero-filled to a whole number of blocks, without the code.
    pub content: Block,
    /// The shares that do not lie on the polynomial of most, ascending.
    pub outliers: Vec<XCoord>,
    /// Whether so many shares lie that the honest and the lying can't be told apart for certain.
    /// The content is right all the same.
    pub disputed: bool,
}

/// A whole capsule, and who didn't contribute to it.
pub struct RecoveredCapsule {
    /// The capsule.
    pub capsule: Capsule,
    /// The shares that are outliers in any part, ascending.
    pub outliers: Vec<XCoord>,
    /// Whether the outliers of any part are not certain: see [`Recovered::disputed`].
    pub disputed: bool,
}

/// Joins the shares of one part, equally long, trying k-subsets until the part's code holds, at
/// most [`SUBSETS_MAX`]; all of them where they are no more.
///
/// # Errors
/// Where there are fewer than `k` shares, two at one x, shares of different lengths, or no subset
/// that joins to a valid part.
pub fn recover_part(
    isa: Isa,
    k: usize,
    shares: &[(XCoord, &[u8])],
) -> Result<Recovered, CapsuleError> {
    let search = Search::new(isa, k, shares)?;
    let mut known: Vec<Vec<bool>> = Vec::new();
    let mut most: Option<Agreement> = None;
    let mut tried = 0;
    for subset in Subsets::new(shares.len(), k, SUBSETS_MAX) {
        if known.iter().any(|members| subset.iter().all(|&share| members[share])) {
            continue;
        }
        tried += 1;
        let Some(agreement) = search.agreement(&subset)? else { continue };
        known.push(agreement.members.clone());
        if most.as_ref().is_none_or(|most| agreement.count() > most.count()) {
            most = Some(agreement);
        }
        if most.as_ref().is_some_and(|most| most.is_alone(k)) {
            break;
        }
    }
    let most = most.ok_or(CapsuleError::NoSubset { needed: k, got: shares.len(), tried })?;
    Ok(Recovered {
        disputed: !most.is_alone(k),
        outliers: search.outliers(&most.members),
        content: most.content,
    })
}

/// Joins whole shares of a capsule, part by part. A share of the wrong length is an outlier.
///
/// Where no catalog says what `threshold` and `shape` are, sites do, and may lie. Group the sites
/// by all that their headers say; of the groups with at least `k` members take the one with the
/// largest `k`: fewer than the true `k` liars can't make one with as large a `k`.
///
/// # Errors
/// As [`recover_part`], and where what is recovered can't be read, or contradicts `threshold`,
/// `shape` or itself.
pub fn recover_capsule(
    isa: Isa,
    threshold: Threshold,
    shape: CapsuleShape,
    shares: &[(XCoord, &[u8])],
) -> Result<RecoveredCapsule, CapsuleError> {
    let capsule_bytes = shape.capsule_bytes(threshold);
    let (fitting, others): (Vec<_>, Vec<_>) =
        shares.iter().copied().partition(|(_, share)| share.len() as u64 == capsule_bytes);
    let mut parts = Parts {
        isa,
        k: threshold.k(),
        shares: fitting,
        outliers: others.iter().map(|(x, _)| *x).collect(),
        disputed: false,
    };
    let (head_bytes, verdict_bytes) = (shape.head_bytes as usize, shape.verdict_bytes as usize);
    let head = CapsuleHead::decode(&parts.recover(0..head_bytes)?)?;
    if head.threshold != threshold {
        return Err(CapsuleError::Contradiction { what: "the threshold" });
    }
    let verdicts = (0..threshold.n())
        .map(|index| {
            let start = head_bytes + index * verdict_bytes;
            let content = parts.recover(start..start + verdict_bytes)?;
            Ok(Verdict::decode(&content, &head.geometry, head.masks)?)
        })
        .collect::<Result<Vec<_>, CapsuleError>>()?;
    let capsule = Capsule::new(head, verdicts)?;
    if capsule.shape() != shape {
        return Err(CapsuleError::Contradiction { what: "the lengths of the parts" });
    }
    let Parts { mut outliers, disputed, .. } = parts;
    outliers.sort_unstable();
    Ok(RecoveredCapsule { capsule, outliers, disputed })
}

/// The parts of one capsule, recovered one after the other.
struct Parts<'a> {
    isa: Isa,
    k: usize,
    shares: Vec<(XCoord, &'a [u8])>,
    outliers: Vec<XCoord>,
    disputed: bool,
}

impl Parts<'_> {
    /// The content of the part at `range`. Known outliers are asked last.
    fn recover(&mut self, range: Range<usize>) -> Result<Block, CapsuleError> {
        self.shares.sort_by_key(|(x, _)| self.outliers.contains(x));
        let parts: Vec<_> =
            self.shares.iter().map(|(x, share)| (*x, &share[range.clone()])).collect();
        let recovered = recover_part(self.isa, self.k, &parts)?;
        self.disputed |= recovered.disputed;
        let fresh = recovered.outliers.into_iter().filter(|x| !self.outliers.contains(x));
        self.outliers.extend(fresh.collect::<Vec<_>>());
        Ok(recovered.content)
    }
}

/// What a subset whose code holds joins to, and the shares that lie on its polynomial.
struct Agreement {
    content: Block,
    members: Vec<bool>,
}

impl Agreement {
    fn count(&self) -> usize {
        self.members.iter().filter(|member| **member).count()
    }

    /// Whether no other polynomial with this secret can have as many shares on it.
    fn is_alone(&self, k: usize) -> bool {
        2 * self.count() > self.members.len() + k - 2
    }
}

struct Search<'a> {
    isa: Isa,
    shares: &'a [(XCoord, &'a [u8])],
    part_bytes: usize,
}

impl<'a> Search<'a> {
    fn new(isa: Isa, k: usize, shares: &'a [(XCoord, &'a [u8])]) -> Result<Self, CapsuleError> {
        if shares.len() < k.max(2) {
            return Err(CapsuleError::TooFew { needed: k.max(2), got: shares.len() });
        }
        require_distinct(shares.iter().map(|(x, _)| *x))?;
        let part_bytes = shares.first().map_or(0, |(_, share)| share.len());
        match shares.iter().all(|(_, share)| share.len() == part_bytes) {
            true => Ok(Self { isa, shares, part_bytes }),
            false => Err(CapsuleError::Lengths),
        }
    }

    /// What `subset` joins to and which shares lie on its polynomial, if its code holds.
    fn agreement(&self, subset: &[usize]) -> Result<Option<Agreement>, SharingError> {
        let (xs, sources): (Vec<XCoord>, Vec<&[u8]>) =
            subset.iter().map(|&index| self.shares[index]).unzip();
        let mut part = Block::zeroed(self.part_bytes);
        dot_into(self.isa, &join_matrix(&xs)?, &mut [&mut part[..]], &sources, Write::Cached);
        let Ok(content_bytes) = decode_part(self.isa, &part).map(<[u8]>::len) else {
            return Ok(None);
        };
        part.truncate(content_bytes);
        let mut difference = Block::zeroed(self.part_bytes);
        let mut members = vec![true; self.shares.len()];
        for (member, (x, share)) in members.iter_mut().zip(self.shares) {
            if !xs.contains(x) {
                difference.copy_from_slice(share);
                let matrix = evaluation_matrix(&xs, &[*x])?;
                dot(self.isa, &matrix, &mut [&mut difference[..]], &sources);
                *member = all_zero(&difference);
            }
        }
        Ok(Some(Agreement { content: part, members }))
    }

    /// The shares that are not among `members`, ascending.
    fn outliers(&self, members: &[bool]) -> Vec<XCoord> {
        let pairs = self.shares.iter().zip(members).filter(|(_, member)| !**member);
        let mut outliers: Vec<_> = pairs.map(|((x, _), _)| *x).collect();
        outliers.sort_unstable();
        outliers
    }
}
