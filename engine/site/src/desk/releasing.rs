//! What a site that enforces consent asks of whoever stores or reads, besides that a share is
//! theirs.

use super::{Declined, Desk, declined};
use crate::office::{Found, Moment, Told, unreadable, unwritable};
use warifu_backend::ShareName;
use warifu_consent::{Unbound, Untrue};
use warifu_core::ObjectId;
use warifu_core::share_file::ShareHeader;
use warifu_link::{Message, ShareClass, Status};
use warifu_pipeline::share::ShareReader;

impl Desk {
    /// Refuses to begin what nobody owns, or what was forgotten.
    pub(super) fn expect_owned(&self, object: ObjectId) -> Result<(), Declined> {
        let Some(office) = self.site.office() else { return Ok(()) };
        if self.is_forgotten(object, None)? {
            return Err(Declined::new(Status::Refused, "this object was forgotten"));
        }
        if !office.rules().enforces {
            return Ok(());
        }
        let owner = office.register().owner(self.greeted.link, object).map_err(unreadable)?;
        owner.map(drop).ok_or(Untrue::Unbound(Unbound::Owner).into())
    }

    /// A share is about to be completed: whose it is stays known. Refuses where nobody's.
    pub(super) fn note_stored(&self, object: ObjectId) -> Result<(), Declined> {
        let Some(office) = self.site.office() else { return Ok(()) };
        let stored = office.register().stored(self.greeted.link, object).map_err(unwritable)?;
        match stored || !office.rules().enforces {
            true => Ok(()),
            false => Err(Untrue::Unbound(Unbound::Owner).into()),
        }
    }

    /// A share is about to be completed, maybe not the first one here.
    pub(super) fn note_completing(&self, object: ObjectId) -> Result<(), Declined> {
        let Some(office) = self.site.office() else { return Ok(()) };
        office.register().completing(self.greeted.link, object).map_err(unwritable)
    }

    /// A share is complete.
    pub(super) fn note_completed(&self, object: ObjectId) -> Result<(), Declined> {
        let Some(office) = self.site.office() else { return Ok(()) };
        office.register().completed(self.greeted.link, object).map_err(unwritable)
    }

    /// A completed share of which the part asked for may be released to this link: by the person's
    /// consent or officers', and capsules to whoever stored them. Others' shares are as if they
    /// were not there, unless a permit says otherwise.
    pub(super) fn open_released(
        &self,
        name: &ShareName,
        message: &Message,
    ) -> Result<ShareReader<'_>, Declined> {
        let reader = ShareReader::open(self.site.store(), name).map_err(declined)?;
        self.expect_released(reader.header(), message)?;
        Ok(reader)
    }

    /// A completed share that this link stored, or has a permit for.
    pub(super) fn open_known(&self, name: &ShareName) -> Result<ShareReader<'_>, Declined> {
        let reader = ShareReader::open(self.site.store(), name).map_err(declined)?;
        let header = reader.header();
        let is_own = header.link == Some(self.greeted.link);
        match is_own || matches!(self.permit(header), Found::Permit(_)) {
            true => Ok(reader),
            false => Err(no_such_share()),
        }
    }

    fn expect_released(&self, header: &ShareHeader, message: &Message) -> Result<(), Declined> {
        let is_own = header.link == Some(self.greeted.link);
        if is_own && (message.class == ShareClass::Capsule || !self.site.enforces()) {
            return Ok(());
        }
        let untrue = match self.permit(header) {
            Found::Permit(permit) => {
                match permit.covers(message.class, message.index, header.geometry) {
                    true => return Ok(()),
                    false => Untrue::Range,
                }
            }
            Found::Ended => Untrue::PermitEnded,
            Found::None if is_own => Untrue::Missing,
            Found::None => return Err(no_such_share()),
        };
        self.tell_unreleased(header.object, &untrue)?;
        Err(untrue.into())
    }

    fn permit(&self, header: &ShareHeader) -> Found {
        let (Some(office), Some(stored_by)) = (self.site.office(), header.link) else {
            return Found::None;
        };
        let clock = self.site.clock();
        let now = Moment { elapsed: clock.elapsed(), unix_s: clock.unix_s() };
        office.proofs().find(self.greeted.link, header.object, stored_by, now)
    }

    fn tell_unreleased(&self, object: ObjectId, untrue: &Untrue) -> Result<(), Declined> {
        let Some(office) = self.site.office() else { return Ok(()) };
        let link = self.greeted.link;
        if office.is_news(link, object, self.site.clock().elapsed()) {
            let who = self.gateway()?.map_or_else(|| link.to_string(), |who| who.to_string());
            let told = Told {
                kind: "read",
                who: &who,
                object: Some(object),
                result: "refused",
                code: Some(untrue.code()),
                ..Told::default()
            };
            office.tell_refusal(link, &told, self.now_unix_s());
        }
        Ok(())
    }
}

fn no_such_share() -> Declined {
    Declined::new(Status::NoSuchShare, "no such share of this link")
}
