//! Why a statement is not believed, or does not suffice: one place for all codes and texts.

use std::fmt;

/// Why a statement is not believed, or does not suffice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untrue {
    /// None was shown.
    #[error("no consent was shown")]
    Missing,
    /// It is not a statement, or says what none may say.
    #[error("the statement can't be read: {0}")]
    Malformed(String),
    /// The signature is not that of its certificate's key.
    #[error("the signature is not that of the certificate's key")]
    Forged,
    /// Its time is over.
    #[error(
        "the consent ended at {}, and now it is {}",
        utc(*expired_unix_s),
        utc(*now_unix_s)
    )]
    Expired {
        /// When it ended.
        expired_unix_s: u64,
        /// When it was judged.
        now_unix_s: u64,
    },
    /// What a site allowed by it is over; the consent itself may still hold.
    #[error("the permit of this session ended")]
    PermitEnded,
    /// Its time has not come.
    #[error("the statement holds from {}, and now it is {}", utc(*from_unix_s), utc(*now_unix_s))]
    NotYet {
        /// From when it holds.
        from_unix_s: u64,
        /// When it was judged.
        now_unix_s: u64,
    },
    /// Its card took it back.
    #[error("the consent was revoked by its card")]
    Revoked,
    /// It served already.
    #[error("the consent serves one restore only, and has served another")]
    Used,
    /// It is for another requester.
    #[error("the consent is for {named}, and {asking} asks")]
    Requester {
        /// Whom it names.
        named: String,
        /// Who asks.
        asking: String,
    },
    /// It does not cover all that is asked for.
    #[error("the consent does not cover the range asked for")]
    Range,
    /// It does not cover the object.
    #[error("the consent does not name this object")]
    Object,
    /// Another card signed than the one bound to the individual.
    #[error("another card signed than the one that is bound to {individual} here")]
    Person {
        /// The individual.
        individual: String,
    },
    /// There is nothing that says whose the object is, or by which card he or she signs.
    #[error("nothing here says {0}")]
    Unbound(Unbound),
    /// No nonce in it was drawn here for this and is still good.
    #[error("the presence answers none of the challenges that are open here")]
    Stale,
    /// Statements that belong together are not about the same.
    #[error("the statements do not fit together, or not what is asked: the {0} is another")]
    Mismatch(&'static str),
    /// Revocations may have been missed.
    #[error("nobody has told of revocations for {silent_h} hours, and {allowed_h} are allowed")]
    RevocationsStale {
        /// For how many hours.
        silent_h: u64,
        /// How many are allowed.
        allowed_h: u64,
    },
    /// There is no anchor of that role.
    #[error("no certificate of {0} is pinned here")]
    NoTrust(&'static str),
    /// What is wrong with a certificate.
    #[error("{subject}: {fault}")]
    Certificate {
        /// What is wrong with it.
        fault: Fault,
        /// Whose it is, as far as it can be read.
        subject: String,
    },
    /// Break-glass is off here.
    #[error("break-glass is off at this site")]
    BreakGlassOff,
    /// Too few officers signed.
    #[error("{have} of the officers pinned here signed, and {need} must")]
    BreakGlassOfficers {
        /// How many did.
        have: usize,
        /// How many must.
        need: usize,
    },
    /// Too few registrars signed a rebinding.
    #[error("neither the card bound so far nor two registrars pinned here signed the change")]
    Registrars,
}

/// A time for people: RFC 3339, UTC.
fn utc(unix_s: u64) -> String {
    let second = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(second);
    time.map_or_else(|_| format!("{unix_s} s after 1970 began"), |time| time.to_string())
}

/// What is missing where nothing is bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unbound {
    /// The object has no owner.
    Owner,
    /// The owner has no card.
    Card,
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "whose the object is",
            Self::Card => "which card is its owner's",
        })
    }
}

/// What is wrong with a certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYet,
    /// It is not for signing.
    #[error("the certificate is not for this use: {0}")]
    Usage(&'static str),
    /// It was issued by one that must not.
    #[error("the certificate was issued by one that is no authority")]
    Issuer,
    /// An algorithm that is not allowed.
    #[error("the certificate's algorithm is not allowed: {0}")]
    Algorithm(String),
    /// Too short a key.
    #[error("the certificate's key is too weak: {bits} bits, {least} are the least")]
    Weak {
        /// How long it is.
        bits: usize,
        /// How long it must be.
        least: usize,
    },
    /// Its authority took it back.
    #[error("the certificate was revoked by its authority")]
    Revoked,
    /// It leads to no anchor.
    #[error("the certificate leads to no authority that is trusted here: {0}")]
    Chain(String),
    /// It can't be read.
    #[error("the certificate can't be read: {0}")]
    Unreadable(String),
    /// Whether it was revoked can't be known.
    #[error("whether the certificate was revoked can't be known: {0}")]
    RevocationUnknown(String),
}

impl Untrue {
    /// The stable code, as it stands in refusals, logs and explanations.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "consent-missing",
            Self::Malformed(_) => "consent-malformed",
            Self::Forged => "consent-forged",
            Self::Expired { .. } => "consent-expired",
            Self::PermitEnded => "permit-ended",
            Self::NotYet { .. } => "consent-not-yet",
            Self::Revoked => "consent-revoked",
            Self::Used => "consent-used",
            Self::Requester { .. } => "consent-requester",
            Self::Range => "consent-range",
            Self::Object => "consent-object",
            Self::Person { .. } | Self::Registrars => "consent-person",
            Self::Unbound(_) => "consent-unbound",
            Self::Stale => "presence-stale",
            Self::Mismatch(_) => "presence-mismatch",
            Self::RevocationsStale { .. } => "revocations-stale",
            Self::NoTrust(_) => "trust-none",
            Self::Certificate { fault, .. } => fault.code(),
            Self::BreakGlassOff => "break-glass-off",
            Self::BreakGlassOfficers { .. } => "break-glass-officers",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        match self {
            Self::Missing => "ask the person for a consent: warifu consent request",
            Self::Malformed(_) | Self::Forged => {
                "take the statement as its card made it; it may have been cut or changed on its way"
            }
            Self::Expired { .. } => "ask the person for another consent",
            Self::PermitEnded => {
                "show the consent and the card again: a permit lasts a day at most"
            }
            Self::NotYet { .. } => "wait, or set the clocks of both hosts right",
            Self::Revoked => "ask the person; what was revoked stays so",
            Self::Used => "ask the person for another consent, without --single-use if need be",
            Self::Requester { .. } => "ask the person for a consent that names this requester",
            Self::Range => "ask for less, or ask the person for a consent that covers it",
            Self::Object => "ask the person for a consent that names the object",
            Self::Person { .. } => {
                "use the card that was enrolled, or rebind: warifu individual rebind"
            }
            Self::Registrars => "have the old card sign, or two registrars pinned at the site",
            Self::Unbound(_) => "enrol the person's card: warifu individual enroll --card",
            Self::Stale => "ask again: a presence serves one session within ten minutes",
            Self::Mismatch(_) => "have all of them signed anew, for this very object and session",
            Self::RevocationsStale { .. } => {
                "connect the gateway that stored the object, or let the site's operator accept it: \
                 warifu consent accept-silence"
            }
            Self::NoTrust(_) => "have the operator pin one: warifu trust add",
            Self::Certificate { fault, .. } => fault.next(),
            Self::BreakGlassOff => "the site's operator decides: break_glass in its config.toml",
            Self::BreakGlassOfficers { .. } => "have more of the pinned officers sign",
        }
    }
}

impl Fault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired => "certificate-expired",
            Self::NotYet => "certificate-not-yet",
            Self::Usage(_) => "certificate-usage",
            Self::Issuer => "certificate-issuer",
            Self::Algorithm(_) => "certificate-algorithm",
            Self::Weak { .. } => "certificate-weak",
            Self::Revoked => "certificate-revoked",
            Self::Chain(_) => "certificate-chain",
            Self::Unreadable(_) => "certificate-unreadable",
            Self::RevocationUnknown(_) => "revocation-unknown",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        match self {
            Self::Expired => "have the certificate renewed, then rebind the new key",
            Self::NotYet => "wait, or set the clock right",
            Self::Usage(_) => "use the certificate for user authentication, not another",
            Self::Issuer | Self::Chain(_) => {
                "have the operator pin the authority that issued it, if it is to be trusted: \
                 warifu trust add"
            }
            Self::Algorithm(_) | Self::Weak { .. } => {
                "use a card with RSA of 2,048 bits or more, P-256 or P-384, and SHA-256 or better"
            }
            Self::Revoked => "get a new card, and have two registrars rebind it",
            Self::Unreadable(_) => "read the certificate from the card again",
            Self::RevocationUnknown(_) => {
                "bring a current list of the authority, or reach its responder"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_for_people() {
        let over = Untrue::Expired { expired_unix_s: 1_577_923_200, now_unix_s: 1_795_464_453 };
        let told = "the consent ended at 2020-01-02T00:00:00Z, and now it is 2026-11-23T20:07:33Z";
        assert_eq!(over.to_string(), told);
        let never = Untrue::NotYet { from_unix_s: u64::MAX, now_unix_s: 0 };
        assert!(
            never.to_string().ends_with("after 1970 began, and now it is 1970-01-01T00:00:00Z")
        );
    }
}
