//! Break-glass: officers in place of the person.

use super::{Asked, Held, PERMIT_S_MAX, Release, answered, not_ahead};
use crate::statement::BreakGlass;
use crate::trust::{Role, TrustStore, Verified};
use crate::untrue::{Unbound, Untrue};

/// The most officers whose statements are read.
const OFFICERS_MAX: usize = 8;

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
    let need = need.filter(|need| *need > 0).ok_or(Untrue::BreakGlassOff)?;
    let owner = held.owner.as_ref().ok_or(Untrue::Unbound(Unbound::Owner))?;
    if tokens.len() > OFFICERS_MAX {
        return Err(Untrue::Malformed("more than eight officers".to_owned()));
    }
    let mut officers: Vec<Verified<BreakGlass>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let signed = trust.verify_pinned::<BreakGlass>(Role::Officer, token, asked.at_unix_s)?;
        // Whoever signs twice is one officer.
        if officers.iter().all(|officer| officer.key != signed.key) {
            officers.push(signed);
        }
    }
    let Some(first) = officers.first().map(|officer| officer.statement.clone()) else {
        return Err(Untrue::BreakGlassOfficers { have: 0, need });
    };
    if officers.len() < need {
        return Err(Untrue::BreakGlassOfficers { have: officers.len(), need });
    }
    for officer in &officers {
        let said = &officer.statement;
        // They sign one after the other: only the times may differ.
        if first != (BreakGlass { at: first.at, ..said.clone() }) {
            return Err(Untrue::Mismatch("case"));
        }
        not_ahead(said.at, asked.at_unix_s)?;
    }
    if first.requester != asked.requester {
        return Err(Untrue::Requester {
            named: first.requester.to_string(),
            asking: asked.requester.to_string(),
        });
    }
    if first.individual != *owner {
        return Err(Untrue::Mismatch("individual"));
    }
    if Some(first.object.object) != asked.object {
        return Err(Untrue::Object);
    }
    if asked.at_unix_s >= first.expires {
        return Err(Untrue::Expired { expired_unix_s: first.expires, now_unix_s: asked.at_unix_s });
    }
    let nonce = answered(&first.nonces, asked)?;
    let release = Release {
        consent: first.id,
        session: first.id,
        individual: first.individual,
        purpose: first.reason,
        ranges: first.object.ranges,
        until_unix_s: first.expires.min(asked.at_unix_s.saturating_add(PERMIT_S_MAX)),
        is_single_use: false,
        is_software: officers.iter().any(|officer| officer.is_software),
        nonce,
    };
    Ok((release, officers))
}
