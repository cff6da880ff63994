//! Shamir sharing as small public matrices over GF(2^8): split, join, and what shares say about
//! another x-coordinate.
//!
//! A matrix row is a row of Lagrange weights. The streams that it is applied to are secret, the
//! weights are not: they depend on x-coordinates alone.

use crate::threshold::{Threshold, XCoord};
use warifu_kernels::{Matrix, PolyHash, gf256};

/// Why no matrix is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// Not as many x-coordinates as the scheme needs.
    #[error("{what}: {needed} x-coordinates are needed, got {got}")]
    Count {
        /// Which list is meant.
        what: &'static str,
        /// How many the scheme has; for a join, the least that any scheme has.
        needed: usize,
        /// How many were given.
        got: usize,
    },
    /// Two shares can't lie at one x-coordinate.
    #[error("the x-coordinate {x} is given twice")]
    Repeated {
        /// The coordinate.
        x: XCoord,
    },
}

/// How the shares of one object are made: which x-coordinates are pads, and the matrix that turns
/// `[secret, pad_1 .. pad_{k-1}]` into the computed shares.
pub struct SplitPlan {
    matrix: Matrix,
}

impl SplitPlan {
    /// The plan for pad shares at `pads` and computed shares at `computed`.
    ///
    /// # Errors
    /// Where there are not `k - 1` pads and `n - k + 1` computed shares, or an x occurs twice.
    pub fn new(
        threshold: Threshold,
        pads: &[XCoord],
        computed: &[XCoord],
    ) -> Result<Self, SharingError> {
        require_count("pad shares", threshold.pads(), pads)?;
        require_count("computed shares", threshold.computed(), computed)?;
        require_distinct(pads.iter().chain(computed).copied())?;
        let points: Vec<u8> = std::iter::once(0).chain(field_elements(pads)).collect();
        Ok(Self { matrix: lagrange(&points, field_elements(computed)) })
    }

    /// One row for each computed share, in the order given; columns are the secret, then the pads
    /// in the order given.
    #[must_use]
    pub const fn matrix(&self) -> &Matrix {
        &self.matrix
    }
}

/// The row that joins shares at `xs`, in this order, to the secret. `xs` must be exactly the `k`
/// of the object: fewer join to a value that says nothing about the secret.
///
/// # Errors
/// Where `xs` has fewer than two coordinates, or one twice.
pub fn join_matrix(xs: &[XCoord]) -> Result<Matrix, SharingError> {
    weights(xs, std::iter::once(0))
}

/// One row for each coordinate of `at`: what the share there must be, given the `k` shares at
/// `xs`. Repair makes a lost share with it, and recovery finds the share that lies.
///
/// # Errors
/// Where `xs` has fewer than two coordinates, or one twice, or where `at` is empty.
pub fn evaluation_matrix(xs: &[XCoord], at: &[XCoord]) -> Result<Matrix, SharingError> {
    if at.is_empty() {
        return Err(SharingError::Count { what: "evaluation", needed: 1, got: 0 });
    }
    weights(xs, field_elements(at))
}

/// The at-rest hash of a share chunk: `poly(r, length || blind || content)` for the `r` that `hash`
/// was made with. `content` beyond its length counts as zero, so that hashes are linear in
/// (length block, blind block, content).
///
/// # Panics
/// Never for content of at most 2^20 bytes; longer content is no chunk.
#[must_use]
pub fn chunk_hash(hash: &PolyHash, content: &[u8], blind: &[u8; 16]) -> [u8; 16] {
    assert!(content.len() <= crate::geometry::CHUNK_BYTES as usize, "content exceeds a chunk");
    let length = (content.len() as u128).to_le_bytes();
    hash.poly(&[&length, blind, content])
}

fn weights(
    xs: &[XCoord],
    targets: impl ExactSizeIterator<Item = u8>,
) -> Result<Matrix, SharingError> {
    if xs.len() < 2 {
        return Err(SharingError::Count { what: "join", needed: 2, got: xs.len() });
    }
    require_distinct(xs.iter().copied())?;
    let points: Vec<u8> = field_elements(xs).collect();
    Ok(lagrange(&points, targets))
}

fn require_count(what: &'static str, needed: usize, xs: &[XCoord]) -> Result<(), SharingError> {
    match xs.len() == needed {
        true => Ok(()),
        false => Err(SharingError::Count { what, needed, got: xs.len() }),
    }
}

/// Refuses coordinates of which one occurs twice.
pub(crate) fn require_distinct(xs: impl Iterator<Item = XCoord>) -> Result<(), SharingError> {
    let mut seen = [false; 256];
    for x in xs {
        if std::mem::replace(&mut seen[usize::from(x.get())], true) {
            return Err(SharingError::Repeated { x });
        }
    }
    Ok(())
}

fn field_elements(xs: &[XCoord]) -> impl ExactSizeIterator<Item = u8> + '_ {
    xs.iter().map(|x| x.get())
}

/// The value at each of `targets` of the polynomial through `points`, as weights of its values
/// there. All `points` are distinct.
#[expect(clippy::expect_used, reason = "the cells are made for exactly these dimensions")]
fn lagrange(points: &[u8], targets: impl ExactSizeIterator<Item = u8>) -> Matrix {
    let rows = targets.len();
    let cells = targets.flat_map(|at| (0..points.len()).map(move |i| weight(points, i, at)));
    Matrix::new(rows, points.len(), cells.collect()).expect("rows times columns cells")
}

/// The Lagrange basis polynomial of `points[i]`, at `at`.
fn weight(points: &[u8], i: usize, at: u8) -> u8 {
    let others = points.iter().enumerate().filter(|(j, _)| *j != i);
    let (above, below) = others.fold((1, 1), |(above, below), (_, &point)| {
        (gf256::mul(above, at ^ point), gf256::mul(below, points[i] ^ point))
    });
    gf256::mul(above, gf256::inv(below))
}
