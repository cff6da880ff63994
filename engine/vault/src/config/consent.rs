//! Settings about the consent of persons.

use serde::{Deserialize, Serialize};

/// What is released only as its person agrees, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentConfig {
    /// Whether anything is: a site that does not enforce releases what its gateways ask for, and a
    /// gateway that does not asks nobody.
    pub enforce: bool,
    /// For how many hours a site goes on releasing without contact with anyone who could know of a
    /// revocation.
    pub revocation_hours: u32,
    /// How many officers together open an object without its person; 0: nobody does.
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

impl Default for ConsentConfig {
    fn default() -> Self {
        Self {
            enforce: true,
            revocation_hours: 72,
            break_glass: 0,
            certificates: CertificateRule::default(),
            ocsp: None,
        }
    }
}
