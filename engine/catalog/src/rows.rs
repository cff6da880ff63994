//! Values on their way into rows and out of them. What comes out is judged like any foreign byte.

use crate::error::CatalogError;
use rusqlite::{OptionalExtension, Params, Row, Transaction};
use std::str::FromStr;

/// A count as the engine stores it.
pub(crate) fn stored(count: u64) -> Result<i64, CatalogError> {
    i64::try_from(count).map_err(|_| CatalogError::Invalid {
        what: "a number",
        why: format!("{count} passes 2^63"),
    })
}

/// A number that can't be negative.
pub(crate) fn count(row: &Row<'_>, column: &str) -> Result<u64, CatalogError> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| odd(column))
}

/// A number of fewer bits.
pub(crate) fn narrow<T: TryFrom<i64>>(row: &Row<'_>, column: &str) -> Result<T, CatalogError> {
    T::try_from(row.get::<_, i64>(column)?).map_err(|_| odd(column))
}

/// A value stored as a byte that `decode` knows.
pub(crate) fn byte<T>(
    row: &Row<'_>,
    column: &str,
    decode: impl Fn(u8) -> Option<T>,
) -> Result<T, CatalogError> {
    decode(narrow(row, column)?).ok_or_else(|| odd(column))
}

/// A name.
pub(crate) fn name<T: FromStr>(row: &Row<'_>, column: &str) -> Result<T, CatalogError> {
    row.get_ref(column)?.as_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| odd(column))
}

/// Exactly `N` bytes.
pub(crate) fn array<const N: usize>(row: &Row<'_>, column: &str) -> Result<[u8; N], CatalogError> {
    optional_array(row, column)?.ok_or_else(|| odd(column))
}

/// Exactly `N` bytes, or nothing.
pub(crate) fn optional_array<const N: usize>(
    row: &Row<'_>,
    column: &str,
) -> Result<Option<[u8; N]>, CatalogError> {
    let bytes = row.get_ref(column)?.as_blob_or_null().map_err(|_| odd(column))?;
    bytes.map(|bytes| bytes.try_into().map_err(|_| odd(column))).transpose()
}

/// Whether a query finds anything.
pub(crate) fn any(
    transaction: &Transaction<'_>,
    query: &str,
    parameters: impl Params,
) -> Result<bool, CatalogError> {
    Ok(transaction.query_row(query, parameters, |_| Ok(())).optional()?.is_some())
}

/// What is said of a column that holds what no release writes.
pub(crate) fn odd(column: &str) -> CatalogError {
    CatalogError::damaged(format!("column {column} holds what no release writes"))
}
