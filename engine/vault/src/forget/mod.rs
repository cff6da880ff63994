//! `forget`: an object, or all of an individual's, gone for good at every site.
//!
//! That it begins is in the audit log before the first share goes, and from then on there is no way
//! back: what a site has deleted stays deleted. A site that is away is asked again when the same is
//! given again; until all have answered the object stays in the catalog, and is not restored.

mod report;
mod sites;

pub(crate) use report::REPORT_START;
pub use report::{ErasedKey, ForgetReport, ForgottenObject, ForgottenShare, SignedReport};

use crate::Vault;
use crate::audit::Told;
use crate::failure::{Class, Failure};
use warifu_catalog::{Begun, Event, Object};
use warifu_core::{IndividualId, ObjectId, SiteName};
use warifu_link::body::REASON_BYTES_MAX;

/// The kind of these entries in the audit log.
const FORGET: &str = "forget";

/// What is to be forgotten.
#[derive(Debug, Clone)]
pub struct ForgetRequest {
    /// These objects.
    pub objects: Vec<ObjectId>,
    /// All objects of this individual.
    pub individual: Option<IndividualId>,
    /// Why: it goes to the sites and into all audit logs.
    pub reason: String,
    /// Sites that will never answer, with what they had; it is recorded by name.
    pub lost: Vec<SiteName>,
}

impl Vault {
    /// Has every site delete its shares of what is to be forgotten, then forgets it here. Answers
    /// what was done, and the same signed. Given again it goes on where it ended.
    ///
    /// # Errors
    /// Where an object is not stored or a hold lies on one (then nothing is begun), the individual
    /// has unfinished backups, or the audit log can't be written. Sites that are away are in the
    /// report.
    pub fn forget(&self, request: &ForgetRequest) -> Result<(ForgetReport, SignedReport), Failure> {
        let objects = self.to_forget(request)?;
        for object in &objects {
            self.begin_to_forget(object, request)?;
        }
        let deleted = self.delete_everywhere(&objects, request)?;
        let mut rows = Vec::new();
        for object in &objects {
            rows.push(self.end_to_forget(object, request, &deleted)?);
        }
        let report = ForgetReport::new(
            self.name.to_string(),
            crate::report::time(self.now_unix_s()),
            request,
            rows,
            self.erased_key()?,
        );
        let signed = report.sign(&self.audit_key()?)?;
        Ok((report, signed))
    }

    /// What [`forget`](Self::forget) would delete; nothing is changed.
    ///
    /// # Errors
    /// As [`forget`](Self::forget).
    pub fn forget_dry_run(&self, request: &ForgetRequest) -> Result<ForgetReport, Failure> {
        let objects = self.to_forget(request)?;
        let rows = objects.iter().map(|object| {
            let known = self.catalog()?.forgetting(&object.object)?;
            Ok(ForgottenObject::of(object, known.as_ref(), request, &[]))
        });
        let rows = rows.collect::<Result<_, Failure>>()?;
        let at = crate::report::time(self.now_unix_s());
        Ok(ForgetReport::new(self.name.to_string(), at, request, rows, Vec::new()))
    }

    /// The objects, none of which a hold lies on.
    fn to_forget(&self, request: &ForgetRequest) -> Result<Vec<Object>, Failure> {
        expect_reason(&request.reason)?;
        let catalog = self.catalog()?;
        let mut objects = Vec::new();
        for object in &request.objects {
            objects.push(catalog.object(object)?);
        }
        if let Some(individual) = &request.individual {
            catalog.individual(individual)?;
            self.expect_nothing_unfinished(individual)?;
            objects.extend(catalog.objects_of(individual)?);
        }
        objects.sort_by_key(|object| object.object);
        objects.dedup_by_key(|object| object.object);
        if objects.is_empty() {
            return Err(Failure::new(Class::NotFound, "not-found", "there is nothing to forget")
                .next("see `warifu list`"));
        }
        let holds = catalog.holds()?;
        for held in holds {
            if objects.iter().any(|object| object.object == held.object) {
                return Err(is_held(&held.object, &held.reason));
            }
        }
        for site in &request.lost {
            self.site_row(site)?;
        }
        Ok(objects)
    }

    fn expect_nothing_unfinished(&self, individual: &IndividualId) -> Result<(), Failure> {
        let name = individual.to_string();
        let jobs = self.jobs()?;
        match jobs.iter().find(|job| job.individual == name) {
            None => Ok(()),
            Some(job) => {
                let what = format!("a backup of {individual} is not finished: {}", job.object);
                Err(Failure::new(Class::Busy, "individual-unfinished", what)
                    .next("let it end, or give it up with `warifu jobs cancel`"))
            }
        }
    }

    fn begin_to_forget(&self, object: &Object, request: &ForgetRequest) -> Result<(), Failure> {
        let told = told(object, request).result("begun");
        let json = told.json()?;
        let event = Event { kind: FORGET, json: &json, at_unix_s: self.now_unix_s() };
        match self.catalog()?.begin_forgetting(&object.object, &request.reason, &event)? {
            Begun::Now | Begun::Before => Ok(()),
            Begun::Held { reason } => Err(is_held(&object.object, &reason)),
        }
    }

    /// Where no share is left, the catalog forgets the object too.
    fn end_to_forget(
        &self,
        object: &Object,
        request: &ForgetRequest,
        deleted: &[sites::NotDeleted],
    ) -> Result<ForgottenObject, Failure> {
        let known = self.catalog()?.forgetting(&object.object)?;
        let mut row = ForgottenObject::of(object, known.as_ref(), request, deleted);
        if row.shares.iter().all(|share| share.state != "pending") {
            let lost: Vec<&str> = row
                .shares
                .iter()
                .filter(|share| share.state == "lost")
                .map(|share| share.site.as_str())
                .collect();
            let mut told = told(object, request).result("done");
            if !lost.is_empty() {
                told = told.note(format!("never confirmed, by the operator's word: {lost:?}"));
            }
            let json = told.json()?;
            let event = Event { kind: FORGET, json: &json, at_unix_s: self.now_unix_s() };
            self.catalog()?.end_forgetting(&object.object, &event)?;
            row.is_complete = true;
        }
        Ok(row)
    }

    /// What is used of key, and what of it is erased. Share and pad are one: where the key of a
    /// recording is gone at both ends, the recording says nothing.
    fn erased_key(&self) -> Result<Vec<ErasedKey>, Failure> {
        let audited = self.keys.audit()?;
        let rows = audited.pools.iter().map(|pool| {
            let sides = pool.directions.iter();
            let used = |side: &warifu_keystore::DirectionAudit| {
                side.bytes_leased.saturating_sub(side.bytes_released)
            };
            ErasedKey {
                pool: pool.pool.to_string(),
                site: self.site_of_pool(pool.pool).map(|site| site.to_string()),
                used_bytes: sides.clone().map(used).sum(),
                erased_bytes: sides.map(|side| side.bytes_zeroised).sum(),
            }
        });
        Ok(rows.collect())
    }

    /// Refuses what is being forgotten, or was.
    pub(crate) fn expect_not_forgotten(&self, object: &ObjectId) -> Result<(), Failure> {
        match self.catalog()?.forgetting(object)? {
            None => Ok(()),
            Some(forgetting) => {
                let what = format!(
                    "object {object} is being forgotten since {} ({})",
                    crate::report::time(forgetting.at_unix_s),
                    forgetting.reason
                );
                Err(Failure::new(Class::NotFound, "object-forgotten", what)
                    .next("its shares are being deleted; there is no way back"))
            }
        }
    }
}

/// Why an object can't be forgotten.
pub(crate) fn is_held(object: &ObjectId, reason: &str) -> Failure {
    let what = format!("a hold lies on object {object}: {reason}");
    Failure::new(Class::Usage, "object-held", what)
        .next("see `warifu hold list`; whoever laid it lifts it with `warifu hold remove`")
}

/// A reason that sites take.
pub(crate) fn expect_reason(reason: &str) -> Result<(), Failure> {
    let fits = !reason.trim().is_empty()
        && reason.len() <= REASON_BYTES_MAX
        && !reason.chars().any(char::is_control);
    match fits {
        true => Ok(()),
        false => Err(Failure::new(
            Class::Usage,
            "reason-unfit",
            format!("a reason is one line of 1 to {REASON_BYTES_MAX} bytes"),
        )
        .next("say in a few words why: it is recorded")),
    }
}

fn told(object: &Object, request: &ForgetRequest) -> Told {
    Told::operator()
        .individual(&object.individual)
        .object(object.object)
        .reason(request.reason.clone())
}
