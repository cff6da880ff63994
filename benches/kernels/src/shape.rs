//! The shapes that are measured, and whether what they made is right.

use crate::roof::Ports;
use warifu_kernels::{Isa, Matrix, Write, dot, dot_into};

/// A matrix and what becomes of its targets.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its name in tables.
    pub name: String,
    /// The matrix.
    pub matrix: Matrix,
    /// Whether targets are added to.
    pub adds: bool,
    /// Products of one column of vectors.
    products: usize,
    /// Sums of two or three of one column of vectors.
    sums: usize,
}

impl Shape {
    /// All `n` shares of a secret and `k - 1` random streams.
    ///
    /// # Panics
    /// If there is no such scheme.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the panic that is promised")]
    pub fn split(k: usize, n: usize) -> Self {
        let matrix = Matrix::shares(n, k).expect("a scheme");
        // The first share is a sum; then for each pair, and for a row alone at the end, the sources
        // but the first two take a factor each, and the odd half takes x. (A row alone at the end
        // is given one product more, by 1, which no roof has to count.)
        let groups = n / 2;
        let products = groups * (k - 1);
        let halves = usize::from(k > 2) + usize::from(k > 3);
        let sums = 1 + groups * halves + (n - 1);
        Self { name: format!("split {k} of {n}"), matrix, adds: false, products, sums }
    }

    /// The `n - k + 1` shares that are computed where the other `k - 1` are pads and a computed one
    /// is added to its link's pad.
    ///
    /// # Panics
    /// If there is no such scheme.
    #[must_use]
    pub fn split_on_pads(k: usize, n: usize) -> Self {
        let points: Vec<u8> = (0..).take(k).collect();
        let xs: Vec<u8> = (0..).skip(k).take(n - k + 1).collect();
        Self::dense(format!("split-on-pads {k} of {n}"), &points, &xs, true)
    }

    /// The secret from `k` shares.
    ///
    /// # Panics
    /// If there is no such scheme.
    #[must_use]
    pub fn join(k: usize) -> Self {
        let points: Vec<u8> = (1..).take(k).collect();
        Self::dense(format!("join {k}"), &points, &[0], false)
    }

    #[expect(clippy::expect_used, reason = "the panic that is promised")]
    fn dense(name: String, points: &[u8], xs: &[u8], adds: bool) -> Self {
        let weights = xs.iter().flat_map(|x| (0..points.len()).map(|i| weight(points, i, *x)));
        let (rows, columns) = (xs.len(), points.len());
        let matrix = Matrix::new(rows, columns, weights.collect()).expect("a scheme");
        let terms = columns + usize::from(adds);
        Self { name, matrix, adds, products: rows * columns, sums: rows * (terms / 2) }
    }

    /// How many streams it reads and writes, each counted once.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.matrix.rows() + self.matrix.columns()
    }

    /// What a column of it needs of the core's units.
    #[must_use]
    pub fn ports(&self) -> Ports {
        let (rows, columns) = (self.matrix.rows(), self.matrix.columns());
        let loads = columns + if self.adds { rows } else { 0 };
        Ports { loads, stores: rows, products: self.products, sums: self.sums }
    }

    /// Does it.
    pub fn run(&self, isa: Isa, write: Write, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
        match self.adds {
            true => dot(isa, &self.matrix, targets, sources),
            false => dot_into(isa, &self.matrix, targets, sources, write),
        }
    }
}

/// Does the shape once and compares the first, the middle and the last 64 KiB with the scalar twin.
///
/// # Panics
/// If they differ, or there is no scalar twin.
#[expect(clippy::expect_used, reason = "every machine has the scalar twin")]
pub fn check(shape: &Shape, isa: Isa, write: Write, targets: &mut [&mut [u8]], sources: &[&[u8]]) {
    const PART_BYTES: usize = 1 << 16;
    let twin = Isa::named("scalar").expect("every machine has it");
    let len = sources.first().map_or(0, |source| source.len());
    let mut before: Vec<Vec<u8>> = Vec::new();
    let parts = [0, len / 2, len.saturating_sub(PART_BYTES)].map(|at| at..len.min(at + PART_BYTES));
    for part in &parts {
        before.extend(targets.iter().map(|target| target[part.clone()].to_vec()));
    }
    shape.run(isa, write, targets, sources);
    for (part, before) in parts.iter().zip(before.chunks_mut(targets.len())) {
        let mut expected: Vec<&mut [u8]> = before.iter_mut().map(Vec::as_mut_slice).collect();
        let from: Vec<&[u8]> = sources.iter().map(|source| &source[part.clone()]).collect();
        shape.run(twin, write, &mut expected, &from);
        for (expected, target) in expected.iter().zip(&*targets) {
            assert!(**expected == target[part.clone()], "{} at {part:?}", shape.name);
        }
    }
}

/// The Lagrange weight of `points[i]` at `x`.
fn weight(points: &[u8], i: usize, x: u8) -> u8 {
    use warifu_kernels::gf256::{inv, mul};
    let others = points.iter().filter(|point| **point != points[i]);
    others.fold(1, |weight, point| mul(weight, mul(x ^ point, inv(points[i] ^ point))))
}
