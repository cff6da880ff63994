//! Requests that show what cards have signed, and what is released by it.

use super::persons::{about, bad_request};
use super::{Answer, Declined, Desk};
use crate::drafts::share_name;
use crate::office::{Given, Moment, Office, Permit, Refused, Told, unreadable, unwritable};
use std::collections::BTreeMap;
use std::time::Duration;
use warifu_catalog::{Admission, Event, Owner, Standing};
use warifu_consent::check::{self, Asked, Held, Release};
use warifu_consent::statement::{BreakGlass, Consent, KeyFingerprint, Nonce, Presence, Statement};
use warifu_consent::{Unbound, Untrue, jws};
use warifu_core::share_file::parse_share_file_name;
use warifu_core::{LinkId, ObjectId, SiteName};
use warifu_link::body::{FOUND_MAX, SESSION_BYTES, ShareStat, decode_tokens};
use warifu_link::{Message, Status};
use warifu_pipeline::share::ShareReader;

/// Owners of one object that are tried, one for each link that brought shares of it.
const OWNERS_MAX: usize = 64;

/// Who shows something, for what, when.
struct Shown<'a> {
    office: &'a Office,
    who: SiteName,
    object: Option<ObjectId>,
    now_unix_s: u64,
    now: Duration,
}

impl Shown<'_> {
    fn asked(&self, nonces: Vec<Nonce>) -> Asked {
        Asked {
            requester: self.who.clone(),
            object: self.object,
            nonces,
            at_unix_s: self.now_unix_s,
        }
    }

    fn until(&self, held_for: Duration) -> Moment {
        Moment { elapsed: self.now, unix_s: self.now_unix_s }.after(held_for)
    }

    /// Seconds from now until then.
    fn left(&self, until_unix_s: u64) -> Duration {
        Duration::from_secs(until_unix_s.saturating_sub(self.now_unix_s).min(check::PERMIT_S_MAX))
    }
}

impl Desk {
    /// Judges what is shown, and gives the permit that follows. Whatever comes of it is in the
    /// audit log first.
    pub(super) fn present(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let shown = Shown {
            office: self.office()?,
            who: self.requester()?,
            object: about(message),
            now_unix_s: self.now_unix_s(),
            now: self.site.clock().elapsed(),
        };
        let tokens = decode_tokens(body).map_err(bad_request)?;
        let kinds: Vec<_> = tokens.iter().map(|token| jws::kind(token)).collect();
        let (kind, held_for) = match (&tokens[..], &kinds[..]) {
            ([presence], [Some(Presence::TYPE)]) => ("find", self.seek(&shown, presence)),
            ([consent, presence], [Some(Consent::TYPE), Some(Presence::TYPE)]) => {
                ("present", self.permit_by_consent(&shown, consent, presence))
            }
            (officers, kinds) if kinds.iter().all(|kind| *kind == Some(BreakGlass::TYPE)) => {
                ("break-glass", self.break_glass(&shown, officers))
            }
            _ => {
                let why = "neither consent and presence, nor presence, nor break-glass";
                ("present", Err(Untrue::Malformed(why.to_owned()).into()))
            }
        };
        let held_for = held_for.map_err(|refused| self.refuse(&shown, kind, &tokens, refused))?;
        Ok(Answer { argument0: held_for.as_secs(), ..Answer::default() })
    }

    /// Tells the audit log what was refused, as far as it can be read, and the asker why.
    fn refuse(
        &self,
        shown: &Shown<'_>,
        kind: &'static str,
        tokens: &[&str],
        refused: Refused,
    ) -> Declined {
        let claimed = tokens.first().and_then(|token| jws::read::<Consent>(token).ok());
        let claimed = claimed.map(|claimed| claimed.statement);
        let declined = Declined::from(refused);
        let code = declined.text.split(':').next().unwrap_or_default().to_owned();
        let told = Told {
            kind,
            who: shown.who.as_str(),
            individual: claimed.as_ref().map(|claimed| claimed.individual.as_str()),
            object: shown.object,
            purpose: claimed.as_ref().map(|claimed| claimed.purpose.as_str()),
            result: "refused",
            code: Some(&code).filter(|_| declined.status == Status::Consent).map(String::as_str),
            consent: claimed.as_ref().map(|claimed| claimed.id.0),
            ..Told::default()
        };
        shown.office.tell_refusal(self.greeted.link, &told, shown.now_unix_s);
        declined
    }

    /// The open challenges that a statement answers; they are used up by that.
    fn answered(&self, shown: &Shown<'_>, nonces: &BTreeMap<String, Nonce>) -> Vec<Nonce> {
        let mut proofs = shown.office.proofs();
        proofs.answer(self.greeted.link, shown.object, nonces.values(), shown.now)
    }

    fn permit_by_consent(
        &self,
        shown: &Shown<'_>,
        consent: &str,
        presence: &str,
    ) -> Result<Duration, Refused> {
        let object = shown.object.ok_or(Untrue::Mismatch("object"))?;
        let claimed = jws::read::<Presence>(presence)?;
        let asked = shown.asked(self.answered(shown, &claimed.statement.nonces));
        let given = jws::read::<Consent>(consent)?.statement;
        let trust = shown.office.trust()?;
        let owners = self.owners(shown.office, object)?;
        let mut refused = None;
        let mut held_for = None;
        for (owner, held) in owners {
            let judged = check::release(consent, presence, &held, &asked, &trust);
            let admitted = judged.map_err(Refused::from).and_then(|release| {
                let key = held.key.ok_or(Untrue::Stale)?;
                let given = Given {
                    key,
                    consent: given.id.0,
                    individual: release.individual.clone(),
                    made_unix_s: given.at,
                };
                self.admit(shown, &owner, &release, given)
            });
            match admitted {
                Ok(held) => held_for = Some(held),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        match (held_for, refused) {
            (Some(held_for), _) => Ok(held_for),
            (None, Some(refused)) => Err(refused),
            (None, None) => Err(Untrue::Unbound(Unbound::Owner).into()),
        }
    }

    /// Those whose the object is, and what is held for each: one for each link that brought it.
    /// This very link's comes first.
    fn owners(&self, office: &Office, object: ObjectId) -> Result<Vec<(Owner, Held)>, Declined> {
        let register = office.register();
        let mut owners = register.owners(object).map_err(unreadable)?;
        owners.sort_by_key(|owner| owner.link != self.greeted.link);
        owners.truncate(OWNERS_MAX);
        owners
            .into_iter()
            .map(|owner| {
                let bound = register.binding(owner.link, &owner.individual).map_err(unreadable)?;
                let held = Held {
                    owner: Some(owner.individual.clone()),
                    key: bound.map(|bound| KeyFingerprint(bound.key)),
                    used_in: None,
                    revocations: Vec::new(),
                };
                Ok((owner, held))
            })
            .collect()
    }

    /// Gives the permit, unless the consent was revoked or used up: once the audit log has it.
    fn admit(
        &self,
        shown: &Shown<'_>,
        owner: &Owner,
        release: &Release,
        given: Given,
    ) -> Result<Duration, Refused> {
        let (office, register) = (shown.office, shown.office.register());
        office.expect_fresh(self.greeted.link, owner.link, shown.now_unix_s)?;
        let json = released(shown, release).json();
        let event = Event { kind: "present", json: &json, at_unix_s: shown.now_unix_s };
        let admission = Admission {
            key: given.key.0,
            consent: release.consent.0,
            individual: &release.individual,
            made_unix_s: given.made_unix_s,
            uses_up: release.is_single_use.then_some(release.session.0),
        };
        // Nothing is revoked or rebound between this and the permit.
        let mut proofs = office.proofs();
        let bound = register.binding(owner.link, &owner.individual).map_err(unreadable)?;
        if bound.is_none_or(|bound| bound.key != given.key.0) {
            return Err(Untrue::Person { individual: owner.individual.to_string() }.into());
        }
        match register.admit(&admission, &event).map_err(unwritable)? {
            Standing::Holds => {}
            Standing::Revoked => return Err(Untrue::Revoked.into()),
            Standing::Used => return Err(Untrue::Used.into()),
        }
        let held_for = shown.left(release.until_unix_s);
        let permit = Permit {
            consent: Some(given),
            ranges: release.ranges.clone(),
            until: shown.until(held_for),
        };
        match proofs.permit(self.greeted.link, (owner.object, owner.link), permit, shown.now) {
            true => Ok(held_for),
            false => Err(crowded().into()),
        }
    }

    /// Remembers whose card is present, so that what is theirs can be asked for.
    fn seek(&self, shown: &Shown<'_>, presence: &str) -> Result<Duration, Refused> {
        let claimed = jws::read::<Presence>(presence)?;
        let asked = shown.asked(self.answered(shown, &claimed.statement.nonces));
        let trust = shown.office.trust()?;
        let finder = check::find(presence, &asked, &trust)?;
        let json = Told {
            who: shown.who.as_str(),
            result: "answered",
            is_software: Some(finder.is_software),
            session: Some(finder.session.0),
            keys: &[finder.key.0],
            ..Told::default()
        }
        .json();
        let event = Event { kind: "find", json: &json, at_unix_s: shown.now_unix_s };
        shown.office.register().append_audit(&event).map_err(unwritable)?;
        let mut proofs = shown.office.proofs();
        let session = finder.session.0;
        match proofs.search(self.greeted.link, session, finder.key, shown.now) {
            true => Ok(crate::office::PROOF_KEPT),
            false => Err(crowded().into()),
        }
    }

    /// Opens an object by the word of officers. It is loud: in the daemon's log and the audit log.
    fn break_glass(&self, shown: &Shown<'_>, officers: &[&str]) -> Result<Duration, Refused> {
        let object = shown.object.ok_or(Untrue::Mismatch("object"))?;
        let mut nonces = Vec::new();
        for token in officers {
            let claimed = jws::read::<BreakGlass>(token)?;
            nonces.extend(self.answered(shown, &claimed.statement.nonces));
        }
        let asked = shown.asked(nonces);
        let (trust, need) = (shown.office.trust()?, shown.office.rules().officers);
        let mut refused = Refused::from(Untrue::Unbound(Unbound::Owner));
        for (owner, held) in self.owners(shown.office, object)? {
            let judged = check::break_glass(officers, need, &held, &asked, &trust);
            let (release, signed) = match judged {
                Ok(judged) => judged,
                Err(untrue) => {
                    refused = untrue.into();
                    continue;
                }
            };
            let keys: Vec<[u8; 32]> = signed.iter().map(|signed| signed.key.0).collect();
            let json = Told { keys: &keys, ..released(shown, &release) }.json();
            let event = Event { kind: "break-glass", json: &json, at_unix_s: shown.now_unix_s };
            let mut proofs = shown.office.proofs();
            shown.office.register().append_audit(&event).map_err(unwritable)?;
            tracing::warn!(
                who = %shown.who,
                %object,
                individual = %release.individual,
                reason = release.purpose,
                officers = keys.len(),
                "an object is opened without its person"
            );
            let held_for = shown.left(release.until_unix_s);
            let until = shown.until(held_for);
            let permit = Permit { consent: None, ranges: release.ranges, until };
            return match proofs.permit(self.greeted.link, (object, owner.link), permit, shown.now) {
                true => Ok(held_for),
                false => Err(crowded().into()),
            };
        }
        Err(refused)
    }

    /// Which shares here belong to the holder of the card whose presence named this search, whoever
    /// stored them.
    pub(super) fn found(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let office = self.office()?;
        let session: [u8; SESSION_BYTES] =
            body.try_into().map_err(|_| Declined::new(Status::BadRequest, "no search"))?;
        let now = self.site.clock().elapsed();
        let key = office.proofs().searcher(self.greeted.link, session, now);
        let key = key.ok_or(Untrue::Stale)?;
        let owned = office.register().owned_by(&key.0).map_err(unreadable)?;
        let owned: std::collections::HashSet<(ObjectId, LinkId)> =
            owned.into_iter().map(|owner| (owner.object, owner.link)).collect();
        let objects: std::collections::HashSet<ObjectId> =
            owned.iter().map(|(object, _)| *object).collect();
        let entries = self.site.store().list().map_err(|error| super::declined(error.into()))?;
        let mut addresses: Vec<_> = entries
            .iter()
            .filter_map(|entry| parse_share_file_name(entry.name.as_str()))
            .filter(|(object, _)| objects.contains(object))
            .collect();
        addresses.sort_unstable();
        let mut stats = Vec::new();
        for (object, x) in addresses {
            let name = share_name(warifu_pipeline::peer::ShareAddress { object, x });
            let reader = name.and_then(|name| ShareReader::open(self.site.store(), &name));
            let Ok(reader) = reader else { continue };
            let header = reader.header();
            if header.link.is_some_and(|link| owned.contains(&(object, link))) {
                stats.push(super::shares::stat_of(header));
            }
        }
        let from = usize::try_from(message.index).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        stats.iter().skip(from).take(FOUND_MAX).for_each(|stat: &ShareStat| stat.encode(&mut body));
        Ok(Answer { argument0: stats.len() as u64, body, ..Answer::default() })
    }
}

fn released<'a>(shown: &'a Shown<'_>, release: &'a Release) -> Told<'a> {
    Told {
        who: shown.who.as_str(),
        individual: Some(release.individual.as_str()),
        object: shown.object,
        ranges: release.ranges.as_deref(),
        purpose: Some(&release.purpose),
        result: "released",
        is_software: Some(release.is_software),
        consent: Some(release.consent.0),
        session: Some(release.session.0),
        ..Told::default()
    }
}

fn crowded() -> Declined {
    Declined::new(Status::Limit, "too many links have permits here")
}
