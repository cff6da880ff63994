//! Which card is whose: enrolments, and how a binding changes.

use super::{not_ahead, person};
use crate::jws;
use crate::statement::{Enrolment, KeyFingerprint, Rebinding};
use crate::trust::{Role, TrustStore};
use crate::untrue::Untrue;
use warifu_core::SiteName;

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
    let possessed = jws::possesses::<Enrolment>(token)?;
    of_gateway(&possessed.statement.gateway, gateway)?;
    not_ahead(possessed.statement.at, at_unix_s)?;
    Ok((possessed.statement, possessed.key))
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
    let new = trust.verify::<Enrolment>(enrolment, at_unix_s)?;
    of_gateway(&new.statement.gateway, gateway)?;
    not_ahead(new.statement.at, at_unix_s)?;
    let (rebinding, signers) = match rebindings {
        [by_card] => {
            let signed = trust.verify::<Rebinding>(by_card, at_unix_s)?;
            if signed.key != *bound {
                return Err(person(&new.statement.individual));
            }
            (signed.statement, vec![signed.key])
        }
        [one, other] => by_registrars(one, other, at_unix_s, trust)?,
        _ => return Err(Untrue::Registrars),
    };
    of_gateway(&rebinding.gateway, gateway)?;
    not_ahead(rebinding.at, at_unix_s)?;
    if rebinding.individual != new.statement.individual {
        return Err(Untrue::Mismatch("individual"));
    }
    // From the key that is bound, so that an old change can't be made once more.
    if rebinding.from != *bound || rebinding.to != new.key {
        return Err(Untrue::Mismatch("key"));
    }
    Ok(Rebound { enrolment: new.statement, rebinding, key: new.key, signers })
}

/// What two registrars say, each by itself and both the same.
fn by_registrars(
    one: &str,
    other: &str,
    at_unix_s: u64,
    trust: &TrustStore,
) -> Result<(Rebinding, Vec<KeyFingerprint>), Untrue> {
    let one = trust.verify_pinned::<Rebinding>(Role::Registrar, one, at_unix_s)?;
    let other = trust.verify_pinned::<Rebinding>(Role::Registrar, other, at_unix_s)?;
    if one.key == other.key {
        return Err(Untrue::Registrars);
    }
    // They sign when they get to it: the times may differ, and both must be past.
    not_ahead(other.statement.at, at_unix_s)?;
    if one.statement != (Rebinding { at: one.statement.at, ..other.statement }) {
        return Err(Untrue::Mismatch("change"));
    }
    Ok((one.statement, vec![one.key, other.key]))
}

fn of_gateway(named: &SiteName, gateway: &SiteName) -> Result<(), Untrue> {
    if named == gateway {
        return Ok(());
    }
    Err(Untrue::Requester { named: named.to_string(), asking: gateway.to_string() })
}
