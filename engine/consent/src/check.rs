//! What follows from statements: whether a site may release, bind or forget. Pure: statements,
//! what the site holds, anchors and a time go in; a decision comes out.

mod binding;
mod glass;

pub use binding::{Rebound, enrolment, rebinding};
pub use glass::break_glass;

use crate::jws;
use crate::statement::{
    Consent, KeyFingerprint, Locator, Nonce, Presence, PresenceKind, Revocation, StatementId,
};
use crate::trust::{TrustStore, Verified};
use crate::untrue::{Unbound, Untrue};
use std::collections::BTreeMap;
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
    let given = self::consent(consent, held, asked, trust)?;
    let shown = present(presence, PresenceKind::Restore, asked, trust)?;
    let (Verified { statement: consent, .. }, Verified { statement: presence, .. }) =
        (&given, &shown.verified);
    if shown.verified.key != given.key {
        return Err(person(&consent.individual));
    }
    if presence.consent != Some(consent.id) {
        return Err(Untrue::Mismatch("consent"));
    }
    if presence.object != asked.object {
        return Err(Untrue::Mismatch("object"));
    }
    // What serves once serves one session; the other sites of that session come later.
    if consent.single_use && held.used_in.is_some_and(|session| session != presence.session) {
        return Err(Untrue::Used);
    }
    let ranges = narrowed(&named(consent, asked)?.ranges, &presence.ranges)?;
    Ok(Release {
        consent: consent.id,
        session: presence.session,
        individual: consent.individual.clone(),
        purpose: consent.purpose.clone(),
        ranges,
        until_unix_s: consent.expires.min(asked.at_unix_s.saturating_add(PERMIT_S_MAX)),
        is_single_use: consent.single_use,
        is_software: given.is_software || shown.verified.is_software,
        nonce: shown.nonce,
    })
}

/// Whether `token` is a consent that holds for what is asked, presence and use apart.
///
/// # Errors
/// The first reason why not.
pub fn consent(
    token: &str,
    held: &Held,
    asked: &Asked,
    trust: &TrustStore,
) -> Result<Verified<Consent>, Untrue> {
    let owner = held.owner.as_ref().ok_or(Untrue::Unbound(Unbound::Owner))?;
    let key = held.key.ok_or(Untrue::Unbound(Unbound::Card))?;
    let verified = trust.verify::<Consent>(token, asked.at_unix_s)?;
    let consent = &verified.statement;
    if verified.key != key || consent.individual != *owner {
        return Err(person(owner));
    }
    if consent.requester != asked.requester {
        return Err(Untrue::Requester {
            named: consent.requester.to_string(),
            asking: asked.requester.to_string(),
        });
    }
    named(consent, asked)?;
    not_ahead(consent.at, asked.at_unix_s)?;
    if asked.at_unix_s < consent.not_before {
        return Err(Untrue::NotYet {
            from_unix_s: consent.not_before,
            now_unix_s: asked.at_unix_s,
        });
    }
    if asked.at_unix_s >= consent.expires {
        return Err(Untrue::Expired {
            expired_unix_s: consent.expires,
            now_unix_s: asked.at_unix_s,
        });
    }
    if held.revocations.iter().any(|revocation| is_revoked(consent, revocation)) {
        return Err(Untrue::Revoked);
    }
    Ok(verified)
}

/// Whether `revocation`, which was accepted, takes back `consent`.
#[must_use]
pub fn is_revoked(consent: &Consent, revocation: &Revocation) -> bool {
    let is_named = revocation.consents.contains(&consent.id);
    let is_all = revocation.consents.is_empty() && consent.at <= revocation.at;
    revocation.individual == consent.individual && (is_named || is_all)
}

/// Whether `presence` suffices to list what is here for its card's holder.
///
/// # Errors
/// The first reason why not.
pub fn find(presence: &str, asked: &Asked, trust: &TrustStore) -> Result<Finder, Untrue> {
    let shown = present(presence, PresenceKind::Find, asked, trust)?;
    Ok(Finder {
        key: shown.verified.key,
        session: shown.verified.statement.session,
        is_software: shown.verified.is_software,
        nonce: shown.nonce,
    })
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
    let possessed = jws::possesses::<Revocation>(token)?;
    if possessed.key != *key || possessed.statement.individual != *individual {
        return Err(person(individual));
    }
    // What names its consents means the same at any time, also where this clock is behind.
    if possessed.statement.consents.is_empty() {
        not_ahead(possessed.statement.at, at_unix_s)?;
    }
    Ok(possessed.statement)
}

/// A presence that was shown for this, and the challenge that it answers.
struct Shown {
    verified: Verified<Presence>,
    nonce: Nonce,
}

fn present(
    token: &str,
    kind: PresenceKind,
    asked: &Asked,
    trust: &TrustStore,
) -> Result<Shown, Untrue> {
    let verified = trust.verify::<Presence>(token, asked.at_unix_s)?;
    let presence = &verified.statement;
    if presence.kind != kind {
        return Err(Untrue::Mismatch("kind"));
    }
    if presence.requester != asked.requester {
        return Err(Untrue::Mismatch("requester"));
    }
    let nonce = answered(&presence.nonces, asked)?;
    Ok(Shown { verified, nonce })
}

/// The open challenge that is among `nonces`. They are random, so whose they are need not be said.
fn answered(nonces: &BTreeMap<String, Nonce>, asked: &Asked) -> Result<Nonce, Untrue> {
    let open = |nonce: &&Nonce| asked.nonces.contains(nonce);
    nonces.values().find(open).copied().ok_or(Untrue::Stale)
}

/// What `consent` says about the object asked for.
fn named<'a>(consent: &'a Consent, asked: &Asked) -> Result<&'a Locator, Untrue> {
    let mut objects = consent.objects.iter();
    objects.find(|locator| Some(locator.object) == asked.object).ok_or(Untrue::Object)
}

type Ranges = Option<Vec<Range<u64>>>;

/// `wanted`, where all of it lies within `allowed`; all that is allowed, where nothing is said.
fn narrowed(allowed: &Ranges, wanted: &Ranges) -> Result<Ranges, Untrue> {
    let (Some(within), Some(ranges)) = (allowed, wanted) else {
        return Ok(wanted.clone().or_else(|| allowed.clone()));
    };
    let joined = joined(within);
    let is_within = |range: &Range<u64>| {
        joined.iter().any(|whole| whole.start <= range.start && range.end <= whole.end)
    };
    if ranges.iter().all(is_within) { Ok(wanted.clone()) } else { Err(Untrue::Range) }
}

/// The same bytes, with ranges that touch made one.
fn joined(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range.clone()),
        }
    }
    joined
}

/// That `signed_unix_s` is not in the future, a little apart: "all consents until now" is to mean
/// something.
fn not_ahead(signed_unix_s: u64, at_unix_s: u64) -> Result<(), Untrue> {
    if signed_unix_s > at_unix_s.saturating_add(AHEAD_S_MAX) {
        return Err(Untrue::NotYet { from_unix_s: signed_unix_s, now_unix_s: at_unix_s });
    }
    Ok(())
}

fn person(individual: &IndividualId) -> Untrue {
    Untrue::Person { individual: individual.to_string() }
}
