//! What was forgotten, as a document that its vault signs.

use super::{ForgetRequest, sites::NotDeleted};
use crate::failure::{Class, Failure};
use crate::report::time;
use serde::{Deserialize, Serialize};
use warifu_catalog::{AuditKey, Forgetting, Object, from_hex, hex};

/// How a signed report begins.
pub(crate) const REPORT_START: &str = "{\"v\":1,\"type\":\"forget-report\"";

/// A share of what was forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct ForgottenShare {
    /// Its site.
    pub site: String,
    /// Its x-coordinate.
    pub x: u8,
    /// `otp`, `local` or `tls`.
    pub channel: &'static str,
    /// `deleted`; `pending`, where the site has not said so yet; `lost`, where the operator says
    /// that it never will.
    pub state: &'static str,
    /// When its site said so.
    pub at: Option<String>,
    /// Why it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where the site's own audit log stood afterwards, as the site signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_checkpoint: Option<String>,
}

/// An object that was forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct ForgottenObject {
    /// Its ID.
    pub object: String,
    /// Whose it was.
    pub individual: String,
    /// Bytes protected.
    pub bytes: u64,
    /// Shares that were needed.
    pub k: u8,
    /// Shares that there were.
    pub n: u8,
    /// Whether nothing is left of it that this vault knows of.
    pub is_complete: bool,
    /// Its shares.
    pub shares: Vec<ForgottenShare>,
}

/// Key of a pool that was used, and what of it is erased at this end.
#[derive(Debug, Clone, Serialize)]
pub struct ErasedKey {
    /// The pool.
    pub pool: String,
    /// The site at the other end of its link.
    pub site: Option<String>,
    /// Bytes used or burned, those that processes hold at this moment included.
    pub used_bytes: u64,
    /// Bytes erased.
    pub erased_bytes: u64,
}

/// What `forget` answers.
#[derive(Debug, Clone, Serialize)]
pub struct ForgetReport {
    /// Version of this document.
    pub v: u32,
    /// `forget`.
    pub r#type: &'static str,
    /// The vault's name.
    pub vault: String,
    /// When it was made.
    pub at: String,
    /// Why.
    pub reason: String,
    /// Whose objects, where all of an individual's were asked for.
    pub individual: Option<String>,
    /// Whether all of it is forgotten.
    pub is_complete: bool,
    /// The objects.
    pub objects: Vec<ForgottenObject>,
    /// What became of used key.
    pub key: Vec<ErasedKey>,
}

/// A report with the signature of its vault over the very text of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReport {
    /// Version of this document.
    pub v: u32,
    /// `forget-report`.
    pub r#type: String,
    /// The report: a JSON document of its own, exactly as it was signed.
    pub report: String,
    /// The key of the vault's audit log, in hexadecimal digits.
    pub public_key: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

impl SignedReport {
    /// The key and the signature, where they are such.
    pub(crate) fn proof(&self) -> Option<([u8; 32], [u8; 64])> {
        Some((from_hex(&self.public_key)?, from_hex(&self.signature)?))
    }

    /// When the report says that it was made.
    pub(crate) fn at(&self) -> String {
        let report: Option<serde_json::Value> = serde_json::from_str(&self.report).ok();
        let at = report.as_ref().and_then(|report| report.get("at")?.as_str());
        at.unwrap_or_default().to_owned()
    }
}

impl ForgottenObject {
    pub(super) fn of(
        object: &Object,
        known: Option<&Forgetting>,
        request: &ForgetRequest,
        not_deleted: &[NotDeleted],
    ) -> Self {
        let shares = object.shares.iter().map(|share| {
            let gone = known.and_then(|known| known.gone.iter().find(|gone| gone.x == share.x));
            let state = match gone {
                Some(_) => "deleted",
                None if request.lost.contains(&share.site) => "lost",
                None => "pending",
            };
            let why =
                not_deleted.iter().find(|one| one.object == object.object && one.x == share.x);
            let evidence = gone.map(|gone| gone.evidence.clone()).filter(|text| !text.is_empty());
            ForgottenShare {
                site: share.site.to_string(),
                x: share.x.get(),
                channel: share.channel.as_str(),
                state,
                at: gone.map(|gone| time(gone.at_unix_s)),
                why: why.map(|why| why.why.clone()),
                site_checkpoint: evidence,
            }
        });
        Self {
            object: object.object.to_string(),
            individual: object.individual.to_string(),
            bytes: object.geometry.payload_bytes(),
            k: object.threshold.k_byte(),
            n: object.threshold.n_byte(),
            is_complete: false,
            shares: shares.collect(),
        }
    }
}

impl ForgetReport {
    pub(super) fn new(
        vault: String,
        at: String,
        request: &ForgetRequest,
        objects: Vec<ForgottenObject>,
        key: Vec<ErasedKey>,
    ) -> Self {
        Self {
            v: 1,
            r#type: "forget",
            vault,
            at,
            reason: request.reason.clone(),
            individual: request.individual.as_ref().map(ToString::to_string),
            is_complete: objects.iter().all(|object| object.is_complete),
            objects,
            key,
        }
    }

    pub(super) fn sign(&self, key: &AuditKey) -> Result<SignedReport, Failure> {
        let report = serde_json::to_string(self).map_err(|error| {
            Failure::new(Class::Other, "json", "the report can't be written").because(error)
        })?;
        Ok(SignedReport {
            v: 1,
            r#type: "forget-report".to_owned(),
            signature: hex(&key.sign_report(&report)),
            public_key: hex(&key.public_key()),
            report,
        })
    }

    /// Why not all of it is forgotten; `None` where it is.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let shares = self.objects.iter().flat_map(|object| &object.shares);
        let pending: Vec<_> = shares.filter(|share| share.state == "pending").collect();
        let first = pending.first()?;
        let why = first.why.as_deref().unwrap_or("it has not answered yet");
        let what = format!(
            "{} shares are still there; the first is at {}: {why}",
            pending.len(),
            first.site
        );
        Some(Failure::new(Class::Temporary, "forget-pending", what).next(
            "give the same command again when the sites are back; a site that never will be is \
             named with --lost SITE",
        ))
    }
}
