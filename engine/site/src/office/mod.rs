//! What a site decides about persons, whichever connection asks: the register, what it trusts, and
//! what was proved lately.

mod proofs;
mod told;

pub(crate) use proofs::{Found, Given, Moment, PROOF_KEPT, Permit, Proofs};
pub(crate) use told::Told;

use crate::desk::Declined;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use warifu_catalog::{AuditHead, CatalogError, Event, Register};
use warifu_consent::Untrue;
use warifu_consent::trust::{RevocationPolicy, TrustStore};
use warifu_core::{LinkId, ObjectId};
use warifu_link::Status;
use warifu_link::body::Checkpoint;

/// Refusals of one link that are told to the audit log in an hour; how many more there were is a
/// line of its own. Otherwise a link could fill the disk with them.
const REFUSALS_OF_LINK_MAX: u64 = 1000;

/// How long the same refusal of a read is not told again.
const READS_KEPT: Duration = Duration::from_secs(600);

/// Refused reads that are remembered at a time.
const READS_MAX: usize = 4096;

const HOUR_S: u64 = 3600;

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
        let certificates = RevocationPolicy::default();
        Self { enforces: true, revocation_hours: 72, officers: None, certificates }
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
    proofs: Mutex<Proofs>,
    refusals: Mutex<Refusals>,
}

/// What was refused lately, so that the audit log is not flooded.
#[derive(Default)]
struct Refusals {
    reads: HashMap<(LinkId, ObjectId), Duration>,
    /// By link: the hour, and how many in it.
    counted: HashMap<LinkId, (u64, u64)>,
}

impl Office {
    pub(crate) fn new(register: Register, enforcement: Enforcement) -> Self {
        let (proofs, refusals) = (Mutex::default(), Mutex::default());
        Self { register, enforcement, proofs, refusals }
    }

    pub(crate) fn rules(&self) -> &ConsentRules {
        &self.enforcement.rules
    }

    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    pub(crate) fn notary(&self) -> Option<&dyn Notary> {
        self.enforcement.notary.as_deref()
    }

    /// What was proved. Held while something is admitted or taken back, so that neither misses the
    /// other.
    pub(crate) fn proofs(&self) -> MutexGuard<'_, Proofs> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is trusted now.
    pub(crate) fn trust(&self) -> Result<TrustStore, Declined> {
        let unreadable = |error: warifu_consent::trust::TrustError| {
            tracing::error!(%error, "the folder of trusted certificates can't be read");
            let text = format!("this site can't tell whom it trusts: {error}");
            Declined::new(Status::Io, text)
        };
        let trust = TrustStore::open(&self.enforcement.trust_dir).map_err(unreadable)?;
        Ok(trust.with_policy(self.rules().certificates.clone()))
    }

    /// Whether anybody who could know of a revocation was in contact lately: not only the
    /// requester, unless the requester is who stored the object.
    pub(crate) fn expect_fresh(
        &self,
        requester: LinkId,
        stored_by: LinkId,
        now_unix_s: u64,
    ) -> Result<(), Refused> {
        let allowed_h = u64::from(self.rules().revocation_hours);
        let contacts = self.register.contacts().map_err(unreadable)?;
        let counts = |link: LinkId| link != requester || link == stored_by;
        let last = contacts.iter().filter(|(link, _)| counts(*link)).map(|(_, at)| *at).max();
        let silent_s = now_unix_s.saturating_sub(last.unwrap_or(0));
        if last.is_some() && silent_s <= allowed_h * HOUR_S {
            return Ok(());
        }
        let accepted = self.register.silence().map_err(unreadable)?;
        match accepted {
            Some(silence) if now_unix_s < silence.until_unix_s => Ok(()),
            _ => Err(Untrue::RevocationsStale { silent_h: silent_s / HOUR_S, allowed_h }.into()),
        }
    }

    /// Tells the audit log of a refusal, unless this link has had very many this hour. That it
    /// can't be told does not make it less of a refusal.
    pub(crate) fn tell_refusal(&self, link: LinkId, told: &Told<'_>, at_unix_s: u64) {
        let hour = at_unix_s / HOUR_S;
        let count = {
            let mut refusals = self.refusals();
            let counted = refusals.counted.entry(link).or_insert((hour, 0));
            if counted.0 != hour {
                *counted = (hour, 0);
            }
            counted.1 += 1;
            counted.1
        };
        let (kind, json) = match count {
            ..=REFUSALS_OF_LINK_MAX => (told.kind, told.json()),
            count if count == REFUSALS_OF_LINK_MAX + 1 => {
                ("refusals", Told { code: Some("refusals-many"), ..*told }.json())
            }
            _ => return,
        };
        if let Err(error) = self.register.append_audit(&Event { kind, json: &json, at_unix_s }) {
            tracing::error!(%error, "a refusal could not be told to the audit log");
        }
    }

    /// Whether the refusal of a read of `object` is worth telling: not where it was told lately.
    pub(crate) fn is_news(&self, link: LinkId, object: ObjectId, now: Duration) -> bool {
        let mut refusals = self.refusals();
        let reads = &mut refusals.reads;
        if reads.len() >= READS_MAX {
            reads.retain(|_, told| now.saturating_sub(*told) < READS_KEPT);
        }
        match reads.get(&(link, object)) {
            Some(told) if now.saturating_sub(*told) < READS_KEPT => false,
            _ if reads.len() >= READS_MAX => false,
            _ => {
                reads.insert((link, object), now);
                true
            }
        }
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why something about a person is refused.
pub(crate) enum Refused {
    /// By what was shown, or not shown.
    Untrue(Untrue),
    /// By anything else.
    Declined(Declined),
}

impl From<Untrue> for Refused {
    fn from(untrue: Untrue) -> Self {
        Self::Untrue(untrue)
    }
}

impl From<Declined> for Refused {
    fn from(declined: Declined) -> Self {
        Self::Declined(declined)
    }
}

impl From<Refused> for Declined {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Untrue(untrue) => untrue.into(),
            Refused::Declined(declined) => declined,
        }
    }
}

impl From<Untrue> for Declined {
    fn from(untrue: Untrue) -> Self {
        Self::new(Status::Consent, format!("{}: {untrue}", untrue.code()))
    }
}

/// The register can't be read.
pub(crate) fn unreadable(error: CatalogError) -> Declined {
    tracing::error!(%error, "the register can't be read");
    Declined::new(Status::Io, format!("the site's register can't be read: {error}"))
}

/// What has to stand in the register and the audit log before it takes effect can't be written, so
/// it takes none.
pub(crate) fn unwritable(error: CatalogError) -> Declined {
    tracing::error!(%error, "the register and its audit log can't be written");
    match error {
        CatalogError::Invalid { .. } => Declined::new(Status::Limit, error.to_string()),
        _ => Declined::new(Status::Consent, format!("audit-unwritable: {error}")),
    }
}
