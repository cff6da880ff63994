//! `trust`: the certificates that this vault's operator has pinned.

use crate::Vault;
use crate::audit::Told;
use crate::failure::Failure;
use serde::Serialize;
use warifu_consent::trust::{Anchor, Role, TrustStore};

/// A pinned certificate.
#[derive(Debug, Clone, Serialize)]
pub struct AnchorRow {
    /// SHA-256 of the certificate: its name.
    pub fingerprint: String,
    /// `card-ca`, `registrar` or `officer`.
    pub role: &'static str,
    /// Whose it is.
    pub subject: String,
    /// When it ends.
    pub not_after: String,
    /// Whether it is a lab's: what rests on it was signed by no card.
    pub is_lab: bool,
}

impl Vault {
    /// Pins a certificate (PEM) for a role. It counts at once, also in a daemon that runs.
    ///
    /// # Errors
    /// Where it is no certificate, or not fit for the role.
    pub fn trust_add(&self, role: Role, pem: &[u8]) -> Result<AnchorRow, Failure> {
        let told = Told::operator();
        self.note("trust", &told.clone().note(format!("pins a {role}")).result("begun"))?;
        let row = row(&TrustStore::add(&self.trust_dir(), role, pem)?);
        let note = format!("pins {} as {role}: {}", row.fingerprint, row.subject);
        self.note("trust", &told.note(note).result("done"))?;
        Ok(row)
    }

    /// Takes in a list of certificates that their authority took back (PEM or DER).
    ///
    /// # Errors
    /// Where it is none, or no pinned authority signed it.
    pub fn trust_add_crl(&self, list: &[u8]) -> Result<(), Failure> {
        let note = "takes in a list of revoked certificates";
        self.note("trust", &Told::operator().note(note).result("begun"))?;
        Ok(TrustStore::add_crl(&self.trust_dir(), list)?)
    }

    /// All pinned certificates.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn trust_list(&self) -> Result<Vec<AnchorRow>, Failure> {
        Ok(self.trust_store()?.anchors().iter().map(row).collect())
    }

    /// Takes trust back from the certificate whose fingerprint begins so.
    ///
    /// # Errors
    /// Where none or several begin so.
    pub fn trust_remove(&self, prefix: &str) -> Result<AnchorRow, Failure> {
        let told = Told::operator().note(format!("no longer pins {prefix}"));
        self.note("trust", &told.result("begun"))?;
        Ok(row(&TrustStore::remove(&self.trust_dir(), prefix)?))
    }

    /// Whether authorities of cards are pinned here, so that a card's chain can be judged.
    pub(crate) fn judges_cards(trust: &TrustStore) -> bool {
        trust.anchors().iter().any(|anchor| anchor.role == Role::CardCa)
    }

    /// What is pinned now.
    pub(crate) fn trust_store(&self) -> Result<TrustStore, Failure> {
        Ok(TrustStore::open(&self.trust_dir())?)
    }
}

fn row(anchor: &Anchor) -> AnchorRow {
    AnchorRow {
        fingerprint: crate::consent::hex(&anchor.fingerprint),
        role: anchor.role.name(),
        subject: anchor.subject.clone(),
        not_after: crate::report::time(anchor.not_after_unix_s),
        is_lab: anchor.is_lab,
    }
}
