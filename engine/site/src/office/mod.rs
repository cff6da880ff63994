//! What a site decides about persons, whichever connection asks: the register, what it trusts, and
//! what was proved lately.

use std::path::PathBuf;
use std::sync::Arc;
use warifu_catalog::{AuditHead, Register};
use warifu_consent::trust::RevocationPolicy;
use warifu_link::body::Checkpoint;

/// A site's rules about consent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsentRules {
    /// Whether shares are released only as their persons agree.
    pub enforces: bool,
    /// For how many hours it goes on releasing without contact with anyone who could know of a
    /// revocation.
    pub revocation_hours: u32,
    /// How many officers may open an object without its person; none: nobody may.
    pub officers: Option<usize>,
    /// What must be known about the revocation of certificates.
    pub certificates: RevocationPolicy,
}

impl Default for ConsentRules {
    fn default() -> Self {
        Self {
            enforces: true,
            revocation_hours: 72,
            officers: None,
            certificates: RevocationPolicy::default(),
        }
    }
}

/// Signs where a site's audit log stands, and judges such signatures of others.
pub trait Notary: Send + Sync {
    /// This head, signed; `None` where this site can't sign now.
    fn sign(&self, head: &AuditHead, at_unix_s: u64) -> Option<Checkpoint>;

    /// Whether a checkpoint bears the signature of the key in it.
    fn is_genuine(&self, checkpoint: &Checkpoint) -> bool;
}

/// What a site enforces, and by whose word.
pub struct Enforcement {
    /// Its rules.
    pub rules: ConsentRules,
    /// The folder of pinned anchors, registrars and officers; read whenever it matters.
    pub trust_dir: PathBuf,
    /// Who signs checkpoints.
    pub notary: Option<Arc<dyn Notary>>,
}

/// The part of a site that knows persons.
pub(crate) struct Office {
    register: Register,
    enforcement: Enforcement,
}

impl Office {
    pub(crate) fn new(register: Register, enforcement: Enforcement) -> Self {
        Self { register, enforcement }
    }

    pub(crate) fn rules(&self) -> &ConsentRules {
        &self.enforcement.rules
    }
}
