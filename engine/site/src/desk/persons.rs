//! Requests about persons: whose card is whose, whose object is whose, what no longer holds.

use super::{Answer, Declined, Desk};
use crate::office::{Given, Office, Refused, Told, unreadable, unwritable};
use warifu_catalog::{
    Binding, Bindings, CatalogError, CheckpointRow, Claim, Event, NewBinding, NewRevocation,
    Register,
};
use warifu_consent::statement::{Enrolment, KeyFingerprint, Revocation};
use warifu_consent::{Unbound, Untrue, check, jws};
use warifu_core::{ObjectId, SiteName};
use warifu_link::body::{CHECKPOINTS_MAX, Checkpoint, NONCE_BYTES, decode_owned, decode_tokens};
use warifu_link::{Message, Status};
use warifu_pipeline::peer::TELL_HELD;

/// First arguments of the answer to bind.
const TRUSTED: u64 = 1;
const UNTRUSTED: u64 = 2;

impl Desk {
    /// What this site knows of persons.
    pub(super) fn office(&self) -> Result<&Office, Declined> {
        let none = || Declined::new(Status::Refused, "this site keeps no register of persons");
        self.site.office().ok_or_else(none)
    }

    /// The name by which the other end of the link is known here, and by which statements name it.
    pub(super) fn requester(&self) -> Result<SiteName, Declined> {
        let nobody = || {
            let text = "consent-requester: this link's other end has no name here";
            Declined::new(Status::Consent, text)
        };
        self.gateway()?.ok_or_else(nobody)
    }

    pub(super) fn now_unix_s(&self) -> u64 {
        self.site.clock().unix_s()
    }

    /// Holds a card's key as an individual's. A refusal is told to the audit log.
    pub(super) fn bind(&self, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let tokens = decode_tokens(body).map_err(bad_request)?;
        let bound = match tokens.split_first() {
            Some((enrolment, [])) => self.bind_first(office, enrolment, &who, now),
            Some((enrolment, changes @ ([_] | [_, _]))) => {
                self.rebind(office, enrolment, changes, &who, now)
            }
            _ => Err(Untrue::Malformed("one to three statements bind".to_owned()).into()),
        };
        if let Err(refused) = bound {
            if let Refused::Untrue(untrue) = &refused {
                let told = Told {
                    kind: "bind",
                    who: who.as_str(),
                    result: "refused",
                    code: Some(untrue.code()),
                    ..Told::default()
                };
                office.tell_refusal(self.greeted.link, &told, now);
            }
            return Err(refused.into());
        }
        // Held all the same where it is not trusted: that is judged whenever it is used.
        let judged = match (office.trust(), tokens.first()) {
            (Ok(trust), Some(token)) => trust
                .verify::<Enrolment>(token, now)
                .map_err(|untrue| Declined::from(untrue).text)
                .map(drop),
            (Err(declined), _) => Err(declined.text),
            (Ok(_), None) => Ok(()),
        };
        Ok(match judged {
            Ok(()) => Answer { argument0: TRUSTED, ..Answer::default() },
            Err(why) => {
                let body = warifu_link::body::failure_text(&why).as_bytes().to_vec();
                Answer { argument0: UNTRUSTED, body, ..Answer::default() }
            }
        })
    }

    fn bind_first(
        &self,
        office: &Office,
        token: &str,
        who: &SiteName,
        now: u64,
    ) -> Result<(), Refused> {
        let (enrolment, key) = check::enrolment(token, who, now)?;
        let individual = &enrolment.individual;
        let binding =
            NewBinding { link: self.greeted.link, individual, key: key.0, evidence: token };
        let json = changed("bound", who, &binding);
        let event = Event { kind: "bind", json: &json, at_unix_s: now };
        held(office.register().bind(&binding, &event).map_err(unwritable)?, &binding)
    }

    fn rebind(
        &self,
        office: &Office,
        token: &str,
        changes: &[&str],
        who: &SiteName,
        now: u64,
    ) -> Result<(), Refused> {
        let (enrolment, key) = check::enrolment(token, who, now)?;
        let link = self.greeted.link;
        let known = office.register().binding(link, &enrolment.individual).map_err(unreadable)?;
        let Some(Binding { key: bound, .. }) = known else {
            return Err(Untrue::Unbound(Unbound::Card).into());
        };
        if bound == key.0 {
            return Ok(());
        }
        let trust = office.trust()?;
        let rebound = check::rebinding(token, changes, who, &KeyFingerprint(bound), now, &trust)?;
        let evidence = [&[token], changes].concat().join("\n");
        let individual = &rebound.enrolment.individual;
        let binding = NewBinding { link, individual, key: rebound.key.0, evidence: &evidence };
        let signers: Vec<[u8; 32]> = rebound.signers.iter().map(|signer| signer.0).collect();
        let keys = [&[bound, binding.key], &signers[..]].concat();
        let json = Told {
            purpose: Some(&rebound.rebinding.reason),
            keys: &keys,
            ..of_binding("rebound", who, &binding)
        }
        .json();
        let event = Event { kind: "rebind", json: &json, at_unix_s: now };
        // What the old card's consents opened is closed in the same breath.
        let mut proofs = office.proofs();
        let from = (bound, rebound.rebinding.id.0);
        held(office.register().rebind(from, &binding, &event).map_err(unwritable)?, &binding)?;
        proofs.take_back(|stored_by, given| stored_by == link && given.key.0 == bound);
        Ok(())
    }

    /// Notes whose an object of this link is.
    pub(super) fn own(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let (individual, holders) = decode_owned(body).map_err(bad_request)?;
        let (link, object) = (self.greeted.link, message.object);
        if object.bytes() == &[0; 16] {
            return Err(Declined::new(Status::BadRequest, "no object"));
        }
        let told = Told {
            kind: "own",
            who: who.as_str(),
            individual: Some(individual.as_str()),
            object: Some(object),
            result: "owned",
            ..Told::default()
        };
        let json = told.json();
        let event = Event { kind: told.kind, json: &json, at_unix_s: now };
        let claim = |register: &Register| {
            register.own(link, object, &individual, &event).map_err(unwritable)
        };
        let mut claimed = claim(office.register())?;
        if claimed == Claim::TooMany {
            let stored = self.objects_of_link()?;
            office.register().settle(link, &stored).map_err(unwritable)?;
            claimed = claim(office.register())?;
        }
        let untrue = match claimed {
            Claim::Owned | Claim::OwnedBefore => {
                self.note_holders(office, (object, &holders), &told)?;
                return Ok(Answer::default());
            }
            Claim::Others(owner) => Untrue::Person { individual: owner.to_string() },
            Claim::Unbound => Untrue::Unbound(Unbound::Card),
            Claim::TooMany => {
                return Err(Declined::new(Status::Limit, "too many objects await their shares"));
            }
        };
        let told = Told { result: "refused", code: Some(untrue.code()), ..told };
        office.tell_refusal(link, &told, now);
        Err(untrue.into())
    }

    /// Draws a nonce for a card to sign.
    pub(super) fn challenge(&self, message: &Message) -> Result<Answer, Declined> {
        let (office, _) = (self.office()?, self.requester()?);
        let mut nonce = [0; NONCE_BYTES];
        self.site.entropy().fill(&mut nonce).map_err(|error| {
            Declined::new(Status::Io, format!("no randomness for a nonce: {error}"))
        })?;
        let object = about(message);
        let now = self.site.clock().elapsed();
        let drawn = warifu_consent::statement::Nonce(nonce);
        match office.proofs().challenge(self.greeted.link, object, drawn, now) {
            true => Ok(Answer { body: nonce.to_vec(), ..Answer::default() }),
            false => Err(Declined::new(Status::Limit, "too many challenges are open here")),
        }
    }

    /// Notes that consents no longer hold, whoever brings it: the card's own word suffices.
    pub(super) fn revoke(&self, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let tokens = decode_tokens(body).map_err(bad_request)?;
        let [token] = tokens[..] else {
            return Err(Untrue::Malformed("one statement revokes".to_owned()).into());
        };
        let claimed = jws::possesses::<Revocation>(token)?;
        let (individual, key) = (&claimed.statement.individual, claimed.key);
        let revocation = check::revocation(token, individual, &key, now)?;
        let consents: Vec<[u8; 16]> = revocation.consents.iter().map(|id| id.0).collect();
        let json = Told {
            who: who.as_str(),
            individual: Some(individual.as_str()),
            result: "revoked",
            consent: consents.first().copied().filter(|_| consents.len() == 1),
            keys: &[key.0],
            ..Told::default()
        }
        .json();
        let event = Event { kind: "revoke", json: &json, at_unix_s: now };
        let new = NewRevocation {
            link: self.greeted.link,
            key: key.0,
            revocation: revocation.id.0,
            individual: &revocation.individual,
            consents: &consents,
            at_unix_s: revocation.at,
            token,
        };
        let mut proofs = office.proofs();
        office.register().revoke(&new, &event).map_err(unwritable)?;
        proofs.take_back(|_, given: &Given| {
            let is_named = consents.contains(&given.consent);
            let is_all = consents.is_empty()
                && given.individual == revocation.individual
                && given.made_unix_s <= revocation.at;
            given.key == key && (is_named || is_all)
        });
        Ok(Answer::default())
    }

    /// The other end has told all that it knows; both keep each other's checkpoints.
    pub(super) fn contact(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        if message.argument1 == TELL_HELD {
            return self.checkpoints_held(office);
        }
        let shown = Checkpoint::decode(body).map_err(bad_request)?;
        let link = self.greeted.link;
        if let Some(shown) = shown {
            self.keep_checkpoint(office, &shown, &who)?;
        }
        tracing::debug!(%who, revocations = message.argument0, "in contact");
        office.register().contact(link, now).map_err(unwritable)?;
        let mut body = Vec::new();
        if let Some(notary) = office.notary() {
            let head = office.register().audit_head().map_err(unreadable)?;
            if let Some(own) = notary.sign(&head, now) {
                own.encode(&mut body);
            }
        }
        Ok(Answer { body, ..Answer::default() })
    }

    /// The checkpoints of the asker's own log that are held here: where there are many, the first
    /// and the last of them and some between.
    fn checkpoints_held(&self, office: &Office) -> Result<Answer, Declined> {
        let held = office.register().checkpoints(Some(self.greeted.link)).map_err(unreadable)?;
        let told = held.len().min(CHECKPOINTS_MAX);
        let mut body = Vec::new();
        for at in 0..told {
            let row = &held[at * (held.len() - 1) / (told - 1).max(1)];
            let checkpoint = Checkpoint {
                entries: row.entries,
                chain: row.chain,
                at_unix_s: row.at_unix_s,
                signature: row.signature,
                public_key: row.public_key,
            };
            checkpoint.encode(&mut body);
        }
        Ok(Answer { body, ..Answer::default() })
    }

    /// Keeps a checkpoint. One that does not go on from those before is told to the audit log.
    fn keep_checkpoint(
        &self,
        office: &Office,
        shown: &Checkpoint,
        who: &SiteName,
    ) -> Result<(), Declined> {
        let (link, now) = (self.greeted.link, self.now_unix_s());
        let row = CheckpointRow {
            link,
            entries: shown.entries,
            chain: shown.chain,
            at_unix_s: shown.at_unix_s,
            signature: shown.signature,
            public_key: shown.public_key,
        };
        let fits = match office.register().keep_checkpoint(&row, now) {
            Ok(fits) if !fits.is_conflict() => return Ok(()),
            Ok(fits) => fits.as_str(),
            Err(CatalogError::Invalid { .. }) => "forged",
            Err(error) => return Err(unwritable(error)),
        };
        tracing::error!(%who, fits, "its audit log does not go on from what it showed before");
        let told = Told {
            kind: "checkpoint",
            who: who.as_str(),
            result: "conflict",
            code: Some(fits),
            ..Told::default()
        };
        office.tell_refusal(link, &told, now);
        Ok(())
    }
}

/// The object that a message is about; none where it is zero.
pub(super) fn about(message: &Message) -> Option<ObjectId> {
    Some(message.object).filter(|object| object.bytes() != &[0; 16])
}

pub(super) fn bad_request(error: warifu_link::MessageError) -> Declined {
    Declined::new(Status::BadRequest, error.to_string())
}

fn of_binding<'a>(result: &'static str, who: &'a SiteName, binding: &NewBinding<'a>) -> Told<'a> {
    Told {
        who: who.as_str(),
        individual: Some(binding.individual.as_str()),
        result,
        ..Told::default()
    }
}

fn changed(result: &'static str, who: &SiteName, binding: &NewBinding<'_>) -> String {
    Told { keys: &[binding.key], ..of_binding(result, who, binding) }.json()
}

/// What came of a binding, as an answer.
fn held(bound: Bindings, binding: &NewBinding<'_>) -> Result<(), Refused> {
    match bound {
        Bindings::Held | Bindings::HeldBefore => Ok(()),
        Bindings::Used => Err(Untrue::Used.into()),
        Bindings::Other { .. } => {
            Err(Untrue::Person { individual: binding.individual.to_string() }.into())
        }
        Bindings::TooMany => {
            Err(Declined::new(Status::Limit, "this link brings no more individuals").into())
        }
    }
}
