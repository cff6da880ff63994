//! What sites do with each other for a share: agree on blinds, contribute, add up.

use super::persons::bad_request;
use super::refusal::WorkRefusal;
use super::work::{told_of, told_work};
use super::{Answer, BODY_OFFSET, Content, Declined, Desk, declined, with_causes};
use crate::drafts::{share_name, writer};
use crate::greeting::Opened;
use crate::neighbourhood::DialError;
use crate::office::{Told, unwritable};
use crate::works::{Part, Serial, Sum};
use std::error::Error;
use warifu_buffers::{Block, copy_payload};
use warifu_catalog::Event;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::sharing::evaluation_matrix;
use warifu_core::{End, SiteName, XCoord};
use warifu_kernels::{Matrix, Write, dot_into};
use warifu_keystore::KeyError;
use warifu_link::body::Work;
use warifu_link::hello::RefusalReason;
use warifu_link::{Message, ShareClass, Status, TAG_BYTES, key_bytes_needed};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress, work_of};

/// A work as it is gone on with, without what is being added up for it.
struct Going {
    serial: Serial,
    address: ShareAddress,
    work: Work,
    x: Option<XCoord>,
}

impl Desk {
    /// As a helper: agrees on a blind for each chunk with each other helper whose link ends in A
    /// here. The others agree with this one.
    pub(super) fn agree_on_blinds(&self, serial: Serial) -> Result<(), Declined> {
        let going = self.going(serial)?;
        let Some(x) = going.x else { return Err(WorkRefusal::Unknown.into()) };
        let name = share_name(ShareAddress { x, ..going.address }).map_err(declined)?;
        let lengths = {
            let reader = self.open_own(&name)?;
            let slots = chunks(&going.work).map(|index| reader.slot_bytes(data(index)));
            slots.collect::<Result<Vec<_>, _>>().map_err(declined)?
        };
        let mut body = Vec::new();
        going.work.encode(&mut body).map_err(bad_request)?;
        let key_bytes = lengths.iter().map(|bytes| key_bytes_needed(body.len(), *bytes)).sum();
        for other in going.work.helpers.iter().map(|helper| &helper.site) {
            if other == self.site.name() || self.end_towards(other)? != Some(End::A) {
                continue;
            }
            self.with_peer(other, |peer| {
                peer.expect_to_send(key_bytes);
                for (index, bytes) in chunks(&going.work).zip(&lengths) {
                    let blind = peer.blind(going.address, &going.work, index, *bytes);
                    let blind = blind.map_err(|error| lost(other, &error))?;
                    self.add(serial, index, other, &blind)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Another helper of the same work agrees on a blind with this one.
    pub(super) fn blind(&self, opened: &Opened) -> Result<Answer, Declined> {
        let who = self.requester()?;
        let message = &opened.message;
        let address = super::shares::address(message)?;
        let work = Work::decode(opened.body()).map_err(bad_request)?;
        let (isa, now) = (self.site.isa(), self.site.clock().elapsed());
        let is_other_helper =
            who != *self.site.name() && work.helpers.iter().any(|helper| helper.site == who);
        let mut works = self.site.works();
        let (_, entry) = works.named(work.id, now).ok_or(WorkRefusal::Unknown)?;
        let is_same = entry.work == work && entry.address == address;
        let is_helper = matches!(entry.part, Part::Helper { is_ready: false, .. });
        if !(is_other_helper && is_same && is_helper) {
            return Err(WorkRefusal::Other.into());
        }
        let sum = entry.sum(message.index).ok_or(WorkRefusal::Unknown)?;
        sum.add(isa, &who, &opened.kept).map_err(WorkRefusal::Odd)?;
        Ok(Answer::default())
    }

    /// As a helper: adds this site's own weighted chunks to the blinds, which must all be there,
    /// and sends the sums to the target; or has them ready where the target is end A.
    pub(super) fn contribute_all(&self, serial: Serial) -> Result<(), Declined> {
        let (office, who) = (self.office()?, self.requester()?);
        let going = self.going(serial)?;
        let Some(x) = going.x else { return Err(WorkRefusal::Unknown.into()) };
        let key_bytes = self.weigh_in(&going, x)?;
        let text = told_work(&going.work);
        let told = Told {
            note: Some(&text),
            session: Some(going.work.id),
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
            let entry = works.find(serial, now).ok_or(WorkRefusal::Unknown)?;
            if let Part::Helper { is_ready, .. } = &mut entry.part {
                *is_ready = true;
            }
            return Ok(());
        }
        self.with_peer(target, |peer| {
            peer.expect_to_send(key_bytes);
            for index in chunks(&going.work) {
                let sum = self.take(serial, index)?;
                let sent = peer.contribute(going.address, &going.work.id, index, &sum);
                sent.map_err(|error| lost(target, &error))?;
            }
            self.site.works().end(serial);
            Ok(())
        })
    }

    /// Adds this site's own chunks, each times its Lagrange weight at the target's x. Answers how
    /// much key it takes to send the sums, in bytes.
    fn weigh_in(&self, going: &Going, x: XCoord) -> Result<u64, Declined> {
        let own = self.site.name();
        let weight = weight(&going.work, x, going.address.x)?;
        let name = share_name(ShareAddress { x, ..going.address }).map_err(declined)?;
        let reader = self.open_own(&name)?;
        let mut key_bytes = 0;
        for index in chunks(&going.work) {
            let bytes = reader.slot_bytes(data(index)).map_err(declined)?;
            let mut chunk = Block::zeroed(bytes);
            reader.chunk(data(index), &mut chunk).map_err(declined)?;
            let mut weighed = Block::zeroed(bytes);
            dot_into(self.site.isa(), &weight, &mut [&mut weighed], &[&chunk], Write::Cached);
            let parts = self.add(going.serial, index, own, &weighed)?;
            if parts != going.work.helpers.len() {
                return Err(WorkRefusal::Unblinded.into());
            }
            key_bytes += key_bytes_needed(bytes, 0);
        }
        Ok(key_bytes)
    }

    /// As a helper: hands a sum over to the target of its work, and to nobody else.
    pub(super) fn hand_over(&self, message: &Message) -> Result<Answer, Declined> {
        let who = self.requester()?;
        let now = self.site.clock().elapsed();
        let address = super::shares::address(message)?;
        let sum = {
            let mut works = self.site.works();
            let named = works.named(work_of(message), now);
            let (serial, entry) = named.ok_or(WorkRefusal::Unknown)?;
            let is_ready = matches!(entry.part, Part::Helper { is_ready: true, .. });
            if entry.work.target != who || entry.address != address || !is_ready {
                return Err(WorkRefusal::Unknown.into());
            }
            let sum = entry.take(message.index).ok_or(WorkRefusal::Unknown)?;
            works.end_if_whole(serial);
            sum
        };
        let mut frame = Block::zeroed(BODY_OFFSET + sum.len() + TAG_BYTES);
        copy_payload(&mut frame[BODY_OFFSET..BODY_OFFSET + sum.len()], &sum);
        Ok(Answer { content: Some(Content { frame }), ..Answer::default() })
    }

    /// As the target: a helper's sum. Answers how many are still missing.
    pub(super) fn contributed(&self, opened: &Opened) -> Result<Answer, Declined> {
        let who = self.requester()?;
        let message = &opened.message;
        let address = super::shares::address(message)?;
        let now = self.site.clock().elapsed();
        let serial = self.site.works().named(work_of(message), now).map(|(serial, _)| serial);
        let serial = serial.ok_or(WorkRefusal::Unknown)?;
        let missing = self.add_up(serial, address, message.index, &who, opened.body())?;
        Ok(Answer { argument0: missing, ..Answer::default() })
    }

    /// As the target: asks those helpers that can't connect to this site, and says whether all
    /// chunks are complete then.
    pub(super) fn collect_all(&self, serial: Serial) -> Result<(), Declined> {
        let going = self.going(serial)?;
        if going.x.is_some() {
            return Err(WorkRefusal::Unknown.into());
        }
        let (bytes, count) = (CHUNK_BYTES as usize, u64::from(going.work.count));
        for helper in going.work.helpers.iter().map(|helper| &helper.site) {
            if self.end_towards(helper)? != Some(End::A) {
                continue;
            }
            self.with_peer(helper, |peer| {
                peer.expect_to_send(count * key_bytes_needed(0, 0));
                peer.expect_answers(count * key_bytes_needed(bytes, 0));
                for index in chunks(&going.work) {
                    let reply = peer.collect(going.address, &going.work.id, index, bytes);
                    let reply = reply.map_err(|error| lost(helper, &error))?;
                    self.add_up(serial, going.address, index, helper, reply.body())?;
                }
                Ok(())
            })?;
        }
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let entry = works.find(serial, now).ok_or(WorkRefusal::Unknown)?;
        let is_whole = entry.sums.iter().all(Sum::is_taken);
        works.end(serial);
        match is_whole {
            true => Ok(()),
            false => Err(WorkRefusal::Incomplete.into()),
        }
    }

    /// Adds a contribution; the last one makes the chunk, which is put into the share.
    fn add_up(
        &self,
        serial: Serial,
        address: ShareAddress,
        index: u64,
        who: &SiteName,
        part: &[u8],
    ) -> Result<u64, Declined> {
        let unknown = || Declined::from(WorkRefusal::Unknown);
        let (isa, now) = (self.site.isa(), self.site.clock().elapsed());
        let mut works = self.site.works();
        let entry = works.find(serial, now).ok_or_else(unknown)?;
        let is_helper = entry.work.helpers.iter().any(|helper| helper.site == *who);
        if !is_helper || entry.address != address {
            return Err(unknown());
        }
        let (helpers, link) = (entry.work.helpers.len(), entry.link);
        let Some(place) = index.checked_sub(entry.work.first) else { return Err(unknown()) };
        let Part::Target { connection, attempt, blinds } = &entry.part else {
            return Err(unknown());
        };
        let blind = usize::try_from(place).ok().and_then(|place| blinds.get(place));
        let (connection, attempt) = (*connection, *attempt);
        let blind = blind.cloned().ok_or_else(unknown)?;
        let sum = entry.sum(index).ok_or_else(unknown)?;
        let parts = sum.add(isa, who, part).map_err(WorkRefusal::Odd)?;
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

    fn going(&self, serial: Serial) -> Result<Going, Declined> {
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let entry = works.find(serial, now).ok_or(WorkRefusal::Unknown)?;
        let x = match &entry.part {
            Part::Helper { x, .. } => Some(*x),
            Part::Target { .. } => None,
        };
        Ok(Going { serial, address: entry.address, work: entry.work.clone(), x })
    }

    /// Adds a part to the sum of a chunk; how many there are then.
    fn add(
        &self,
        serial: Serial,
        index: u64,
        from: &SiteName,
        part: &[u8],
    ) -> Result<usize, Declined> {
        let (isa, now) = (self.site.isa(), self.site.clock().elapsed());
        let mut works = self.site.works();
        let sum = works.find(serial, now).and_then(|entry| entry.sum(index));
        let sum = sum.ok_or(WorkRefusal::Unknown)?;
        Ok(sum.add(isa, from, part).map_err(WorkRefusal::Odd)?)
    }

    /// The blinded sum of a chunk, once.
    fn take(&self, serial: Serial, index: u64) -> Result<Block, Declined> {
        let now = self.site.clock().elapsed();
        let mut works = self.site.works();
        let sum = works.find(serial, now).and_then(|entry| entry.take(index));
        Ok(sum.ok_or(WorkRefusal::Unknown)?)
    }

    /// Does `work` over a connection to another site, which is ended whatever comes of it: what it
    /// leased and did not use goes back.
    fn with_peer(
        &self,
        site: &SiteName,
        work: impl FnOnce(&mut Peer) -> Result<(), Declined>,
    ) -> Result<(), Declined> {
        let neighbours = self.site.neighbourhood().ok_or(WorkRefusal::Alone)?;
        let mut peer = neighbours.dial(site).map_err(|error| undialled(site, &error))?;
        let done = work(&mut peer);
        if let Err(error) = peer.close() {
            tracing::warn!(%site, %error, "the unused rest of a lease is burned");
        }
        done
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

/// A fault of this site's own is told as that, and in full where its operator sees it.
fn undialled(site: &SiteName, error: &DialError) -> Declined {
    if let DialError::Peer(error) = error {
        return lost(site, error);
    }
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(%site, %error, cause, "another site can't be dialled");
    let why = format!("it can't be dialled: {error}");
    WorkRefusal::Lost { site: site.clone(), why }.into()
}

/// What went wrong with another site, as the gateway is to take it: whether to try again, to bring
/// key, or to look at that site.
fn lost(site: &SiteName, error: &PeerError) -> Declined {
    let site = site.clone();
    let why = match error {
        PeerError::Refused { text, .. } => format!("it refuses: {text}"),
        error => with_causes(error),
    };
    match error {
        _ if error.is_lost() => WorkRefusal::Away { site, why }.into(),
        PeerError::HelloRefused { reason: RefusalReason::NoKeyLeft } => {
            WorkRefusal::Lost { site, why }.with_status(Status::Key)
        }
        PeerError::Key(KeyError::Empty { .. } | KeyError::LeaseEmpty { .. }) => {
            WorkRefusal::Lost { site, why }.with_status(Status::Key)
        }
        PeerError::Refused { status: status @ (Status::Key | Status::Limit), .. } => {
            WorkRefusal::Lost { site, why }.with_status(*status)
        }
        _ => WorkRefusal::Lost { site, why }.into(),
    }
}
