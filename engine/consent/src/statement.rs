//! Statements that cards sign: compact JWS (RFC 7515), each kind with a `typ` of its own, so that
//! none can be taken for another, nor a log-in elsewhere for any of them.

use crate::wire::{self, hex16, hex32, maybe_text, text, x};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use warifu_core::{IndividualId, ObjectId, SiteName, XCoord};

/// The version of every statement.
pub const VERSION: u32 = 1;

/// The longest statement in bytes, certificates included.
pub const STATEMENT_BYTES_MAX: usize = 64 << 10;

/// What a card can state. `typ` of the JWS says which kind it is.
pub trait Statement: Serialize + for<'de> Deserialize<'de> {
    /// The `typ` in the header: the context label of this kind.
    const TYPE: &'static str;

    /// Whether what it says can be meant at all: lengths, order, version.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn well_formed(&self) -> Result<(), &'static str>;
}

/// SHA-256 of a public key as its certificate has it (SubjectPublicKeyInfo, DER).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyFingerprint(#[serde(with = "hex32")] pub [u8; 32]);

/// Sixteen random bytes that name one consent, session or revocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatementId(#[serde(with = "hex16")] pub [u8; 16]);

/// 32 bytes that a site drew for one presence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(#[serde(with = "hex32")] pub [u8; 32]);

/// "This card is mine, and I am `individual` at `gateway`." Signed by the card itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// [`VERSION`].
    pub v: u32,
    /// One-time name of this statement.
    pub id: StatementId,
    /// The pseudonym.
    #[serde(with = "text")]
    pub individual: IndividualId,
    /// The gateway that enrols, by its requester's name.
    #[serde(with = "text")]
    pub gateway: SiteName,
    /// When, in seconds since 1970 UTC.
    pub at: u64,
}

/// "The key of `individual` at `gateway` is now another." Signed by the old card, or, each by
/// itself, by two registrars that the site has pinned. The new card's own [`Enrolment`] goes along.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebinding {
    /// [`VERSION`].
    pub v: u32,
    /// One-time name of this statement; the same in both registrars' statements.
    pub id: StatementId,
    /// The pseudonym.
    #[serde(with = "text")]
    pub individual: IndividualId,
    /// The gateway at which the pseudonym is used.
    #[serde(with = "text")]
    pub gateway: SiteName,
    /// The key so far.
    pub from: KeyFingerprint,
    /// The key from now on.
    pub to: KeyFingerprint,
    /// When, in seconds since 1970 UTC.
    pub at: u64,
    /// Why, for people.
    pub reason: String,
}

/// Where an object's shares are and how it is cut: enough to ask the sites without any catalog.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locator {
    /// The object.
    #[serde(with = "text")]
    pub object: ObjectId,
    /// Shares that are needed.
    pub k: u8,
    /// Shares that there are.
    pub n: u8,
    /// Bytes of the payload, padding included.
    pub payload_bytes: u64,
    /// Where consent is for a part only: ranges of payload bytes, `[start, end)`, ascending and
    /// disjoint, in stored offsets. What is in the last chunk, which tells where everything lies,
    /// is always included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<Range<u64>>>,
    /// The sites and their shares.
    pub shares: Vec<Place>,
}

/// One share's place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The site.
    #[serde(with = "text")]
    pub site: SiteName,
    /// Which share it has.
    #[serde(with = "x")]
    pub x: XCoord,
}

/// "`requester` may have these objects of mine for this purpose, from then until then."
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// [`VERSION`].
    pub v: u32,
    /// One-time name of this consent.
    pub id: StatementId,
    /// The pseudonym under which the objects were stored.
    #[serde(with = "text")]
    pub individual: IndividualId,
    /// Who may have them: the name under which sites know that gateway.
    #[serde(with = "text")]
    pub requester: SiteName,
    /// What for, for people; 1 to 1,024 bytes.
    pub purpose: String,
    /// When it was made, in seconds since 1970 UTC.
    pub at: u64,
    /// From when it holds, in seconds since 1970 UTC.
    pub not_before: u64,
    /// When it ends, in seconds since 1970 UTC.
    pub expires: u64,
    /// Whether it serves one restore only.
    pub single_use: bool,
    /// The objects: 1 to 1,024.
    pub objects: Vec<Locator>,
}

/// What a presence is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PresenceKind {
    /// Reading what a consent covers.
    Restore,
    /// Asking which objects have shares here for this card's holder.
    Find,
}

/// "My card is here, now, for this." One signature for all sites asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// [`VERSION`].
    pub v: u32,
    /// What for.
    pub kind: PresenceKind,
    /// The consent that is used; none to find.
    pub consent: Option<StatementId>,
    /// Who asks.
    #[serde(with = "text")]
    pub requester: SiteName,
    /// This restore or search.
    pub session: StatementId,
    /// The object; none to find.
    #[serde(with = "maybe_text")]
    pub object: Option<ObjectId>,
    /// Ranges of payload bytes in stored offsets, `[start, end)`, ascending and disjoint; none:
    /// all that the consent covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<Range<u64>>>,
    /// What each site asked drew for it, by the site's name.
    pub nonces: BTreeMap<String, Nonce>,
    /// When, in seconds since 1970 UTC.
    pub at: u64,
}

/// "These consents of mine no longer hold."
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// [`VERSION`].
    pub v: u32,
    /// One-time name of this revocation.
    pub id: StatementId,
    /// The pseudonym.
    #[serde(with = "text")]
    pub individual: IndividualId,
    /// The consents; empty: all that were made at or before `at`.
    pub consents: Vec<StatementId>,
    /// When, in seconds since 1970 UTC.
    pub at: u64,
}

/// "This object has to be read without its person." Signed by one officer; sites want several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// [`VERSION`].
    pub v: u32,
    /// One-time name of this case; the same in all officers' statements.
    pub id: StatementId,
    /// Who may read.
    #[serde(with = "text")]
    pub requester: SiteName,
    /// The person whose object it is.
    #[serde(with = "text")]
    pub individual: IndividualId,
    /// What may be read.
    pub object: Locator,
    /// Why, for people and for the person's record; 8 to 1,024 bytes.
    pub reason: String,
    /// When it ends, in seconds since 1970 UTC; at most a day after `at`.
    pub expires: u64,
    /// What each site asked drew for it, by the site's name.
    pub nonces: BTreeMap<String, Nonce>,
    /// When, in seconds since 1970 UTC.
    pub at: u64,
}

macro_rules! printed {
    ($($name:ident: $bytes:literal,)+) => {
        $(
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&wire::hex(&self.0))
                }
            }

            impl FromStr for $name {
                type Err = NotHex;

                fn from_str(text: &str) -> Result<Self, NotHex> {
                    wire::unhex(text).map(Self).ok_or(NotHex { bytes: $bytes })
                }
            }
        )+
    };
}

printed! {
    KeyFingerprint: 32,
    StatementId: 16,
    Nonce: 32,
}

/// A text that is not the hexadecimal name that it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be {} lower-case hexadecimal digits", bytes * 2)]
pub struct NotHex {
    bytes: usize,
}

/// A statement as it came, taken apart but not believed yet: see [`crate::trust`].
pub struct Claimed<S> {
    /// What it says.
    pub statement: S,
    /// The certificates that came with it, the card's own first, DER.
    pub chain: Vec<Vec<u8>>,
}
