//! Why a person's word does not suffice, said here or by a site, with one code for one reason.

use crate::failure::{Class, Failure};
use warifu_consent::Untrue;
use warifu_consent::card::CardError;
use warifu_consent::trust::TrustError;

/// Codes that a site's refusal may begin with.
const CODES: &[(Class, &str)] = &[
    (Class::Consent, "consent-missing"),
    (Class::Consent, "consent-malformed"),
    (Class::Consent, "consent-forged"),
    (Class::Consent, "consent-expired"),
    (Class::Consent, "permit-ended"),
    (Class::Consent, "consent-not-yet"),
    (Class::Consent, "consent-revoked"),
    (Class::Consent, "consent-used"),
    (Class::Consent, "consent-requester"),
    (Class::Consent, "consent-range"),
    (Class::Consent, "consent-object"),
    (Class::Consent, "consent-person"),
    (Class::Consent, "consent-unbound"),
    (Class::Consent, "presence-stale"),
    (Class::Consent, "presence-mismatch"),
    (Class::Consent, "revocations-stale"),
    (Class::Consent, "trust-none"),
    (Class::Consent, "certificate-expired"),
    (Class::Consent, "certificate-not-yet"),
    (Class::Consent, "certificate-usage"),
    (Class::Consent, "certificate-issuer"),
    (Class::Consent, "certificate-algorithm"),
    (Class::Consent, "certificate-weak"),
    (Class::Consent, "certificate-revoked"),
    (Class::Consent, "certificate-chain"),
    (Class::Consent, "certificate-unreadable"),
    (Class::Consent, "revocation-unknown"),
    (Class::Consent, "break-glass-off"),
    (Class::Consent, "break-glass-officers"),
    (Class::Consent, "object-held"),
    (Class::Audit, "audit-unwritable"),
];

/// What is said of a refusal whose code is not known here.
const OTHER: (Class, &str) = (Class::Consent, "consent-refused");

/// Class and code of a site's refusal, from its own words: `code: text`.
pub(crate) fn refused_code(text: &str) -> (Class, &'static str) {
    let said = text.split(':').next().unwrap_or_default();
    CODES.iter().find(|(_, code)| *code == said).copied().unwrap_or(OTHER)
}

/// What to do about a refusal with this code.
pub(crate) fn next_of(code: &str) -> &'static str {
    match code {
        "consent-missing" => "ask the person for a consent, and give it with --consent and --card",
        "consent-expired" | "consent-used" | "consent-revoked" => {
            "ask the person for another consent"
        }
        "permit-ended" => "show the consent and the card again: a permit lasts a day at most",
        "consent-not-yet" => "wait, or set the clocks of both hosts right",
        "consent-requester" => "ask the person for a consent that names this gateway",
        "consent-range" => "ask for less, or ask the person for a consent that covers it",
        "consent-object" => "ask the person for a consent that names the object",
        "consent-person" => "use the card that is enrolled, or `warifu individual rebind`",
        "consent-unbound" => "enrol the person's card: `warifu individual enroll --card`",
        "presence-stale" | "presence-mismatch" => "try again: a presence serves one session",
        "revocations-stale" => {
            "connect the gateway that stored the object to the site, or let the site's operator \
             accept the silence: `warifu consent accept-silence`"
        }
        "trust-none" | "certificate-chain" | "certificate-issuer" => {
            "have the site's operator pin who issued the card: `warifu trust add`"
        }
        "audit-unwritable" => {
            "have the operators of those sites see that their disks have room and can be written"
        }
        "break-glass-off" => "the site's operator decides: `break_glass` under [consent] there",
        "break-glass-officers" => "have more of the officers sign whom the sites have pinned",
        "object-held" => "lift the hold, if it is to be lifted: `warifu hold remove`",
        _ => "see `warifu explain` for what it means",
    }
}

impl From<Untrue> for Failure {
    fn from(untrue: Untrue) -> Self {
        Self::new(Class::Consent, untrue.code(), untrue.to_string()).next(untrue.next())
    }
}

impl From<CardError> for Failure {
    fn from(error: CardError) -> Self {
        let what = error.to_string();
        match error {
            CardError::Absent(_) => Self::new(Class::Card, "card-absent", what)
                .next("insert it, or name another with --card"),
            CardError::WrongPin { .. } => Self::new(Class::Card, "card-pin", what)
                .next("make sure of the PIN before it is given again: too many tries lock it"),
            CardError::LastTry => Self::new(Class::Card, "card-last-try", what)
                .next("make sure of the PIN, then say --last-try: a wrong one locks the card"),
            CardError::NoPin(_) => Self::new(Class::Card, "card-no-pin", what)
                .next("give it with --pin-file or --pin-fd, or run this at a terminal"),
            CardError::Locked => Self::new(Class::Card, "card-locked", what)
                .next("have it unlocked by whoever issued the card"),
            CardError::Hangs { .. } => Self::new(Class::Card, "card-hangs", what)
                .next("take the card out and put it in again, or restart pcscd"),
            CardError::Unfit(_) => Self::new(Class::Card, "card-unfit", what)
                .next("use another card, or another key of it"),
            _ => Self::new(Class::Card, "card-failed", what)
                .next("take the card out and put it in again; see also `warifu doctor`"),
        }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        let what = error.to_string();
        match error {
            TrustError::Unfit(untrue) => {
                let (code, next) = (untrue.code(), untrue.next());
                Self::new(Class::Usage, code, what).because(untrue).next(next)
            }
            TrustError::Given(_) => Self::new(Class::Usage, "trust-file", what)
                .next("give a file with one certificate, `-----BEGIN CERTIFICATE-----`"),
            TrustError::ListOfNobody { .. } | TrustError::OlderList { .. } => {
                Self::new(Class::Usage, "trust-list", what)
                    .next("give the authority's latest list, and pin that authority first")
            }
            TrustError::NoSuch { .. } => Self::new(Class::NotFound, "trust-unknown", what)
                .next("see `warifu trust list`; give more digits"),
            error => {
                Self::new(Class::Other, "trust-folder", "the pinned certificates can't be used")
                    .because(error)
                    .next("see that the vault's folder trust/ can be read and written")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sites_code_is_told_on_and_an_unknown_one_is_not_made_up() {
        assert_eq!(refused_code("consent-expired: it ended"), (Class::Consent, "consent-expired"));
        for text in ["", "nonsense", "consent-expired it ended", "key-short: no"] {
            assert_eq!(refused_code(text), OTHER, "{text}");
        }
        let codes = CODES.iter().map(|(_, code)| next_of(code));
        assert!(codes.into_iter().all(|next| !next.is_empty()));
    }
}
