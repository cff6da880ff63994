//! Requests about shares: written, completed, read, listed, thrown away.

use super::{Answer, BODY_OFFSET, Content, Declined, Desk, declined};
use crate::drafts::{share_name, writer};
use crate::greeting::Opened;
use std::collections::BTreeMap;
use warifu_backend::ShareName;
use warifu_buffers::{Block, Bytes};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::share_file::{CapsuleShape, PAGE_BYTES, ShareHeader, parse_share_file_name};
use warifu_core::sharing::chunk_hash;
use warifu_core::{Geometry, Role, Threshold};
use warifu_kernels::PolyHash;
use warifu_link::body::{Commit, HELD_RUNS_MAX, SHARE_STATS_MAX, ShareStat, UNFINISHED_ONLY};
use warifu_link::{Message, ShareClass, Status, TAG_BYTES};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::held::Held;
use warifu_pipeline::peer::ShareAddress;
use warifu_pipeline::share::{CommitOrder, Draft, ShareReader, ShareWriter};
use zeroize::Zeroizing;

impl Desk {
    pub(super) fn begin(&self, message: &Message) -> Result<Answer, Declined> {
        let address = address(message)?;
        let bad = || Declined::new(Status::BadRequest, "scheme or role is not possible");
        let scheme = message.argument0.to_le_bytes();
        let threshold =
            Threshold::new(u32::from(scheme[0]), u32::from(scheme[1])).map_err(|_| bad())?;
        let role = Role::from_byte(scheme[2]).ok_or_else(bad)?;
        if scheme[3..] != [0; 5] {
            return Err(bad());
        }
        let link = self.greeted.link;
        self.expect_owned(address.object)?;
        let draft =
            Draft { object: address.object, x: address.x, threshold, role, link: Some(link) };
        self.site.drafts().settle_held_by(self.connection);
        if !self.site.drafts().hold(link, address, self.connection) {
            return Err(Declined::new(Status::Refused, "this share was thrown away meanwhile"));
        }
        let draft = self.site.drafts().begin(self.site.store(), link, address, draft);
        let draft = draft.map_err(declined)?.ok_or_else(|| {
            Declined::new(Status::Limit, "this link has too many unfinished shares here")
        })?;
        let from = Slot { class: message.class, index: message.index };
        let held: Held = writer(&draft).as_ref().map_or_else(Held::default, |writer| {
            let slots = writer.written().range(from..);
            slots.map(|(slot, written)| (*slot, written.attempt)).collect()
        });
        let wanted = usize::try_from(message.argument1).unwrap_or(usize::MAX).min(HELD_RUNS_MAX);
        let mut body = Vec::new();
        held.runs().take(wanted).for_each(|run| run.encode(&mut body));
        let more = u64::from(held.run_count() > wanted);
        Ok(Answer { argument0: more, body, ..Answer::default() })
    }

    pub(super) fn store(&self, opened: Opened) -> Result<Answer, Declined> {
        let mut blind = Zeroizing::new([0; 16]);
        if opened.message.class != ShareClass::Capsule {
            blind.copy_from_slice(&opened.kept);
        }
        let message = opened.message;
        self.put(&message, &blind, opened.into_body())?;
        Ok(Answer::default())
    }

    /// Keeps a range of the link's key as a share, and proves by a hash under fresh key that it is
    /// the same range that the gateway has.
    pub(super) fn keep(&self, opened: Opened) -> Result<Answer, Declined> {
        let Opened { message, kept, .. } = opened;
        let (content, rest) = kept.split_at(kept.len() - 32);
        let mut blind = Zeroizing::new([0; 16]);
        let mut receipt_key = Zeroizing::new([0; 16]);
        blind.copy_from_slice(&rest[..16]);
        receipt_key.copy_from_slice(&rest[16..]);
        self.put(&message, &blind, kept.share(content.len()))?;
        let receipt = PolyHash::new(self.site.isa(), &receipt_key);
        let body = chunk_hash(&receipt, content, &blind).to_vec();
        Ok(Answer { body, ..Answer::default() })
    }

    fn put(&self, message: &Message, blind: &[u8; 16], content: Bytes) -> Result<(), Declined> {
        let address = address(message)?;
        let draft = self.site.drafts().find(self.greeted.link, address);
        let draft = draft.ok_or_else(no_draft)?;
        let slot = Slot { class: message.class, index: message.index };
        let mut writer = writer(&draft);
        self.expect_holder(address)?;
        let writer = writer.as_mut().ok_or_else(no_draft)?;
        writer.put(slot, message.attempt, blind, content).map_err(declined)
    }

    /// Refuses what comes over a connection that another one has taken this share over from. The
    /// draft's lock is held: whoever takes it over waits for it, and then sees all that was done.
    fn expect_holder(&self, address: ShareAddress) -> Result<(), Declined> {
        match self.site.drafts().is_holder(self.greeted.link, address, self.connection) {
            true => Ok(()),
            false => {
                let why = "this connection has not begun this share, or another took it over";
                Err(Declined::new(Status::Refused, why))
            }
        }
    }

    pub(super) fn commit(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let bad = |_| Declined::new(Status::BadRequest, "the commit makes no sense");
        let commit = Commit::decode(body).map_err(bad)?;
        let geometry = Geometry::new(message.argument0)
            .map_err(|error| Declined::new(Status::BadRequest, error.to_string()))?;
        let masks = u32::try_from(message.argument1)
            .map_err(|_| Declined::new(Status::BadRequest, "too many masks"))?;
        let capsule = CapsuleShape::new(commit.head_bytes, &geometry, masks);
        let capsule =
            capsule.map_err(|error| Declined::new(Status::BadRequest, error.to_string()))?;
        if capsule.verdict_bytes != commit.verdict_bytes {
            return Err(Declined::new(Status::BadRequest, "a verdict has another length"));
        }
        let attempts: BTreeMap<Slot, u32> = commit
            .attempts
            .iter()
            .map(|named| (slot_of(geometry, named.chunk), named.attempt))
            .collect();
        let capsule_generation = message.attempt >> 16;
        let attempts = &attempts;
        self.note_stored(message.object)?;
        let order = CommitOrder { geometry, masks, capsule, capsule_generation, attempts };
        let address = address(message)?;
        // The lock is held until the share is durable: a commit that is asked again waits for this
        // one, and then finds the share.
        let drafts = self.site.drafts();
        match drafts.find(self.greeted.link, address) {
            Some(draft) => {
                let mut place = writer(&draft);
                let committed = self.commit_draft(address, &mut place, &order);
                if place.is_some() {
                    // Refused: it is as it was.
                    return committed.map(|()| Answer::default());
                }
                drop(place);
                drop(drafts.close(self.greeted.link, address));
                committed?;
            }
            None => {
                self.committed_before(address, &order)?;
                self.expect_holder(address)?;
            }
        }
        self.note_completed(address.object)?;
        tracing::info!(object = %address.object, x = %address.x, "a share is durable");
        Ok(Answer::default())
    }

    /// Completes the draft in `place`, which is left there where it lacks what the order names.
    fn commit_draft(
        &self,
        address: ShareAddress,
        place: &mut Option<ShareWriter>,
        order: &CommitOrder<'_>,
    ) -> Result<(), Declined> {
        self.expect_holder(address)?;
        let Some(writer) = place.as_ref() else { return self.committed_before(address, order) };
        writer.expect_whole(order).map_err(declined)?;
        // Only what does become a share here may change which one was the first.
        self.note_completing(address.object)?;
        match place.take() {
            Some(writer) => writer.commit(order).map_err(declined),
            None => Ok(()),
        }
    }

    /// A commit that is asked again, after its receipt was lost, is confirmed if it is the same.
    fn committed_before(
        &self,
        address: ShareAddress,
        order: &CommitOrder<'_>,
    ) -> Result<(), Declined> {
        let name = share_name(address).map_err(declined)?;
        let reader = self.open_own(&name)?;
        let header = reader.header();
        let same = header.geometry == order.geometry
            && header.masks == order.masks
            && header.capsule == order.capsule;
        if same { Ok(()) } else { Err(no_draft()) }
    }

    pub(super) fn read(&self, message: &Message) -> Result<Answer, Declined> {
        let name = share_name(address(message)?).map_err(declined)?;
        let reader = self.open_released(&name, message)?;
        if message.class == ShareClass::Capsule {
            let bytes = usize::try_from(message.argument1).unwrap_or(usize::MAX);
            if bytes > CHUNK_BYTES as usize {
                return Err(Declined::new(Status::BadRequest, "at most 1 MiB at a time"));
            }
            let mut frame = Block::zeroed(BODY_OFFSET + bytes + TAG_BYTES);
            let part = &mut frame[BODY_OFFSET..BODY_OFFSET + bytes];
            reader.capsule(message.argument0, part).map_err(declined)?;
            return Ok(Answer { content: Some(Content { frame }), ..Answer::default() });
        }
        let slot = Slot { class: message.class, index: message.index };
        let bytes = reader.slot_bytes(slot).map_err(declined)?;
        let content = BODY_OFFSET + 16;
        let mut frame = Block::aligned_at(content + bytes + TAG_BYTES, content);
        frame.lengthen(content + bytes + PAGE_BYTES as usize);
        let read = reader.chunk(slot, &mut frame[content..]).map_err(declined)?;
        frame.truncate(content + bytes + TAG_BYTES);
        frame[BODY_OFFSET..content].copy_from_slice(&read.blind[..]);
        let content = Some(Content { frame });
        Ok(Answer { attempt: read.attempt, argument0: bytes as u64, content, ..Answer::default() })
    }

    /// A committed share that came over this very link; others' are as if they were not there.
    pub(super) fn open_own(&self, name: &ShareName) -> Result<ShareReader<'_>, Declined> {
        let reader = ShareReader::open(self.site.store(), name).map_err(declined)?;
        match reader.header().link == Some(self.greeted.link) {
            true => Ok(reader),
            false => Err(Declined::new(Status::NoSuchShare, "no such share of this link")),
        }
    }

    pub(super) fn stat(&self, message: &Message) -> Result<Answer, Declined> {
        let all = message.object.bytes() == &[0; 16];
        let mut body = Vec::new();
        let entries = self.site.store().list().map_err(|error| declined(error.into()))?;
        for entry in entries {
            let Some((object, _)) = parse_share_file_name(entry.name.as_str()) else { continue };
            if !all && object != message.object {
                continue;
            }
            let opened = match all {
                true => self.open_own(&entry.name),
                false => self.open_known(&entry.name),
            };
            let reader = match opened {
                Ok(reader) => reader,
                Err(Declined { status: Status::NoSuchShare, .. }) => continue,
                // What can't be read is not the same as what is not there.
                Err(declined) if !all => return Err(declined),
                Err(_) => continue,
            };
            let stat = stat_of(reader.header());
            stat.encode(&mut body);
            if body.len() / warifu_link::body::SHARE_STAT_BYTES >= SHARE_STATS_MAX.min(256) {
                break;
            }
        }
        Ok(Answer { body, ..Answer::default() })
    }

    /// Throws a share away that its gateway never listed: an unfinished one, or where that is asked
    /// for a completed one too.
    pub(super) fn discard(&self, message: &Message) -> Result<Answer, Declined> {
        if message.argument0 > UNFINISHED_ONLY {
            return Err(Declined::new(Status::BadRequest, "no such way to throw away"));
        }
        let address = address(message)?;
        if self.site.drafts().is_held(self.greeted.link, address, self.connection) {
            return Err(Declined::new(Status::Refused, "a running backup works on this share"));
        }
        self.site.drafts().discarded(self.greeted.link, address, self.connection);
        if let Some(writer) = self.site.drafts().close(self.greeted.link, address) {
            writer.abandon().map_err(declined)?;
            return Ok(Answer::default());
        }
        let name = share_name(address).map_err(declined)?;
        match self.open_own(&name) {
            Ok(_) if message.argument0 == UNFINISHED_ONLY => {
                return Err(Declined::new(Status::ExistsAlready, "this share is complete"));
            }
            Ok(_) => {
                self.expect_discardable(address)?;
                self.site.store().delete(&name).map_err(|error| declined(error.into()))?;
            }
            Err(Declined { status: Status::NoSuchShare, .. }) => {
                let draft = Draft::abandon_left(self.site.store(), &name, self.greeted.link);
                draft.map_err(declined)?;
            }
            Err(declined) => return Err(declined),
        }
        Ok(Answer::default())
    }
}

/// What is told of a completed share.
pub(super) fn stat_of(header: &ShareHeader) -> ShareStat {
    ShareStat {
        object: header.object,
        x: header.x,
        threshold: header.threshold,
        computed: header.role == Role::Computed,
        committed: true,
        payload_bytes: header.geometry.payload_bytes(),
        masks: header.masks,
        head_bytes: header.capsule.head_bytes,
        verdict_bytes: header.capsule.verdict_bytes,
    }
}

pub(super) fn address(message: &Message) -> Result<ShareAddress, Declined> {
    let x = message.x.ok_or_else(|| Declined::new(Status::BadRequest, "x is 0"))?;
    Ok(ShareAddress { object: message.object, x })
}

fn slot_of(geometry: Geometry, chunk: u64) -> Slot {
    match chunk.checked_sub(geometry.chunk_count()) {
        None => Slot { class: ShareClass::Data, index: chunk },
        Some(index) => Slot { class: ShareClass::Mask, index },
    }
}

fn no_draft() -> Declined {
    Declined::new(Status::NoSuchShare, "no such share is being written over this link")
}
