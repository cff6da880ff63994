//! What sites do with each other for a share: agree on blinds, contribute, add up.

use super::persons::bad_request;
use super::work::{no_such_work, told_of, told_work};
use super::{Answer, BODY_OFFSET, Content, Declined, Desk, declined};
use crate::drafts::{share_name, writer};
use crate::greeting::Opened;
use crate::office::{Told, unwritable};
use crate::works::{Entry, Odd, Part, WorkId};
use warifu_buffers::{Block, copy_payload};
use warifu_catalog::Event;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::sharing::evaluation_matrix;
use warifu_core::{End, SiteName, XCoord};
use warifu_kernels::{Matrix, Write, dot_into};
use warifu_link::body::Work;
use warifu_link::{Message, ShareClass, Status, TAG_BYTES};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress, work_of};

/// A work as it is gone on with, without what is being added up for it.
struct Going {
    address: ShareAddress,
    work: Work,
    x: Option<XCoord>,
}

impl Desk {
    /// As a helper: agrees on a blind for each chunk with each other helper whose link ends in A
    /// here. The others agree with this one.
    pub(super) fn agree_on_blinds(&self, id: WorkId) -> Result<(), Declined> {
        let going = self.going(id)?;
        let Some(x) = going.x else { return Err(no_such_work()) };
        let name = share_name(ShareAddress { x, ..going.address }).map_err(declined)?;
        let lengths = {
            let reader = self.open_own(&name)?;
            let slots = chunks(&going.work).map(|index| reader.slot_bytes(data(index)));
            slots.collect::<Result<Vec<_>, _>>().map_err(declined)?
        };
        for other in going.work.helpers.iter().map(|helper| &helper.site) {
            if other == self.site.name() || self.end_towards(other)? != Some(End::A) {
                continue;
            }
            let lost = |error: PeerError| lost(other, &error);
            let mut peer = self.dial(other)?;
            for (index, bytes) in chunks(&going.work).zip(&lengths) {
                let blind = peer.blind(going.address, &going.work, index, *bytes).map_err(lost)?;
                self.add(id, index, other, &blind)?;
            }
            peer.close().map_err(lost)?;
        }
        Ok(())
    }

    /// Another helper of the same work agrees on a blind with this one.
    pub(super) fn blind(&self, opened: &Opened) -> Result<Answer, Declined> {
        let who = self.requester()?;
        let message = &opened.message;
        let address = super::shares::address(message)?;
        let work = Work::decode(opened.body()).map_err(bad_request)?;
        let (id, now) = (work.id, self.site.clock().elapsed());
        let is_other_helper =
            who != *self.site.name() && work.helpers.iter().any(|helper| helper.site == who);
        {
            let mut works = self.site.works();
            let entry = works.find(id, now).ok_or_else(no_such_work)?;
            let is_same = entry.work == work && entry.address == address;
            let is_helper = matches!(entry.part, Part::Helper { is_ready: false, .. });
            if !(is_other_helper && is_same && is_helper) {
                let text = "work-other: this site was asked for another work of that name";
                return Err(Declined::new(Status::Refused, text));
            }
        }
        self.add(id, message.index, &who, &opened.kept)?;
        Ok(Answer::default())
    }

    /// As a helper: adds this site's own weighted chunks to the blinds, which must all be there,
    /// and sends the sums to the target; or has them ready where the target is end A.
    pub(super) fn contribute_all(&self, id: WorkId) -> Result<(), Declined> {
        let (office, who) = (self.office()?, self.requester()?);
        let going = self.going(id)?;
        let Some(x) = going.x else { return Err(no_such_work()) };
        self.weigh_in(id, &going, x)?;
        let text = told_work(&going.work);
        let told = Told {
            note: Some(&text),
            session: Some(id),
            result: "contributed",
            ..told_of("contribute", &who, going.address)
        };
        let (json, at_unix_s) = (told.json(), self.now_unix_s());
        let event = Event { kind: told.kind, json: &json, at_unix_s };
        office.register().append_audit(&event).map_err(unwritable)?;
        let target = &going.work.target;
        if self.end_towards(target)? != Some(End::A) {
            let now = self.site.clock().elapsed();
            let mut works = self.site.works();
            let entry = works.find(id, now).ok_or_else(no_such_work)?;
            if let Part::Helper { is_ready, .. } = &mut entry.part {
                *is_ready = true;
            }
            return Ok(());
        }
        let lost = |error: PeerError| lost(target, &error);
        let mut peer = self.dial(target)?;
        for index in chunks(&going.work) {
            let sum = self.take(id, index)?;
            peer.contribute(going.address, &id, index, &sum).map_err(lost)?;
        }
        self.site.works().end(id);
        peer.close().map_err(lost)
    }

    /// Adds this site's own chunks, each times its Lagrange weight at the target's x.
    fn weigh_in(&self, id: WorkId, going: &Going, x: XCoord) -> Result<(), Declined> {
        let own = self.site.name();
        let weight = weight(&going.work, x, going.address.x)?;
        let name = share_name(ShareAddress { x, ..going.address }).map_err(declined)?;
        let reader = self.open_own(&name)?;
        for index in chunks(&going.work) {
            let bytes = reader.slot_bytes(data(index)).map_err(declined)?;
            let mut chunk = Block::zeroed(bytes);
            reader.chunk(data(index), &mut chunk).map_err(declined)?;
            let mut weighed = Block::zeroed(bytes);
            dot_into(self.site.isa(), &weight, &mut [&mut weighed], &[&chunk], Write::Cached);
            let parts = self.add(id, index, own, &weighed)?;
            if parts != going.work.helpers.len() {
                let text = "work-unblinded: another helper has not agreed on a blind";
                return Err(Declined::new(Status::Refused, text));
            }
        }
        Ok(())
    }

    /// As a helper: hands a sum over to the target of its work, and to nobody else.
    pub(super) fn hand_over(&self, message: &Message) -> Result<Answer, Declined> {
        let who = self.requester()?;
        let (id, now) = (work_of(message), self.site.clock().elapsed());
        let address = super::shares::address(message)?;
        {
            let mut works = self.site.works();
            let entry = works.find(id, now).ok_or_else(no_such_work)?;
            let is_ready = matches!(entry.part, Part::Helper { is_ready: true, .. });
            if entry.work.target != who || entry.address != address || !is_ready {
                return Err(no_such_work());
            }
        }
        let sum = self.take(id, message.index)?;
        self.site.works().end_if_whole(id);
        let mut frame = Block::zeroed(BODY_OFFSET + sum.len() + TAG_BYTES);
        copy_payload(&mut frame[BODY_OFFSET..BODY_OFFSET + sum.len()], &sum);
        Ok(Answer { content: Some(Content { frame }), ..Answer::default() })
    }

    /// As the target: a helper's sum. Answers how many are still missing.
    pub(super) fn contributed(&self, opened: &Opened) -> Result<Answer, Declined> {
        let who = self.requester()?;
        let message = &opened.message;
        let address = super::shares::address(message)?;
        let missing = self.add_up(work_of(message), address, message.index, &who, opened.body())?;
        Ok(Answer { argument0: missing, ..Answer::default() })
    }

    /// As the target: asks those helpers that can't connect to this site, and says whether all
    /// chunks are complete then.
    pub(super) fn collect_all(&self, id: WorkId) -> Result<(), Declined> {
        let going = self.going(id)?;
        if going.x.is_some() {
            return Err(no_such_work());
        }
        for helper in going.work.helpers.iter().map(|helper| &helper.site) {
            if self.end_towards(helper)? != Some(End::A) {
                continue;
            }
            let lost = |error: PeerError| lost(helper, &error);
            let mut peer = self.dial(helper)?;
            for index in chunks(&going.work) {
                let reply = peer.collect(going.address, &id, index, CHUNK_BYTES as usize);
                let reply = reply.map_err(lost)?;
                self.add_up(id, going.address, index, helper, reply.body())?;
            }
            peer.close().map_err(lost)?;
        }
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let entry = works.find(id, now).ok_or_else(no_such_work)?;
        let is_whole = entry.sums.iter().all(crate::works::Sum::is_taken);
        works.end(id);
        match is_whole {
            true => Ok(()),
            false => {
                Err(Declined::new(Status::Refused, "work-incomplete: a contribution is missing"))
            }
        }
    }

    /// Adds a contribution; the last one makes the chunk, which is put into the share.
    fn add_up(
        &self,
        id: WorkId,
        address: ShareAddress,
        index: u64,
        who: &SiteName,
        part: &[u8],
    ) -> Result<u64, Declined> {
        let (isa, now) = (self.site.isa(), self.site.clock().elapsed());
        let mut works = self.site.works();
        let entry = works.find(id, now).ok_or_else(no_such_work)?;
        let is_helper = entry.work.helpers.iter().any(|helper| helper.site == *who);
        if !is_helper || entry.address != address {
            return Err(no_such_work());
        }
        let (helpers, link) = (entry.work.helpers.len(), entry.link);
        let Some(place) = index.checked_sub(entry.work.first) else { return Err(no_such_work()) };
        let Part::Target { connection, attempt, blinds } = &entry.part else {
            return Err(no_such_work());
        };
        let blind = usize::try_from(place).ok().and_then(|place| blinds.get(place));
        let (connection, attempt) = (*connection, *attempt);
        let blind = blind.cloned().ok_or_else(no_such_work)?;
        let sum = entry.sum(index).ok_or_else(no_such_work)?;
        let parts = sum.add(isa, who, part).map_err(odd)?;
        let Some(whole) = sum.take(helpers) else { return Ok((helpers - parts) as u64) };
        drop(works);
        let drafts = self.site.drafts();
        let gone = || Declined::new(Status::Refused, "the share is not being written any more");
        let draft = drafts.find(link, address).ok_or_else(gone)?;
        let mut writer = writer(&draft);
        if !drafts.is_holder(link, address, connection) {
            return Err(gone());
        }
        let writer = writer.as_mut().ok_or_else(gone)?;
        writer.put(data(index), attempt, &blind, whole.into_bytes()).map_err(declined)?;
        Ok(0)
    }

    fn going(&self, id: WorkId) -> Result<Going, Declined> {
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let entry = works.find(id, now).ok_or_else(no_such_work)?;
        let x = match &entry.part {
            Part::Helper { x, .. } => Some(*x),
            Part::Target { .. } => None,
        };
        Ok(Going { address: entry.address, work: entry.work.clone(), x })
    }

    /// Adds a part to the sum of a chunk; how many there are then.
    fn add(&self, id: WorkId, index: u64, from: &SiteName, part: &[u8]) -> Result<usize, Declined> {
        let (isa, now) = (self.site.isa(), self.site.clock().elapsed());
        let mut works = self.site.works();
        let sum = works.find(id, now).and_then(|entry: &mut Entry| entry.sum(index));
        sum.ok_or_else(no_such_work)?.add(isa, from, part).map_err(odd)
    }

    /// The blinded sum of a chunk, once.
    fn take(&self, id: WorkId, index: u64) -> Result<Block, Declined> {
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let entry = works.find(id, now).ok_or_else(no_such_work)?;
        let helpers = entry.work.helpers.len();
        let sum = entry.sum(index).and_then(|sum| sum.take(helpers));
        sum.ok_or_else(no_such_work)
    }

    fn dial(&self, site: &SiteName) -> Result<Peer, Declined> {
        let dial = self.site.neighbourhood().ok_or_else(|| {
            Declined::new(Status::Refused, "work-stranger: this site connects to no others")
        })?;
        dial.dial(site).map_err(|error| lost(site, &error))
    }
}

/// The weight of the share at `x` among the helpers' for the share at `target`, as a matrix.
fn weight(work: &Work, x: XCoord, target: XCoord) -> Result<Matrix, Declined> {
    let bad = || Declined::new(Status::BadRequest, "the helpers' shares have no weights");
    let xs: Vec<XCoord> = work.helpers.iter().map(|helper| helper.x).collect();
    let row = evaluation_matrix(&xs, &[target]).map_err(|_| bad())?;
    let place = xs.iter().position(|other| *other == x).ok_or_else(bad)?;
    Matrix::new(1, 1, vec![row.coefficient(0, place)]).ok_or_else(bad)
}

fn chunks(work: &Work) -> std::ops::Range<u64> {
    work.first..work.first.saturating_add(u64::from(work.count))
}

fn data(index: u64) -> Slot {
    Slot { class: ShareClass::Data, index }
}

fn odd(odd: Odd) -> Declined {
    Declined::new(Status::Refused, format!("work-odd: {}", odd.as_str()))
}

fn lost(site: &SiteName, error: &PeerError) -> Declined {
    let text = match error {
        PeerError::Refused { text, .. } => format!("site {site} refuses: {text}"),
        error => format!("site {site} can't be worked with: {error}"),
    };
    Declined::new(Status::Refused, format!("work-lost: {text}"))
}
