//! Whose word counts: pinned anchors, certificate chains, revocation.

mod folder;
mod kept;

pub use crate::revocation::{Responder, Revocations, Standing};
pub use folder::TrustError;
pub use kept::TrustFolder;

use crate::card::Algorithm;
use crate::certificate::Certificate;
use crate::chain;
use crate::jws::{self, Possessed};
use crate::revocation::{self, RevocationList};
use crate::statement::{KeyFingerprint, Statement};
use crate::untrue::{Fault, Untrue};
use ring::digest::{SHA256, digest};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What an anchor is trusted for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Role {
    /// An authority that issues persons' cards.
    CardCa,
    /// One registrar, by his or her own certificate: two of them may rebind.
    Registrar,
    /// One officer, by his or her own certificate: several of them may break the glass.
    Officer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::CardCa, Self::Registrar, Self::Officer];

    /// The name, as commands and files have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CardCa => "card-ca",
            Self::Registrar => "registrar",
            Self::Officer => "officer",
        }
    }
}

impl Role {
    /// Whose certificate it is, for people.
    const fn holder(self) -> &'static str {
        match self {
            Self::CardCa => "an authority of cards",
            Self::Registrar => "a registrar",
            Self::Officer => "an officer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(NoRole)
    }
}

/// A text that names no role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a role is card-ca, registrar or officer")]
pub struct NoRole;

/// A certificate that the operator pinned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// What for.
    pub role: Role,
    /// SHA-256 of the certificate, DER: its name in commands and files.
    pub fingerprint: [u8; 32],
    /// The key in it.
    pub key: KeyFingerprint,
    /// Whose it is, for people.
    pub subject: String,
    /// When it ends, in seconds since 1970 UTC.
    pub not_after_unix_s: u64,
    /// Whether it is a lab's: what is signed under it was signed by no card.
    pub is_lab: bool,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// What must be known about the revocation of certificates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RevocationPolicy {
    /// Whether a certificate is refused where neither list nor responder tells about it.
    pub is_required: bool,
    /// An OCSP responder, by its `http://` address.
    pub ocsp_url: Option<String>,
}

/// The anchors and lists of a vault's folder `trust/`, as they were when it was opened.
pub struct TrustStore {
    anchors: Vec<Anchor>,
    /// Those of `anchors`, in the same order, taken apart.
    certificates: Vec<Certificate>,
    is_required: bool,
    sources: Vec<Box<dyn Revocations>>,
}

/// An anchor and its certificate.
struct Pinned {
    anchor: Anchor,
    certificate: Certificate,
}

/// A statement under a chain to an anchor.
#[derive(Debug)]
pub struct Verified<S> {
    /// What it says.
    pub statement: S,
    /// The key that signed.
    pub key: KeyFingerprint,
    /// How it signed.
    pub algorithm: Algorithm,
    /// Whether a lab's authority stands behind it: a file signed, no card.
    pub is_software: bool,
}

impl TrustStore {
    /// What `folder` holds now; nothing where there is no such folder.
    ///
    /// # Errors
    /// Where it can't be read, or something in it is no anchor or list: then nothing is trusted.
    pub fn open(folder: &Path) -> Result<Self, TrustError> {
        let (anchors, lists) = folder::read(folder)?;
        Ok(Self::with(anchors, lists))
    }

    /// A store without a folder: these anchors and revocation lists (DER) only.
    ///
    /// # Errors
    /// [`TrustError::Unfit`].
    pub fn of(anchors: &[(Role, Vec<u8>)], lists: &[Vec<u8>]) -> Result<Self, TrustError> {
        let anchors = anchors
            .iter()
            .map(|(role, der)| Pinned::new(*role, der))
            .collect::<Result<_, _>>()
            .map_err(TrustError::Unfit)?;
        let lists = lists
            .iter()
            .map(|der| RevocationList::read(der))
            .collect::<Result<_, _>>()
            .map_err(|fault| TrustError::Unfit(crate::certificate::nameless(fault)))?;
        Ok(Self::with(anchors, lists))
    }

    fn with(mut anchors: Vec<Pinned>, lists: Vec<RevocationList>) -> Self {
        anchors.sort_by_key(|pinned| (pinned.anchor.role, pinned.anchor.fingerprint));
        let (anchors, certificates) =
            anchors.into_iter().map(|pinned| (pinned.anchor, pinned.certificate)).unzip();
        Self { anchors, certificates, is_required: false, sources: vec![Box::new(lists)] }
    }

    /// The same with `policy`; otherwise lists that are there are heeded and nothing is required.
    #[must_use]
    pub fn with_policy(mut self, policy: RevocationPolicy) -> Self {
        self.is_required = policy.is_required;
        match policy.ocsp_url {
            Some(url) => self.with_revocations(Box::new(Responder::new(&url))),
            None => self,
        }
    }

    /// The same with one more that is asked about revocation.
    #[must_use]
    pub fn with_revocations(mut self, source: Box<dyn Revocations>) -> Self {
        self.sources.push(source);
        self
    }

    /// Pins the certificate `pem` for `role` in `folder`, durably. Pinning again changes nothing.
    ///
    /// # Errors
    /// As [`TrustStore::open`]; [`TrustError::Unfit`] where it is none for that role.
    pub fn add(folder: &Path, role: Role, pem: &[u8]) -> Result<Anchor, TrustError> {
        folder::add(folder, role, pem)
    }

    /// Takes back trust in the certificate whose fingerprint begins with `prefix` (hexadecimal),
    /// durably.
    ///
    /// # Errors
    /// As [`TrustStore::open`]; [`TrustError::NoSuch`].
    pub fn remove(folder: &Path, prefix: &str) -> Result<Anchor, TrustError> {
        folder::remove(folder, prefix)
    }

    /// Takes in a revocation list (PEM or DER), durably, in place of an older one of its issuer.
    ///
    /// # Errors
    /// As [`TrustStore::open`]; [`TrustError::Unfit`] where no pinned authority signed it.
    pub fn add_crl(folder: &Path, list: &[u8]) -> Result<(), TrustError> {
        folder::add_list(folder, list)
    }

    /// All anchors, by role and fingerprint.
    #[must_use]
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Believes a statement of a person's card at `at_unix_s`, or says why not.
    ///
    /// # Errors
    /// The first reason not to.
    pub fn verify<S: Statement>(&self, token: &str, at_unix_s: u64) -> Result<Verified<S>, Untrue> {
        let anchors: Vec<_> = self.of_role(Role::CardCa).collect();
        if anchors.is_empty() {
            return Err(Untrue::NoTrust(Role::CardCa.holder()));
        }
        let possessed = jws::possesses::<S>(token)?;
        let card = &possessed.certificate;
        card.fits_card(at_unix_s)?;
        let between = possessed.chain[1..]
            .iter()
            .map(|der| Certificate::read(der))
            .collect::<Result<Vec<_>, _>>()?;
        let path = chain::path(card, &between, &anchors, at_unix_s)?;
        for pair in path.certificates.windows(2) {
            self.is_good(pair[0], pair[1], at_unix_s)?;
        }
        let is_software = path.certificates.iter().any(|certificate| certificate.is_lab);
        Ok(Verified::new(possessed, is_software))
    }

    /// Believes a statement of one who is pinned for `role` by his or her own certificate.
    ///
    /// # Errors
    /// The first reason not to.
    pub fn verify_pinned<S: Statement>(
        &self,
        role: Role,
        token: &str,
        at_unix_s: u64,
    ) -> Result<Verified<S>, Untrue> {
        if self.of_role(role).next().is_none() {
            return Err(Untrue::NoTrust(role.holder()));
        }
        let possessed = jws::possesses::<S>(token)?;
        // The operator pinned a certificate, not a key: that one says until when.
        let mut pinned = self.of_role(role);
        let mine = &possessed.certificate;
        let Some(pinned) = pinned.find(|pinned| pinned.der == mine.der) else {
            return Err(
                mine.not(Fault::Chain(format!("it is not pinned as that of {}", role.holder())))
            );
        };
        pinned.fits_card(at_unix_s)?;
        for issuer in self.of_role(Role::CardCa) {
            if mine.is_issued_by(issuer)? {
                self.is_good(mine, issuer, at_unix_s)?;
            }
        }
        let is_software = mine.is_lab;
        Ok(Verified::new(possessed, is_software))
    }

    /// Whether `certificate` of `issuer` was not revoked.
    fn is_good(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at_unix_s: u64,
    ) -> Result<(), Untrue> {
        revocation::judge(&self.sources, self.is_required, certificate, issuer, at_unix_s)
            .map_err(|fault| certificate.not(fault))
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &Certificate> {
        let pinned = self.anchors.iter().zip(&self.certificates);
        pinned.filter(move |(anchor, _)| anchor.role == role).map(|(_, certificate)| certificate)
    }
}

impl Pinned {
    /// The certificate `der`, where it is one to pin for `role`.
    fn new(role: Role, der: &[u8]) -> Result<Self, Untrue> {
        let certificate = Certificate::read(der)?;
        // What has ended or not yet begun may be pinned, and is refused when it is used.
        let at_unix_s = certificate.not_after_unix_s;
        match role {
            Role::CardCa => certificate.fits_authority(0, at_unix_s)?,
            Role::Registrar | Role::Officer => certificate.fits_card(at_unix_s)?,
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
        let anchor = Anchor {
            role,
            fingerprint,
            key: certificate.key(),
            subject: certificate.subject_text.clone(),
            not_after_unix_s: certificate.not_after_unix_s,
            is_lab: certificate.is_lab,
            certificate: der.to_vec(),
        };
        Ok(Self { anchor, certificate })
    }
}

impl<S> Verified<S> {
    fn new(possessed: Possessed<S>, is_software: bool) -> Self {
        let Possessed { statement, key, algorithm, .. } = possessed;
        Self { statement, key, algorithm, is_software }
    }
}
