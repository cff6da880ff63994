//! `audit show`: entries that fit.

use super::Log;
use crate::Vault;
use crate::failure::Failure;
use crate::report::time;
use serde::Serialize;
use serde_json::Value;
use warifu_catalog::{AuditEntry, CatalogError};
use warifu_core::{IndividualId, ObjectId};

/// Entries read at a time.
const PAGE: u32 = 1024;

/// Which entries are wanted: those to which all that is given applies.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Of this individual.
    pub individual: Option<IndividualId>,
    /// Of this object.
    pub object: Option<ObjectId>,
    /// Of this kind, such as `restore`.
    pub kind: Option<String>,
    /// With this result, such as `refused`.
    pub result: Option<String>,
    /// Not before this time, in seconds since 1970 UTC.
    pub since_unix_s: Option<u64>,
    /// Before this time, in seconds since 1970 UTC.
    pub before_unix_s: Option<u64>,
    /// At most so many, the latest.
    pub limit: Option<usize>,
}

/// One entry.
#[derive(Debug, Clone, Serialize)]
pub struct AuditLine {
    /// Its place in the log, from 0.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// What kind.
    pub kind: String,
    /// What it says.
    pub event: Value,
}

impl AuditLine {
    /// A text field of what it says.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.event.get(name)?.as_str()
    }

    /// Whether an object is the one, or one of those, that it tells of.
    fn is_about(&self, object: &ObjectId) -> bool {
        let object = object.to_string();
        let objects = self.event.get("objects").and_then(Value::as_array);
        self.field("object") == Some(&object)
            || objects.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(&object)))
    }

    fn read(entry: &AuditEntry) -> Option<(u64, Self)> {
        let Value::Object(mut fields) = serde_json::from_str(&entry.line).ok()? else {
            return None;
        };
        let at_unix_s = fields.get("at")?.as_u64()?;
        let Some(Value::String(kind)) = fields.remove("kind") else { return None };
        let event = fields.remove("event")?;
        Some((at_unix_s, Self { sequence: entry.sequence, at: time(at_unix_s), kind, event }))
    }
}

impl AuditQuery {
    fn fits(&self, at_unix_s: u64, line: &AuditLine) -> bool {
        let is = |name: &str, wanted: Option<String>| {
            wanted.is_none_or(|wanted| line.field(name) == Some(&wanted))
        };
        self.kind.as_ref().is_none_or(|kind| *kind == line.kind)
            && self.since_unix_s.is_none_or(|since| at_unix_s >= since)
            && self.before_unix_s.is_none_or(|before| at_unix_s < before)
            && is("individual", self.individual.as_ref().map(ToString::to_string))
            && self.object.is_none_or(|object| line.is_about(&object))
            && is("result", self.result.clone())
    }
}

impl Vault {
    /// Entries of the audit log that fit, the oldest first. They are not verified by that.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub fn audit_lines(&self, query: &AuditQuery) -> Result<Vec<AuditLine>, Failure> {
        let mut found = std::collections::VecDeque::new();
        each(&self.log()?, |entry| -> Result<(), CatalogError> {
            let odd = || CatalogError::AuditBroken {
                sequence: entry.sequence,
                why: "its line is none of an audit log",
            };
            let (at_unix_s, line) = AuditLine::read(entry).ok_or_else(odd)?;
            if query.fits(at_unix_s, &line) {
                found.push_back(line);
            }
            if query.limit.is_some_and(|limit| found.len() > limit) {
                found.pop_front();
            }
            Ok(())
        })?;
        Ok(found.into())
    }
}

/// Goes through all entries.
pub(super) fn each<E: From<CatalogError>>(
    log: &Log<'_>,
    mut take: impl FnMut(&AuditEntry) -> Result<(), E>,
) -> Result<(), E> {
    let mut from = 0;
    loop {
        let page = log.entries(from, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.sequence + 1;
        page.iter().try_for_each(&mut take)?;
    }
}
