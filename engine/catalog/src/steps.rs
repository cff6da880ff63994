//! How a file of tables comes from an older format to the present one.

use crate::error::CatalogError;
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Takes what is left of `steps`, of which step i leads from format i to format i + 1; a file of
/// the present format stays as it is.
///
/// All of them are one transaction: a process that dies within leaves the file as it was.
pub(crate) fn take(connection: &Connection, steps: &[&str]) -> Result<(), CatalogError> {
    let supported = steps.len() as i64;
    if format(connection)? == supported {
        return Ok(());
    }
    let writing = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let found = format(&writing)?;
    if found > supported {
        return Err(CatalogError::Incompatible { found, supported });
    }
    let done =
        usize::try_from(found).map_err(|_| CatalogError::damaged("its format is negative"))?;
    for step in &steps[done..] {
        writing.execute_batch(step)?;
    }
    writing.pragma_update(None, "user_version", supported)?;
    Ok(writing.commit()?)
}

/// The format of a file; 0 where it has none.
pub(crate) fn format(connection: &Connection) -> Result<i64, CatalogError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
