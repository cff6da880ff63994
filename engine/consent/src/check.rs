//! What follows from statements: whether a site may release, bind or forget. Pure: statements,
//! what the site holds, anchors and a time go in; a decision comes out.

use crate::statement::{
    BreakGlass, Consent, Enrolment, KeyFingerprint, Nonce, Rebinding, Revocation, StatementId,
};
use crate::trust::{TrustStore, Verified};
use crate::untrue::Untrue;
use std::ops::Range;
use warifu_core::{IndividualId, ObjectId, SiteName};

/// How long a permit holds at most, in seconds.
pub const PERMIT_S_MAX: u64 = 86_400;

/// How far the clock of whoever signed may be ahead, in seconds.
pub const AHEAD_S_MAX: u64 = 600;

/// What a site holds about the object that is asked for, and about the claimed consent.
#[derive(Clone, Debug)]
pub struct Held {
    /// Whose the object is, if anybody's.
    pub owner: Option<IndividualId>,
    /// The key bound to the owner, under the link that stored the object.
    pub key: Option<KeyFingerprint>,
    /// The session in which this consent served, if it did and serves only once.
    pub used_in: Option<StatementId>,
    /// Revocations of the owner that were accepted, each by [`revocation`].
    pub revocations: Vec<Revocation>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks: the name under which the site knows the link's other end.
    pub requester: SiteName,
    /// For which object; none to find.
    pub object: Option<ObjectId>,
    /// The challenges that are open for this link and object.
    pub nonces: Vec<Nonce>,
    /// The time, in seconds since 1970 UTC.
    pub at_unix_s: u64,
}

/// What may be released.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    /// The consent; of a break-glass, its case.
    pub consent: StatementId,
    /// The session; of a break-glass, its case.
    pub session: StatementId,
    /// Whose the object is.
    pub individual: IndividualId,
    /// What for.
    pub purpose: String,
    /// Ranges of payload bytes in stored offsets, `[start, end)`; none: all.
    pub ranges: Option<Vec<Range<u64>>>,
    /// Until when, in seconds since 1970 UTC.
    pub until_unix_s: u64,
    /// Whether the consent is used up by this session: to be recorded before anything is read.
    pub is_single_use: bool,
    /// Whether a file for labs signed rather than a card.
    pub is_software: bool,
    /// The challenge that was answered: to be forgotten now.
    pub nonce: Nonce,
}

/// Who asks what is here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finder {
    /// The card that is present: whatever belongs to individuals bound to it may be listed.
    pub key: KeyFingerprint,
    /// The search.
    pub session: StatementId,
    /// Whether a file for labs signed rather than a card.
    pub is_software: bool,
    /// The challenge that was answered: to be forgotten now.
    pub nonce: Nonce,
}

/// A change of binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebound {
    /// The new card's enrolment.
    pub enrolment: Enrolment,
    /// What was signed about the change.
    pub rebinding: Rebinding,
    /// The new key.
    pub key: KeyFingerprint,
    /// The keys that signed the change: the old card's, or two registrars'.
    pub signers: Vec<KeyFingerprint>,
}

/// Whether `consent` and `presence` suffice to release.
///
/// # Errors
/// The first reason why not.
pub fn release(
    consent: &str,
    presence: &str,
    held: &Held,
    asked: &Asked,
    trust: &TrustStore,
) -> Result<Release, Untrue> {
    let _ = (consent, presence, held, asked, trust);
    todo!()
}

/// Whether `token` is a consent that holds for what is asked, presence apart.
///
/// # Errors
/// The first reason why not.
pub fn consent(
    token: &str,
    held: &Held,
    asked: &Asked,
    trust: &TrustStore,
) -> Result<Verified<Consent>, Untrue> {
    let _ = (token, held, asked, trust);
    todo!()
}

/// Whether `presence` suffices to list what is here for its card's holder.
///
/// # Errors
/// The first reason why not.
pub fn find(presence: &str, asked: &Asked, trust: &TrustStore) -> Result<Finder, Untrue> {
    let _ = (presence, asked, trust);
    todo!()
}

/// Whether `token` is an enrolment to be held: by the gateway that brings it, signed by the key
/// that it brings. Its chain is judged when it is used.
///
/// # Errors
/// The first reason why not.
pub fn enrolment(
    token: &str,
    gateway: &SiteName,
    at_unix_s: u64,
) -> Result<(Enrolment, KeyFingerprint), Untrue> {
    let _ = (token, gateway, at_unix_s);
    todo!()
}

/// Whether `token` revokes consents of `individual`, whose card has `key`. Its chain is not
/// judged: whoever holds the key may always take consents back.
///
/// # Errors
/// The first reason why not.
pub fn revocation(
    token: &str,
    individual: &IndividualId,
    key: &KeyFingerprint,
    at_unix_s: u64,
) -> Result<Revocation, Untrue> {
    let _ = (token, individual, key, at_unix_s);
    todo!()
}

/// Whether `enrolment` and `rebindings` (one of the old card, or two of registrars) change the
/// binding of the individual from `bound`.
///
/// # Errors
/// The first reason why not.
pub fn rebinding(
    enrolment: &str,
    rebindings: &[&str],
    gateway: &SiteName,
    bound: &KeyFingerprint,
    at_unix_s: u64,
    trust: &TrustStore,
) -> Result<Rebound, Untrue> {
    let _ = (enrolment, rebindings, gateway, bound, at_unix_s, trust);
    todo!()
}

/// Whether `tokens` of officers suffice, where `need` of them must sign (none: it is off).
///
/// # Errors
/// The first reason why not.
pub fn break_glass(
    tokens: &[&str],
    need: Option<usize>,
    held: &Held,
    asked: &Asked,
    trust: &TrustStore,
) -> Result<(Release, Vec<Verified<BreakGlass>>), Untrue> {
    let _ = (tokens, need, held, asked, trust);
    todo!()
}
