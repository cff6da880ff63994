//! A restore as the log tells it: noted before anything is asked of a site, and how it ended.

use super::Told;
use crate::failure::{Class, Failure};
use crate::report::RestoreReport;
use crate::restore::RestoreRequest;
use crate::{Vault, Watch};

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
        self.expect_not_forgotten(&request.object)?;
        let told = self.told_of(request)?;
        self.note(RESTORE, &told.clone().result("begun"))?;
        let outcome = self.deliver_object(request, watch);
        let end = match &outcome {
            Ok(report) => told.result("released").note(format!("{} bytes delivered", report.bytes)),
            Err(failure) => {
                let is_refusal = matches!(failure.class(), Class::Consent | Class::Card);
                let result = if is_refusal { "refused" } else { "failed" };
                told.result(result).code(failure.code())
            }
        };
        match (self.note(RESTORE, &end), outcome) {
            // It was noted that it begins; what was delivered can't be taken back.
            (Err(failure), Ok(report)) => {
                tracing::warn!(%failure, "that the restore ended is not in the audit log");
                Ok(report)
            }
            (_, outcome) => outcome,
        }
    }

    fn told_of(&self, request: &RestoreRequest) -> Result<Told, Failure> {
        let individual = match self.catalog()?.object(&request.object) {
            Ok(object) => Some(object.individual.to_string()),
            Err(_) => None,
        };
        let range = request.range.map(|range| vec![(range.from, range.to)]);
        Ok(Told {
            who: self.name.to_string(),
            individual,
            ranges: range,
            ..Told::operator().object(request.object)
        })
    }
}
