//! The audit log of a vault, a gateway's or a site's: what is written to it, read from it, proved
//! of it, and how others keep it honest.

mod export;
mod key;
mod query;
mod restores;
mod verify;
mod witnesses;

pub use export::{AuditExport, AuditFormat};
pub use query::{AuditLine, AuditQuery};
pub use verify::{AuditCheck, AuditReport, verify_audit_file};
pub(crate) use witnesses::{Meeting, checkpoint_line_of};

use crate::Vault;
use crate::failure::{Class, Failure};
use serde::Serialize;
use warifu_catalog::{
    AuditEntry, AuditHead, Catalog, CatalogError, CheckpointRow, Compared, Event, Register, Shown,
};
use warifu_core::{IndividualId, LinkId, ObjectId};

/// Who acts where no gateway asks: whoever works at this vault.
pub(crate) const OPERATOR: &str = "operator";

/// Objects that one entry names at most: as many as a consent may.
const OBJECTS_MAX: usize = 1024;

/// What an entry says: who, whose, what, and with which result. What does not apply is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Told {
    /// The requester, or [`OPERATOR`].
    pub(crate) who: String,
    /// The number of the user that the operator works as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) individual: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    /// Where there are several of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) objects: Option<Vec<String>>,
    /// Bytes of the object, the second not included; none: up to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ranges: Option<Vec<(u64, Option<u64>)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) purpose: Option<String>,
    /// `done`, `begun`, `released`, `refused` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) card: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What else people should read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Told {
    /// What the operator does here.
    pub(crate) fn operator() -> Self {
        let user = Some(rustix::process::getuid().as_raw());
        Self { who: OPERATOR.to_owned(), user, ..Self::default() }
    }

    pub(crate) fn individual(mut self, individual: impl ToString) -> Self {
        self.individual = Some(individual.to_string());
        self
    }

    pub(crate) fn object(mut self, object: impl ToString) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// The objects that it is about, as many as an entry has room for.
    pub(crate) fn objects(mut self, mut objects: Vec<String>) -> Self {
        if objects.len() > OBJECTS_MAX {
            let left = objects.len() - OBJECTS_MAX;
            objects.truncate(OBJECTS_MAX);
            self.note = Some(format!("and {left} objects more"));
        }
        match objects.len() {
            0 => {}
            1 => self.object = objects.pop(),
            _ => self.objects = Some(objects),
        }
        self
    }

    pub(crate) fn result(mut self, result: &'static str) -> Self {
        self.result = Some(result);
        self
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub(crate) fn site(mut self, site: impl ToString) -> Self {
        self.site = Some(site.to_string());
        self
    }

    pub(crate) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// As a log takes it.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| unwritable().because(error))
    }
}

/// The log can't be written, so nothing is done that it would have to tell.
pub(crate) fn unwritable() -> Failure {
    Failure::new(
        Class::Audit,
        "audit-unwritable",
        "the audit log can't be written, so nothing is released",
    )
    .next(
        "make the vault's file system writable again and see that it has room (`df DIR`); what \
         only reads goes on meanwhile",
    )
}

/// The log of either kind of vault.
pub(crate) enum Log<'a> {
    Gateway(&'a Catalog),
    Site(Register),
}

impl Log<'_> {
    pub(crate) fn append(&self, event: &Event<'_>) -> Result<AuditHead, CatalogError> {
        match self {
            Self::Gateway(log) => log.append_audit(event.kind, event.json, event.at_unix_s),
            Self::Site(log) => log.append_audit(event),
        }
    }

    fn entries(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, CatalogError> {
        match self {
            Self::Gateway(log) => log.audit(from, limit),
            Self::Site(log) => log.audit(from, limit),
        }
    }

    fn head(&self) -> Result<AuditHead, CatalogError> {
        match self {
            Self::Gateway(log) => log.audit_head(),
            Self::Site(log) => log.audit_head(),
        }
    }

    fn verify(&self) -> Result<AuditHead, CatalogError> {
        match self {
            Self::Gateway(log) => log.verify_audit(),
            Self::Site(log) => log.verify_audit(),
        }
    }

    fn compare(&self, once: &AuditHead) -> Result<Compared, CatalogError> {
        match self {
            Self::Gateway(log) => log.compare_audit(once),
            Self::Site(log) => log.compare_audit(once),
        }
    }

    fn keep_checkpoint(&self, shown: &CheckpointRow, now: u64) -> Result<Shown, CatalogError> {
        match self {
            Self::Gateway(log) => log.keep_checkpoint(shown, now),
            Self::Site(log) => log.keep_checkpoint(shown, now),
        }
    }

    fn checkpoints(&self, link: Option<LinkId>) -> Result<Vec<CheckpointRow>, CatalogError> {
        match self {
            Self::Gateway(log) => log.checkpoints(link),
            Self::Site(log) => log.checkpoints(link),
        }
    }
}

impl Vault {
    /// The audit log of this vault.
    pub(crate) fn log(&self) -> Result<Log<'_>, Failure> {
        match &self.catalog {
            Some(catalog) => Ok(Log::Gateway(catalog)),
            None => Ok(Log::Site(self.register()?)),
        }
    }

    /// Notes what is about to happen: durably, before this returns. Where it can't be noted it must
    /// not happen.
    pub(crate) fn note(&self, kind: &str, told: &Told) -> Result<(), Failure> {
        self.log_event(kind, told).map_err(|error| match error.class() {
            Class::Audit => error,
            _ => unwritable().because(error),
        })
    }

    /// As [`note`](Self::note), with the log's own failure: for what releases nothing.
    pub(crate) fn log_event(&self, kind: &str, told: &Told) -> Result<(), Failure> {
        let json = told.json()?;
        let event = Event { kind, json: &json, at_unix_s: self.now_unix_s() };
        self.log()?.append(&event)?;
        Ok(())
    }

    /// Notes that an object is about to be listed.
    pub(crate) fn log_backup(
        &self,
        individual: &IndividualId,
        object: &ObjectId,
    ) -> Result<(), Failure> {
        let told = Told::operator().individual(individual).object(object);
        self.log_event("backup", &told.result("done"))
    }
}
