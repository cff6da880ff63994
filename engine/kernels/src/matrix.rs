//! The public matrix of a [`dot`](crate::dot).

/// A matrix over GF(2^8), at least one by one. Its coefficients are public values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    coefficients: Vec<u8>,
}

impl Matrix {
    /// A matrix of these coefficients, row after row. `None` if it would have no row or no column,
    /// or if there are not exactly `rows * columns` coefficients.
    #[must_use]
    pub fn new(rows: usize, columns: usize, coefficients: Vec<u8>) -> Option<Self> {
        let fits = rows > 0 && columns > 0 && rows.checked_mul(columns)? == coefficients.len();
        fits.then_some(Self { rows, columns, coefficients })
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
