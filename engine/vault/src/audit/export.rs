//! `audit export`: the whole log for other eyes.

use super::query::{AuditQuery, each};
use crate::Vault;
use crate::failure::{Class, Failure};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use warifu_catalog::{AuditHead, CatalogError, Exported, checkpoint_line, hex};

/// The fields of an event that have a column of their own.
const COLUMNS: [&str; 16] = [
    "who",
    "user",
    "individual",
    "object",
    "objects",
    "ranges",
    "purpose",
    "result",
    "code",
    "card",
    "consent",
    "session",
    "keys",
    "site",
    "reason",
    "note",
];

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFormat {
    /// JSON lines as they are chained, and a signed last one: can be verified without the vault.
    JsonLines,
    /// A table for people. It proves nothing.
    Csv,
}

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct AuditExport {
    /// Version of this document.
    pub v: u32,
    /// `audit-export`.
    pub r#type: &'static str,
    /// Entries written.
    pub entries: u64,
    /// The chain over them, in hexadecimal digits.
    pub chain: String,
    /// The key that signed it, in hexadecimal digits.
    pub public_key: String,
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("the log can't be read")]
    Log(#[from] CatalogError),
    #[error("the file can't be written")]
    File(#[from] io::Error),
}

impl From<Unwritten> for Failure {
    fn from(error: Unwritten) -> Self {
        match error {
            Unwritten::Log(error) => error.into(),
            Unwritten::File(error) => {
                Self::new(Class::Other, "audit-export", "the export can't be written")
                    .because(error)
            }
        }
    }
}

impl Vault {
    /// Writes the whole log, verified, to `target`. On failure what was written is not whole.
    ///
    /// # Errors
    /// Where the log is broken, or it or the target can't be read or written.
    pub fn export_audit(
        &self,
        format: AuditFormat,
        target: &mut dyn Write,
    ) -> Result<AuditExport, Failure> {
        let key = self.audit_key()?;
        let head = match format {
            AuditFormat::JsonLines => {
                let head = self.write_lines(target)?;
                let at_unix_s = self.now_unix_s();
                let signature = key.sign_head(&head, at_unix_s);
                let public_key = key.public_key();
                let last = Exported { head, at_unix_s, public_key, signature };
                writeln!(target, "{}", checkpoint_line(&last)).map_err(Unwritten::from)?;
                head
            }
            AuditFormat::Csv => self.write_table(target)?,
        };
        target.flush().map_err(Unwritten::from)?;
        Ok(AuditExport {
            v: 1,
            r#type: "audit-export",
            entries: head.entries,
            chain: hex(&head.chain),
            public_key: hex(&key.public_key()),
        })
    }

    fn write_lines(&self, target: &mut dyn Write) -> Result<AuditHead, Failure> {
        let log = self.log()?;
        let head = log.verify()?;
        each(&log, |entry| -> Result<(), Unwritten> {
            // What others append meanwhile is not signed below.
            match entry.sequence < head.entries {
                true => Ok(writeln!(target, "{}", entry.line)?),
                false => Ok(()),
            }
        })?;
        Ok(head)
    }

    fn write_table(&self, target: &mut dyn Write) -> Result<AuditHead, Failure> {
        let head = self.log()?.verify()?;
        let unwritten = |error: csv::Error| Unwritten::File(io::Error::other(error));
        let mut table = csv::Writer::from_writer(target);
        let columns = ["sequence", "at", "kind"].into_iter().chain(COLUMNS);
        table.write_record(columns).map_err(unwritten)?;
        for line in self.audit_lines(&AuditQuery::default())? {
            let fields = COLUMNS.iter().map(|column| cell(line.event.get(column)));
            let first = [line.sequence.to_string(), line.at.clone(), inert(line.kind.clone())];
            table.write_record(first.into_iter().chain(fields)).map_err(unwritten)?;
        }
        table.flush().map_err(Unwritten::from)?;
        Ok(head)
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => inert(text.clone()),
        Some(other) => other.to_string(),
    }
}

/// A text that no spreadsheet takes for a formula.
fn inert(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_texts_and_never_formulas() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx"] {
            assert_eq!(inert(text.to_owned()), format!("'{text}"));
        }
        assert_eq!(inert("a=1".to_owned()), "a=1");
        assert_eq!(cell(Some(&serde_json::json!([[0, 5]]))), "[[0,5]]");
        assert_eq!(cell(None), "");
    }
}
