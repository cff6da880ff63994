//! Backups that are not complete: those that run, and those that were interrupted.

use crate::Vault;
use crate::failure::{Class, Failure};
use crate::find::only;
use crate::report::time;
use serde::Serialize;
use warifu_catalog::{CatalogError, Intent, ObjectPrefix};
use warifu_core::ObjectId;

/// A row of `jobs list`.
#[derive(Debug, Clone, Serialize)]
pub struct JobRow {
    /// The object that would be made.
    pub object: String,
    /// Whose it is.
    pub individual: String,
    /// When it began.
    pub began: String,
    /// `running`, or `interrupted` where its process is gone.
    pub state: &'static str,
    /// Process that works on it, or did.
    pub pid: u32,
    /// Shares needed.
    pub k: u8,
    /// Shares to be made.
    pub n: u8,
    /// Sites where parts of it may lie.
    pub sites: Vec<String>,
    /// Bytes to be protected, at most.
    pub total_bytes: Option<u64>,
    /// Key of links that is kept for it, both directions, its restore included.
    pub planned_key_bytes: u64,
    /// Key of the `random` pool that is kept for it.
    pub planned_random_bytes: u64,
    /// Bytes known to be done; `null` where that is not recorded.
    pub done_bytes: Option<u64>,
    /// What it reads; `null` where that is not recorded.
    pub source: Option<String>,
}

impl Vault {
    /// All backups that are not complete, the oldest first.
    ///
    /// # Errors
    /// Where the catalog or key store fails, or this is a site's vault.
    pub fn jobs(&self) -> Result<Vec<JobRow>, Failure> {
        let intents = self.catalog()?.intents()?;
        intents.iter().map(|intent| self.job_row(intent)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// Where no such backup is open.
    pub fn job(&self, object: &ObjectId) -> Result<JobRow, Failure> {
        self.job_row(&self.intent(object)?)
    }

    /// The unfinished backup whose object's ID begins so.
    ///
    /// # Errors
    /// Where none or several begin so.
    pub fn resolve_job(&self, prefix: &ObjectPrefix) -> Result<ObjectId, Failure> {
        only(prefix, self.catalog()?.resolve_intent(prefix)?)
    }

    /// Clears an interrupted backup away: what it left at its sites, and the key kept for it. Where
    /// at least k sites have it whole it is completed and listed, as nothing that could be rebuilt
    /// is removed so. Answers whether that happened.
    ///
    /// # Errors
    /// Where its process still runs, a site can't be asked, or no such backup is open.
    pub fn cancel_job(&self, object: &ObjectId) -> Result<bool, Failure> {
        let intent = self.intent(object)?;
        if self.keys.is_live(intent.holder.incarnation)? {
            let what = format!("process {} is at work on {object}", intent.holder.pid);
            return Err(Failure::new(Class::Busy, "job-running", what)
                .next("end that process first: SIGINT or SIGTERM makes it clear up itself"));
        }
        self.settle(&intent)?;
        match self.catalog()?.object(object) {
            Ok(_) => Ok(true),
            Err(CatalogError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn intent(&self, object: &ObjectId) -> Result<Intent, Failure> {
        let found = self.catalog()?.intents()?.into_iter().find(|intent| intent.object == *object);
        found.ok_or_else(|| {
            let what = format!("there is no unfinished backup {object}");
            Failure::new(Class::NotFound, "job-unknown", what).next("see `warifu jobs list`")
        })
    }

    fn job_row(&self, intent: &Intent) -> Result<JobRow, Failure> {
        let planned = self.catalog()?.planned_of(&intent.object)?;
        let is_live = self.keys.is_live(intent.holder.incarnation)?;
        Ok(JobRow {
            object: intent.object.to_string(),
            individual: intent.individual.to_string(),
            began: time(intent.created_unix_s),
            state: if is_live { "running" } else { "interrupted" },
            pid: intent.holder.pid,
            k: intent.threshold.k_byte(),
            n: intent.threshold.n_byte(),
            sites: intent.shares.iter().map(|(_, site, _)| site.to_string()).collect(),
            total_bytes: Some(planned.payload_bytes),
            planned_key_bytes: planned
                .key
                .to_site_bytes
                .saturating_add(planned.key.from_site_bytes),
            planned_random_bytes: intent.random_bytes,
            done_bytes: None,
            source: None,
        })
    }
}
