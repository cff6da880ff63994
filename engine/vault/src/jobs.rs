//! Interrupted backups: which there are, who works on them, giving them up, going on with them.

use crate::audit::Told;
use crate::backup::{Wish, identify, is_made_here, request_of};
use crate::collect::Settled;
use crate::failure::{Class, Failure};
use crate::find::only;
use crate::journal::{Header, Journals};
use crate::plan::error_chain;
use crate::queue::QueuedRow;
use crate::report::{ObjectReport, time};
use crate::{Vault, Watch};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use warifu_catalog::{CatalogError, Holder, Intent, ObjectPrefix, Resolved};
use warifu_core::{ObjectId, SiteName};
use warifu_keystore::Lease;

const DAY_S: u64 = 24 * 60 * 60;

/// A backup that was begun and is not listed yet.
#[derive(Debug, Clone, Serialize)]
pub struct JobRow {
    /// The object that it will be; of one that is queued, its ID in the queue.
    pub object: String,
    /// Whose it is.
    pub individual: String,
    /// When it was begun, or queued.
    pub began: String,
    /// `running`, or `interrupted`: its process is gone. In the queue `queued`, `paused`, or
    /// `failed`: for another reason than key, and held back.
    pub state: &'static str,
    /// Process that works on it, or did.
    pub pid: u32,
    /// Shares needed.
    pub k: u8,
    /// Shares to be made.
    pub n: u8,
    /// Key of links that is kept for it, both directions, its restore included.
    pub planned_key_bytes: u64,
    /// Key of the `random` pool that is kept for it.
    pub planned_random_bytes: u64,
    /// Whether another process can go on with it; else it is cleared away by the next backup.
    pub resumable: bool,
    /// Where its shares go.
    pub sites: Vec<String>,
    /// What is being stored; unknown for a stream.
    pub source: Option<String>,
    /// Payload bytes that all sites hold.
    pub done_bytes: Option<u64>,
    /// Payload bytes in all, or an upper bound of them.
    pub total_bytes: Option<u64>,
    /// How often it was taken up again.
    pub generation: Option<u16>,
    /// Where it stands in the queue; `null` for what was begun. Until then its ID is its own, and
    /// that of the object is drawn when it begins.
    pub queue: Option<QueuedRow>,
}

/// Leases that are kept for the next object, at most.
const SPARE_LEASES_MAX: usize = 64;

/// Objects that this process works on, random numbers that it leased and did not draw, and sites
/// of which it told that they are away.
#[derive(Default)]
pub(crate) struct InHand {
    objects: Mutex<BTreeSet<ObjectId>>,
    spare: Mutex<Vec<Lease>>,
    away: Mutex<BTreeSet<SiteName>>,
}

impl InHand {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<ObjectId>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Lease>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a site that does not answer did so until now.
    pub(crate) fn is_first_absence(&self, site: &SiteName) -> bool {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).insert(site.clone())
    }

    /// A site answers.
    pub(crate) fn is_back(&self, site: &SiteName) {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).remove(site);
    }

    /// A lease that an earlier object did not use up and that has so much in one piece.
    pub(crate) fn take_spare(&self, bytes: u64) -> Option<Lease> {
        let mut spare = self.spare();
        let at = spare.iter().position(|lease| lease.left_in_one_piece() >= bytes)?;
        Some(spare.swap_remove(at))
    }

    /// Keeps a lease for the next object. The shortest are burned where there are many.
    pub(crate) fn keep_spare(&self, lease: Lease) {
        let mut spare = self.spare();
        if lease.left() > 0 {
            spare.push(lease);
            spare.sort_by_key(|lease| std::cmp::Reverse(lease.left()));
            spare.truncate(SPARE_LEASES_MAX);
        }
    }
}

/// That this thread, and no other of this process, works on an object.
pub(crate) struct Claim<'a> {
    in_hand: &'a InHand,
    object: ObjectId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.in_hand.lock().remove(&self.object);
    }
}

impl Vault {
    /// All backups that were begun and are not listed, the oldest first, then those that wait in
    /// the queue, the first one first.
    ///
    /// # Errors
    /// Where the catalog or the key store fails, or this is a site's vault.
    pub fn jobs(&self) -> Result<Vec<JobRow>, Failure> {
        let intents = self.catalog()?.intents()?;
        let row = |intent| match self.job_row(intent) {
            // It ended since it was listed.
            Err(failure) if failure.class() == Class::NotFound => None,
            row => Some(row),
        };
        let begun: Result<Vec<JobRow>, Failure> = intents.iter().filter_map(row).collect();
        let mut rows = begun?;
        rows.extend(self.queued_rows()?);
        Ok(rows)
    }

    fn job_row(&self, intent: &Intent) -> Result<JobRow, Failure> {
        let is_running = self.is_in_hand(intent)?;
        let planned = self.catalog()?.planned_of(&intent.object)?;
        let story = self.journals().read(intent.object, &mut |_| ()).ok();
        let source = story.as_ref().and_then(|story| story.header.source.as_ref());
        Ok(JobRow {
            object: intent.object.to_string(),
            individual: intent.individual.to_string(),
            began: time(intent.created_unix_s),
            state: if is_running { "running" } else { "interrupted" },
            pid: intent.holder.pid,
            k: intent.threshold.k_byte(),
            n: intent.threshold.n_byte(),
            planned_key_bytes: planned
                .key
                .to_site_bytes
                .saturating_add(planned.key.from_site_bytes),
            planned_random_bytes: intent.random_bytes,
            resumable: story.as_ref().is_some_and(|story| self.may_go_on(&story.header)),
            sites: intent.shares.iter().map(|(_, site, _)| site.to_string()).collect(),
            source: source.map(|source| source.path.display().to_string()),
            done_bytes: story.as_ref().map(|story| story.standing.done_bytes()),
            total_bytes: Some(planned.payload_bytes),
            generation: story.as_ref().map(|story| story.standing.generation()),
            queue: None,
        })
    }

    /// One of them.
    ///
    /// # Errors
    /// Where no such backup is open.
    pub fn job(&self, object: &ObjectId) -> Result<JobRow, Failure> {
        let id = object.to_string();
        if let Some(row) = self.queued_rows()?.into_iter().find(|row| row.object == id) {
            return Ok(row);
        }
        self.job_row(&self.intent(object)?)
    }

    /// The unfinished backup whose object's ID begins so.
    ///
    /// # Errors
    /// Where none or several begin so.
    pub fn resolve_job(&self, prefix: &ObjectPrefix) -> Result<ObjectId, Failure> {
        let mut found = self.queued_as(&prefix.to_string())?;
        match self.catalog()?.resolve_intent(prefix) {
            Ok(Resolved::One(object)) => found.push(object),
            Ok(Resolved::Several(objects)) => found.extend(objects),
            Err(CatalogError::NotFound { .. }) if !found.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
        match found[..] {
            [object] => Ok(object),
            _ => only(prefix, Resolved::Several(found)),
        }
    }

    fn intent(&self, object: &ObjectId) -> Result<Intent, Failure> {
        let found = self.catalog()?.intents()?.into_iter().find(|intent| intent.object == *object);
        found.ok_or_else(|| unknown_job(object))
    }

    /// Gives an interrupted backup up: what its sites hold of it is removed, unless so many hold
    /// it whole that it can be listed instead. True where it was listed.
    ///
    /// # Errors
    /// Where there is no such backup, it is running, or a site can't be reached: what is left is
    /// then removed later.
    pub fn cancel_job(&self, object: &ObjectId) -> Result<bool, Failure> {
        // First of all: nobody begins it anew from the queue.
        self.unqueue_object(object)?;
        self.settle_job(object)
    }

    /// As [`cancel_job`](Self::cancel_job), and the queue stays as it is.
    ///
    /// # Errors
    /// As `cancel_job`.
    pub(crate) fn settle_job(&self, object: &ObjectId) -> Result<bool, Failure> {
        let (_claim, intent) = self.take_job(object)?;
        self.journals().erase(*object)?;
        Ok(self.settle(&intent)? == Settled::Listed)
    }

    /// The sites that hold the share of an interrupted backup whole, as far as they answer.
    ///
    /// # Errors
    /// Where there is no such backup.
    pub fn complete_at(&self, object: &ObjectId) -> Result<Vec<SiteName>, Failure> {
        let intent = self.intent(object)?;
        let sites = intent.shares.into_iter().filter(|(x, site, _)| {
            self.completed(*object, *x, site).is_ok_and(|shape| shape.is_some())
        });
        Ok(sites.map(|(_, site, _)| site).collect())
    }

    /// Removes all that is left of an interrupted backup, what sites hold whole as well, and
    /// forgets it. What was stored is lost by that. Answers the sites that could not be asked,
    /// where parts of it may stay.
    ///
    /// # Errors
    /// Where there is no such backup, or it is running.
    pub fn remove_job(&self, object: &ObjectId) -> Result<Vec<SiteName>, Failure> {
        self.unqueue_object(object)?;
        let (_claim, intent) = self.take_job(object)?;
        let note = "an unfinished backup is removed, what sites hold whole as well";
        let told = Told::operator().individual(&intent.individual).object(object).note(note);
        self.log_event("discard", &told.result("begun"))?;
        self.journals().erase(*object)?;
        let mut left = Vec::new();
        for (x, site, _) in &intent.shares {
            if let Err(error) = self.discard_completed(*object, *x, site) {
                tracing::warn!(%site, error = error_chain(&error), "what it holds stays there");
                left.push(site.clone());
            }
        }
        self.catalog()?.abandon(object)?;
        Ok(left)
    }

    /// Takes an interrupted backup from the process that is gone.
    fn take_job(&self, object: &ObjectId) -> Result<(Claim<'_>, Intent), Failure> {
        let intent = self.intent(object)?;
        if self.is_in_hand(&intent)? {
            return Err(running(object));
        }
        let claim = self.claim(*object)?;
        let holder = self.holder();
        match self.catalog()?.take_over(object, &intent.holder, &holder)? {
            true => Ok((claim, Intent { holder, ..intent })),
            false => Err(running(object)),
        }
    }

    /// Goes on with an interrupted backup.
    ///
    /// # Errors
    /// As [`backup`](Self::backup); also where there is no such backup, or it can't be gone on
    /// with: its source has changed, or it came from a stream.
    pub fn resume_job(&self, object: &ObjectId, watch: Watch<'_>) -> Result<ObjectReport, Failure> {
        self.intent(object)?;
        let header = self.journals().header(*object)?;
        let request = request_of(&header).ok_or_else(|| unknown_job(object))?;
        self.store_alone(&request, watch, Wish::ResumeOf(*object))
    }

    /// Whether the backup of this header can be gone on with, as far as this end knows: it is not
    /// too old, its source is what it was, and this release compresses it as the one before did.
    pub(crate) fn may_go_on(&self, header: &Header) -> bool {
        let age_s = self.now_unix_s().saturating_sub(header.created_unix_s);
        let Some(source) = &header.source else { return false };
        if !is_made_here(header) || age_s > self.config.limits.resume_days.saturating_mul(DAY_S) {
            return false;
        }
        match identify(&source.path) {
            Ok(now) => now.is_same(source),
            // It may come back: so it looks where a file system is not mounted.
            Err(_) => true,
        }
    }

    pub(crate) fn journals(&self) -> Journals {
        Journals::of(self.world.journal_medium(&self.dir))
    }

    /// This process as holder of intents.
    pub(crate) fn holder(&self) -> Holder {
        Holder { incarnation: self.keys.incarnation(), pid: std::process::id() }
    }

    /// Whether anybody works on an intent.
    pub(crate) fn is_in_hand(&self, intent: &Intent) -> Result<bool, Failure> {
        if intent.holder.incarnation == self.keys.incarnation() {
            return Ok(self.in_hand.lock().contains(&intent.object));
        }
        Ok(self.keys.is_live(intent.holder.incarnation)?)
    }

    /// Works on an object, until the claim is dropped.
    ///
    /// # Errors
    /// Where another thread does.
    pub(crate) fn claim(&self, object: ObjectId) -> Result<Claim<'_>, Failure> {
        match self.in_hand.lock().insert(object) {
            true => Ok(Claim { in_hand: &self.in_hand, object }),
            false => Err(running(&object)),
        }
    }
}

/// Somebody works on it.
pub(crate) fn running(object: &ObjectId) -> Failure {
    let what = format!("another process is storing this, as object {object}");
    Failure::new(Class::Busy, "job-running", what).next("wait for its end; see `warifu jobs list`")
}

fn unknown_job(object: &ObjectId) -> Failure {
    let what = format!("there is no interrupted backup {object}");
    Failure::new(Class::NotFound, "job-unknown", what).next("see `warifu jobs list`")
}
