//! A restore as the log tells it: noted before anything is asked of a site, and how it ended.

use super::Told;
use crate::break_glass::{BREAK_GLASS, Case};
use crate::consent::{Proof, hex};
use crate::failure::{Class, Failure};
use crate::report::RestoreReport;
use crate::restore::{Authority, RestoreRequest};
use crate::{Vault, Watch};
use warifu_consent::jws;
use warifu_consent::statement::Consent;

/// The kind of these entries.
const RESTORE: &str = "restore";

impl Vault {
    /// Rebuilds an object, or a range of it, from k good shares. On failure no output file is left,
    /// a resumable restore's part aside. Both ends of it are in the audit log, the first one before
    /// anything is asked for.
    ///
    /// # Errors
    /// Where there is no such object, fewer than k shares are good or reachable, key does not
    /// cover it, the audit log or the output can't be written.
    pub fn restore(
        &self,
        request: &RestoreRequest,
        watch: Watch<'_>,
    ) -> Result<RestoreReport, Failure> {
        self.restore_with(request, None, watch)
    }

    /// As [`restore`](Self::restore), with what the person gives for it. An object that another
    /// gateway stored is found by the consent alone.
    ///
    /// # Errors
    /// As `restore`; where too few sites find that consent and card suffice, or the card does not
    /// sign.
    pub fn restore_with(
        &self,
        request: &RestoreRequest,
        proof: Option<Proof<'_>>,
        watch: Watch<'_>,
    ) -> Result<RestoreReport, Failure> {
        let mut told = self.told_of(request, proof.as_ref())?;
        if proof.is_none() {
            told.note = self.config.consent.warning();
        }
        let by = proof.map_or(Authority::Nobody, Authority::Person);
        self.restore_noted(RESTORE, told, request, by, watch)
    }

    /// As [`restore`](Self::restore), by the word of officers instead of the person's.
    ///
    /// # Errors
    /// As `restore`; where too few sites let the object be read by that case.
    pub fn restore_by_officers(
        &self,
        request: &RestoreRequest,
        case: &Case,
        watch: Watch<'_>,
    ) -> Result<RestoreReport, Failure> {
        let mut told = self.told_of(request, None)?;
        told.reason = Some(case.statement.reason.clone());
        told.session = Some(hex(&case.statement.id.0));
        told.note = Some(format!("{} officers have signed", case.signatures()));
        self.restore_noted(BREAK_GLASS, told, request, Authority::Officers(case), watch)
    }

    fn restore_noted(
        &self,
        kind: &'static str,
        told: Told,
        request: &RestoreRequest,
        by: Authority<'_>,
        watch: Watch<'_>,
    ) -> Result<RestoreReport, Failure> {
        self.expect_not_forgotten(&request.object)?;
        self.note(kind, &told.clone().result("begun"))?;
        let outcome = self.deliver_object(request, by, watch);
        let end = match &outcome {
            // Without the length, which nothing on a medium tells.
            Ok(_) => told.result("released"),
            Err(failure) => {
                let is_refusal = matches!(failure.class(), Class::Consent | Class::Card);
                let result = if is_refusal { "refused" } else { "failed" };
                told.result(result).code(failure.code())
            }
        };
        match (self.note(kind, &end), outcome) {
            // It was noted that it begins; what was delivered can't be taken back.
            (Err(failure), Ok(report)) => {
                tracing::warn!(%failure, "that the restore ended is not in the audit log");
                Ok(report)
            }
            (_, outcome) => outcome,
        }
    }

    /// What the log says of it. Of a consent that is not judged yet it tells what that claims.
    fn told_of(
        &self,
        request: &RestoreRequest,
        proof: Option<&Proof<'_>>,
    ) -> Result<Told, Failure> {
        let claimed = proof.and_then(|proof| jws::read::<Consent>(proof.consent).ok());
        let claimed = claimed.map(|claimed| claimed.statement);
        let individual = match self.catalog()?.object(&request.object) {
            Ok(object) => Some(object.individual.to_string()),
            Err(_) => claimed.as_ref().map(|consent| consent.individual.to_string()),
        };
        let range = request.range.map(|range| vec![(range.from, range.to)]);
        Ok(Told {
            who: self.name.to_string(),
            individual,
            ranges: range,
            purpose: claimed.as_ref().map(|consent| consent.purpose.clone()),
            consent: claimed.as_ref().map(|consent| hex(&consent.id.0)),
            card: proof.map(|proof| match proof.card.is_software() {
                true => "software",
                false => "card",
            }),
            ..Told::operator().object(request.object)
        })
    }
}
