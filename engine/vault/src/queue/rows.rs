//! What is told of queued backups: where they stand, what they need, and when it is their turn.

use super::entry::in_order;
use super::{Entry, Held, unusable};
use crate::failure::Failure;
use crate::jobs::JobRow;
use crate::report::time;
use crate::{Source, Vault};
use serde::Serialize;
use std::path::Path;
use warifu_core::plan::{PlanRequest, Queue, need, plan};
use warifu_core::{Channel, ObjectId, Role};

/// Entries of which it is told when they fit.
const TIMED_MAX: usize = 1_000;

/// Where a queued backup stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedRow {
    /// Its place among those that wait, by the policy of this vault, counted from 1; `null` where
    /// it is held back.
    pub position: Option<usize>,
    /// Key of links that it takes, both directions, its restore included.
    pub needed_key_bytes: u64,
    /// Why it does not fit now; `null` where it does.
    pub shortfall: Option<String>,
    /// Seconds until it fits by the forecast, those before it served first; 0: now; `null`: not at
    /// the rates at which key arrives, or not told.
    pub fits_in_seconds: Option<u64>,
    /// Why it is held back: by a failure, or by the operator.
    pub held_because: Option<String>,
}

impl Vault {
    /// The entries of the queue that have not begun, in the order in which they are served; those
    /// that are held back last.
    pub(crate) fn queued_rows(&self) -> Result<Vec<JobRow>, Failure> {
        let entries = self.waiters().list().map_err(unusable)?;
        let intents = self.catalog()?.intents()?;
        let is_begun =
            |entry: &Entry| intents.iter().any(|intent| entry.objects.contains(&intent.object));
        let entries: Vec<Entry> = entries.into_iter().filter(|entry| !is_begun(entry)).collect();
        let mut places = in_order(self.config.batch.order, &entries);
        places.sort_by_key(|&at| entries[at].held.is_some());
        let (candidates, random_bytes) = (self.candidates_unasked()?, self.random_unplanned()?);
        let rates = self.rates()?;
        let mut turns = Queue::new(&candidates, random_bytes, &rates).by(self.choice()?).of_many();
        let sites = self.catalog()?.sites()?;
        let mut rows = Vec::new();
        for (place, at) in places.into_iter().enumerate() {
            let entry = &entries[at];
            let mut row = QueuedRow {
                position: entry.held.is_none().then_some(place + 1),
                needed_key_bytes: 0,
                shortfall: None,
                fits_in_seconds: None,
                held_because: entry.held.as_ref().map(told),
            };
            if let Some(planned) = self.planned_for(&sites, entry) {
                let request = planned.as_planned(entry);
                let asked = PlanRequest { candidates: &candidates, random_bytes, ..request };
                let of_share = need(asked.threshold, asked.geometry, Role::Computed, Channel::Otp);
                row.needed_key_bytes = (of_share.to_site_bytes + of_share.from_site_bytes)
                    .saturating_mul(asked.threshold.n() as u64);
                if entry.held.is_none() && place < TIMED_MAX {
                    row.fits_in_seconds = turns.next(&asked).seconds;
                    let refusal = plan(&asked).err().map(|refusal| refusal.to_string());
                    let behind = || "what those before it need is set aside".to_owned();
                    row.shortfall = match row.fits_in_seconds {
                        Some(0) => None,
                        _ => Some(refusal.unwrap_or_else(behind)),
                    };
                }
            }
            rows.push(job_row(entry, row));
        }
        Ok(rows)
    }

    /// The queued backups whose ID begins so, begun or not.
    pub(crate) fn queued_as(&self, prefix: &str) -> Result<Vec<ObjectId>, Failure> {
        let entries = self.waiters().list().map_err(unusable)?;
        let ids = entries.iter().map(|entry| entry.ticket.id);
        Ok(ids.filter(|id| id.to_string().starts_with(prefix)).collect())
    }
}

fn told(held: &Held) -> String {
    match held {
        Held::Paused => "paused".to_owned(),
        Held::Failed { code, what } => format!("{what} [{code}]"),
    }
}

fn job_row(entry: &Entry, row: QueuedRow) -> JobRow {
    let request = &entry.ticket.request;
    let length = |path: &Path| std::fs::metadata(path).ok().map(|found| found.len());
    let total_bytes = match &request.source {
        Source::File(path) => length(path),
        Source::Stdin { .. } => None,
    };
    JobRow {
        object: entry.ticket.id.to_string(),
        individual: request.individual.to_string(),
        began: time(entry.ticket.queued_unix_s),
        state: match &entry.held {
            None => "queued",
            Some(Held::Paused) => "paused",
            Some(Held::Failed { .. }) => "failed",
        },
        pid: 0,
        k: request.threshold.k_byte(),
        n: request.threshold.n_byte(),
        planned_key_bytes: 0,
        planned_random_bytes: 0,
        resumable: true,
        sites: Vec::new(),
        source: Some(entry.ticket.path()),
        done_bytes: Some(0),
        total_bytes,
        generation: None,
        queue: Some(row),
    }
}
