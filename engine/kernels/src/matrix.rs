//! The public matrix of a [`dot`](crate::dot).

use crate::gf256;

/// A matrix over GF(2^8), at least one by one. Its coefficients are public values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    coefficients: Vec<u8>,
    paired: bool,
}

impl Matrix {
    /// A matrix of these coefficients, row after row. `None` if it would have no row or no column,
    /// or if there are not exactly `rows * columns` coefficients.
    #[must_use]
    pub fn new(rows: usize, columns: usize, coefficients: Vec<u8>) -> Option<Self> {
        let fits = rows > 0 && columns > 0 && rows.checked_mul(columns)? == coefficients.len();
        fits.then(|| {
            let paired = paired(columns, &coefficients);
            Self { rows, columns, coefficients, paired }
        })
    }

    /// The shares at x = 1 to `rows` of `columns` sources, the secret first, as a matrix that is
    /// cheap to apply: row x is 1, x, y, x y, y^2, x y^2, ... with y = x^2 + x, and y is the same
    /// at x + 1 where x is even.
    ///
    /// Column j has degree j in x, so any `columns` rows determine all sources, and if the sources
    /// after the first are uniformly random, fewer rows say nothing about it: these are Shamir's
    /// shares, which rows of Lagrange weights join. `None` without a row or a column, and
    /// for more than 255 rows.
    #[must_use]
    pub fn shares(rows: usize, columns: usize) -> Option<Self> {
        let mut coefficients = Vec::new();
        for x in 1..=u8::try_from(rows).ok()? {
            let y = gf256::mul(x, x) ^ x;
            let mut even = 1;
            for column in 0..columns {
                coefficients.push(if column % 2 == 0 { even } else { gf256::mul(x, even) });
                even = if column % 2 == 0 { even } else { gf256::mul(y, even) };
            }
        }
        Self::new(rows, columns, coefficients)
    }

    /// Whether the first row is 1, 1, 0, 0, ... and the others come in pairs, the last one perhaps
    /// alone: in each, those at odd places are x times their left neighbours, for the x that stands
    /// in place 1, the first is 1, and the second of a pair has the same at even places and x + 1.
    pub(crate) const fn is_paired(&self) -> bool {
        self.paired
    }

    /// How many rows, which is how many targets.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns, which is how many sources.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// What source `column` is multiplied by on its way to target `row`.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[must_use]
    pub fn coefficient(&self, row: usize, column: usize) -> u8 {
        self.row(row)[column]
    }

    /// The coefficients of row `i`, one for each source.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, i: usize) -> &[u8] {
        assert!(i < self.rows, "row {i} of a matrix of {}", self.rows);
        &self.coefficients[i * self.columns..][..self.columns]
    }
}

/// See [`Matrix::is_paired`].
fn paired(columns: usize, coefficients: &[u8]) -> bool {
    if columns < 2 {
        return false;
    }
    let (first, others) = coefficients.split_at(columns);
    let alike = |row: &[u8], x: u8| {
        row[0] == 1 && row.chunks_exact(2).all(|pair| pair[1] == gf256::mul(x, pair[0]))
    };
    let even = |row: &[u8]| row.iter().step_by(2).copied().collect::<Vec<u8>>();
    first[..2] == [1, 1]
        && first[2..].iter().all(|coefficient| *coefficient == 0)
        && others.chunks(2 * columns).all(|pair| {
            let (low, high) = pair.split_at(columns);
            let x = low[1];
            alike(low, x) && (high.is_empty() || (alike(high, x ^ 1) && even(low) == even(high)))
        })
}
