//! `[consent]`: whether persons decide here.

use serde::{Deserialize, Serialize};

/// The longest reason not to ask for consent, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 256;

/// Hours for which a site goes by the revocations that it has heard of, unless it says otherwise.
const REVOCATION_HOURS: u32 = 72;

/// Whether persons decide here. At a site: whether it releases shares to their consent only. At a
/// gateway: whether persons are enrolled with their cards, and nothing is restored without consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentPolicy {
    /// Whether they do.
    pub enforce: bool,
    /// Why not; where they do, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long ago a site may last have been told, by anybody but who asks, that it knows of all
    /// revocations, in hours.
    pub revocation_hours: u32,
    /// At a site: how many officers together open an object without its person; 0: nobody does.
    pub break_glass: u8,
    /// Whether a certificate is refused where nobody tells whether it was revoked.
    pub certificates: CertificateRule,
    /// An OCSP responder, `http://HOST[:PORT]/PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<String>,
}

/// What must be known of a certificate's revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateRule {
    /// A list or responder that is there is heeded.
    #[default]
    IfKnown,
    /// A list or responder must tell that it was not.
    Required,
}

impl ConsentPolicy {
    /// Persons don't decide here, for this reason.
    #[must_use]
    pub fn not_enforced(reason: impl Into<String>) -> Self {
        Self { enforce: false, reason: Some(reason.into()), ..Self::default() }
    }

    /// What is said of a vault in which persons don't decide; `None` where they do.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let why = self.reason.as_deref().map_or_else(String::new, |why| format!(" ({why})"));
        (!self.enforce).then(|| format!("consent is not enforced here{why}"))
    }
}

impl Default for ConsentPolicy {
    fn default() -> Self {
        Self {
            enforce: true,
            reason: None,
            revocation_hours: REVOCATION_HOURS,
            break_glass: 0,
            certificates: CertificateRule::default(),
            ocsp: None,
        }
    }
}
