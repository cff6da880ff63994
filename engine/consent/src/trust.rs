//! Whose word counts: pinned anchors, certificate chains, revocation.

use crate::card::Algorithm;
use crate::statement::{KeyFingerprint, Statement};
use crate::untrue::Untrue;
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

/// The anchors and lists of a vault's folder `trust/`.
pub struct TrustStore {
    anchors: Vec<Anchor>,
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

/// Why the folder of anchors could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file or folder fails.
    #[error("{what} {path}", path = path.display())]
    Io {
        /// What failed.
        what: &'static str,
        /// Where.
        path: std::path::PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// A file is no PEM of that kind.
    #[error("{path} is not a PEM file of one {what}", path = path.display())]
    Pem {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: std::path::PathBuf,
    },
    /// The certificate is not one to pin.
    #[error("the certificate can't be pinned")]
    Unfit(#[source] Untrue),
    /// There is none by that name, or several begin so.
    #[error("{found} pinned certificates have a fingerprint that begins with {prefix}")]
    NoSuch {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        found: usize,
    },
}

impl TrustStore {
    /// What `folder` holds now; nothing where there is no such folder.
    ///
    /// # Errors
    /// Where it can't be read, or something in it is no anchor or list: then nothing is trusted.
    pub fn open(folder: &Path) -> Result<Self, TrustError> {
        let _ = folder;
        todo!()
    }

    /// A store without a folder: these anchors and revocation lists (DER) only.
    ///
    /// # Errors
    /// [`TrustError::Unfit`].
    pub fn of(anchors: &[(Role, Vec<u8>)], lists: &[Vec<u8>]) -> Result<Self, TrustError> {
        let _ = (anchors, lists);
        todo!()
    }

    /// The same with `policy`; otherwise lists that are there are heeded and nothing is required.
    #[must_use]
    pub fn with_policy(self, policy: RevocationPolicy) -> Self {
        let _ = policy;
        self
    }

    /// Pins the certificate `pem` for `role` in `folder`, durably. Pinning again changes nothing.
    ///
    /// # Errors
    /// As [`TrustStore::open`]; [`TrustError::Unfit`] where it is none for that role.
    pub fn add(folder: &Path, role: Role, pem: &[u8]) -> Result<Anchor, TrustError> {
        let _ = (folder, role, pem);
        todo!()
    }

    /// Takes back trust in the certificate whose fingerprint begins with `prefix` (hexadecimal),
    /// durably.
    ///
    /// # Errors
    /// As [`TrustStore::open`]; [`TrustError::NoSuch`].
    pub fn remove(folder: &Path, prefix: &str) -> Result<Anchor, TrustError> {
        let _ = (folder, prefix);
        todo!()
    }

    /// Takes in a revocation list (PEM or DER), durably, in place of an older one of its issuer.
    ///
    /// # Errors
    /// As [`TrustStore::open`]; [`TrustError::Unfit`] where no pinned authority signed it.
    pub fn add_crl(folder: &Path, list: &[u8]) -> Result<(), TrustError> {
        let _ = (folder, list);
        todo!()
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
        let _ = (token, at_unix_s);
        todo!()
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
        let _ = (role, token, at_unix_s);
        todo!()
    }
}
