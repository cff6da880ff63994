//! Requests by which shares stay, or go for good.

use super::persons::bad_request;
use super::{Answer, Declined, Desk, declined};
use crate::drafts::share_name;
use crate::office::{Told, unreadable, unwritable};
use warifu_catalog::Event;
use warifu_core::share_file::parse_share_file_name;
use warifu_core::{ObjectId, XCoord};
use warifu_link::body::decode_reason;
use warifu_link::{Message, Status};
use warifu_pipeline::peer::ShareAddress;

impl Desk {
    /// Deletes a completed share of this link for good, unless its object is held.
    pub(super) fn forget(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let reason = decode_reason(body).map_err(bad_request)?;
        let address = super::shares::address(message)?;
        let (link, object) = (self.greeted.link, address.object);
        if self.site.drafts().is_held(link, address, self.connection) {
            return Err(Declined::new(Status::Refused, "a running backup works on this share"));
        }
        let name = share_name(address).map_err(declined)?;
        let is_there = match self.open_own(&name) {
            Ok(_) => true,
            Err(absent) if absent.status == Status::NoSuchShare => {
                if !self.is_forgotten(object, Some(address.x))? {
                    return Err(absent);
                }
                false
            }
            // It does not tell any more whose it is: the register does, where only one link ever
            // brought that object.
            Err(damaged) if damaged.status == Status::Damaged => {
                let owners = office.register().owners(object).map_err(unreadable)?;
                match &owners[..] {
                    [owner] if owner.link == link => true,
                    _ => return Err(damaged),
                }
            }
            Err(declined) => return Err(declined),
        };
        let told = Told {
            kind: "forget",
            who: who.as_str(),
            object: Some(object),
            purpose: Some(reason),
            result: "forgotten",
            ..Told::default()
        };
        let owner = office.register().owner(link, object).map_err(unreadable)?;
        let individual = owner.as_ref().map(|owner| owner.individual.as_str());
        let told = Told { individual, ..told };
        let json = told.json();
        let event = Event { kind: told.kind, json: &json, at_unix_s: now };
        let may = office.register().forget(link, (object, address.x), reason, &event);
        if !may.map_err(unwritable)? {
            let told = Told { result: "refused", code: Some("held"), ..told };
            office.tell_refusal(link, &told, now);
            return Err(held());
        }
        if is_there {
            self.site.store().delete(&name).map_err(|error| declined(error.into()))?;
        }
        tracing::info!(%who, %object, x = %address.x, reason, "a share is forgotten");
        Ok(Answer::default())
    }

    /// Lays a hold on an object of this link, or lifts it.
    pub(super) fn hold(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let (office, who, now) = (self.office()?, self.requester()?, self.now_unix_s());
        let reason = decode_reason(body).map_err(bad_request)?;
        let (link, object) = (self.greeted.link, message.object);
        let (kind, result) = match message.argument0 {
            0 => ("hold", "lifted"),
            1 => ("hold", "held"),
            _ => return Err(Declined::new(Status::BadRequest, "neither hold nor lift")),
        };
        let is_owned = office.register().owner(link, object).map_err(unreadable)?.is_some();
        if !is_owned && !self.objects_of_link()?.contains(&object) {
            return Err(Declined::new(Status::NoSuchShare, "no share of this link's here"));
        }
        let json = Told {
            who: who.as_str(),
            object: Some(object),
            purpose: Some(reason),
            result,
            ..Told::default()
        }
        .json();
        let event = Event { kind, json: &json, at_unix_s: now };
        let register = office.register();
        match message.argument0 {
            0 => register.lift_hold(object, Some(link), &event).map(drop),
            _ => register.hold(object, Some(link), reason, &event),
        }
        .map_err(unwritable)?;
        Ok(Answer::default())
    }

    /// Refuses to throw a completed share away that is held; what is thrown away is in the audit
    /// log first. Nothing, where this site keeps no register.
    pub(super) fn expect_discardable(&self, address: ShareAddress) -> Result<(), Declined> {
        let Some(office) = self.site.office() else { return Ok(()) };
        let (link, register) = (self.greeted.link, office.register());
        let who = self.requester()?;
        let told = Told {
            who: who.as_str(),
            object: Some(address.object),
            result: "discarded",
            ..Told::default()
        };
        let (json, at_unix_s) = (told.json(), self.now_unix_s());
        let event = Event { kind: "discard", json: &json, at_unix_s };
        match register.thrown_away(link, address.object, &event).map_err(unwritable)? {
            true => Ok(()),
            false => {
                let told = Told { kind: "discard", result: "refused", code: Some("held"), ..told };
                office.tell_refusal(link, &told, at_unix_s);
                Err(held())
            }
        }
    }

    /// Whether a share of this link's was forgotten; `None`: any of the object.
    pub(super) fn is_forgotten(
        &self,
        object: ObjectId,
        x: Option<XCoord>,
    ) -> Result<bool, Declined> {
        let Some(office) = self.site.office() else { return Ok(false) };
        let gone = office.register().forgotten(Some(object)).map_err(unreadable)?;
        let is_it = |gone: &warifu_catalog::Forgotten| {
            gone.link == self.greeted.link && x.is_none_or(|x| gone.x == x)
        };
        Ok(gone.iter().any(is_it))
    }

    /// Objects of which this link has completed shares here.
    pub(super) fn objects_of_link(&self) -> Result<Vec<ObjectId>, Declined> {
        let entries = self.site.store().list().map_err(|error| declined(error.into()))?;
        let own = entries.into_iter().filter_map(|entry| {
            let (object, _) = parse_share_file_name(entry.name.as_str())?;
            self.open_own(&entry.name).is_ok().then_some(object)
        });
        Ok(own.collect())
    }
}

fn held() -> Declined {
    Declined::new(Status::Refused, "held: a hold lies on this object")
}
