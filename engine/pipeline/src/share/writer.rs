//! Writes one share file; until it is committed nobody sees it.

use super::ShareError;
use crate::backup::weave::Slot;
use std::collections::BTreeMap;
use warifu_backend::{ShareName, ShareStore, Upload};
use warifu_buffers::{Block, Bytes};
use warifu_core::checksum::crc64;
use warifu_core::geometry::{CHUNK_BYTES, Geometry, PAYLOAD_STEP};
use warifu_core::share_file::{
    CapsuleShape, Foot, PAGE_BYTES, ShareHeader, SlotClass, capsule_area, data_slot_offset,
    mask_slot_offset,
};
use warifu_core::{LinkId, ObjectId, Role, Threshold, XCoord};
use warifu_link::ShareClass;

const PAGE: usize = PAGE_BYTES as usize;
const DRAFT_MAGIC: &[u8; 8] = b"WARIFUDR";

/// Bytes after which a share is synced while it grows, so that its commit is not kept waiting.
const SYNC_STEP_BYTES: u64 = 64 << 20;

/// Pieces of 1 MiB that a capsule has at most: 4 GiB.
const CAPSULE_PIECES_MAX: u64 = 4096;

/// Chunks that may be missing before one that is there. Chunks come in order but for the few that
/// are on their way together, and a crash takes at most what came since the last sync. More would
/// be a file of holes, which costs nothing to write and all its length to take up.
const MISSING_BEFORE_LAST_MAX: u64 = SYNC_STEP_BYTES / CHUNK_BYTES as u64;

/// What is known of a share before its length is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The object.
    pub object: ObjectId,
    /// Its share.
    pub x: XCoord,
    /// The object's scheme.
    pub threshold: Threshold,
    /// How the share comes to be.
    pub role: Role,
    /// The link over which it comes; `None` for channel `local`.
    pub link: Option<LinkId>,
}

impl Draft {
    /// Removes what an earlier process left unfinished under `name`, if it came over `link`.
    ///
    /// # Errors
    /// Where it is another party's, or the store fails. Nothing there is no error.
    pub fn abandon_left(
        store: &dyn ShareStore,
        name: &ShareName,
        link: LinkId,
    ) -> Result<(), ShareError> {
        let mut upload = match store.resume(name) {
            Ok(upload) => upload,
            Err(warifu_backend::Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match first_page(upload.as_mut()) {
            FirstPage::Draft { owner, .. } | FirstPage::Header { owner } if owner != Some(link) => {
                Err(ShareError::OtherOwner)
            }
            FirstPage::Unreadable => Err(ShareError::OtherOwner),
            _ => Ok(upload.abandon()?),
        }
    }

    /// The first page of an unfinished share, which says whose it is (FORMAT.md section 5).
    fn page(&self) -> Block {
        let mut page = Block::zeroed(PAGE);
        page[..8].copy_from_slice(DRAFT_MAGIC);
        page[8] = self.x.get();
        page[9] = self.threshold.k_byte();
        page[10] = self.threshold.n_byte();
        page[11] = self.role.to_byte();
        page[16..32].copy_from_slice(self.object.bytes());
        if let Some(link) = &self.link {
            page[32..48].copy_from_slice(link.bytes());
        }
        let checksum = crc64(&[&page[..PAGE - 8]]);
        page[PAGE - 8..].copy_from_slice(&checksum.to_le_bytes());
        page
    }
}

/// One slot that an unfinished share holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrittenSlot {
    /// Which attempt at it.
    pub attempt: u32,
    /// Content bytes.
    pub bytes: u32,
}

/// What completes a share.
pub struct CommitOrder<'a> {
    /// Payload length.
    pub geometry: Geometry,
    /// Masks that the share must hold.
    pub masks: u32,
    /// Lengths of the capsule's parts.
    pub capsule: CapsuleShape,
    /// Of which generation the pieces of the capsule are, all of them: each generation draws it
    /// anew, and pieces of two do not fit together.
    pub capsule_generation: u32,
    /// Attempt of each data chunk and mask that needed more than one.
    pub attempts: &'a BTreeMap<Slot, u32>,
}

/// A share file being written.
pub struct ShareWriter {
    upload: Box<dyn Upload>,
    draft: Draft,
    written: BTreeMap<Slot, WrittenSlot>,
    payload_bytes: u64,
    unsynced_bytes: u64,
}

impl ShareWriter {
    /// Begins the share of `draft` in `store`, or takes up the unfinished one of the same party.
    /// Of what an earlier process wrote, the chunks that prove whole by their checksum count.
    ///
    /// # Errors
    /// Where a committed share of this name exists, the unfinished one is another party's, or the
    /// store fails.
    pub fn begin(
        store: &dyn ShareStore,
        name: &ShareName,
        draft: Draft,
    ) -> Result<Self, ShareError> {
        let upload = match store.resume(name) {
            Ok(upload) => upload,
            Err(warifu_backend::Error::NotFound) => store.create(name)?,
            Err(error) => return Err(error.into()),
        };
        let mut writer =
            Self { upload, draft, written: BTreeMap::new(), payload_bytes: 0, unsynced_bytes: 0 };
        match first_page(writer.upload.as_mut()) {
            FirstPage::Empty => {}
            FirstPage::Draft { page, .. } if page[..] == draft.page()[..] => {
                writer.take_up_written();
                return Ok(writer);
            }
            // It was complete but for its name.
            FirstPage::Header { owner } if owner == draft.link => writer.take_up_written(),
            // Nobody can go on with it, whoever began it.
            FirstPage::Torn => {
                writer.upload.abandon()?;
                writer.upload = store.create(name)?;
            }
            _ => return Err(ShareError::OtherOwner),
        }
        writer.upload.write_at(0, draft.page().into_bytes())?;
        Ok(writer)
    }

    /// Counts the whole data chunks and masks that an earlier process left. What is missing between
    /// them is passed over, as slots are written in any order, unless it is more than ever is.
    fn take_up_written(&mut self) {
        let mut buffer = Block::zeroed(CHUNK_BYTES as usize + PAGE);
        let held_bytes = self.upload.held_bytes();
        let within = |index| data_slot_offset(index).filter(|offset| *offset < held_bytes);
        let slot = |index| Slot { class: ShareClass::Data, index };
        let (mut end, mut index) = (0, 0);
        while let Some(offset) = within(index).filter(|_| index < end + MISSING_BEFORE_LAST_MAX) {
            if self.take_up(slot(index), offset, CHUNK_BYTES, &mut buffer) {
                end = index + 1;
            }
            index += 1;
        }
        let mut payload_bytes = end * u64::from(CHUNK_BYTES);
        // Only the last chunk is short.
        let shorts = (1..CHUNK_BYTES / PAYLOAD_STEP as u32).rev();
        let shorts = shorts.map(|pages| pages * PAYLOAD_STEP as u32);
        let places = (end..end + MISSING_BEFORE_LAST_MAX).map_while(|at| Some((at, within(at)?)));
        let last = places.flat_map(|place| shorts.clone().map(move |bytes| (place, bytes)));
        for ((index, offset), bytes) in last {
            if self.take_up(slot(index), offset, bytes, &mut buffer) {
                payload_bytes = index * u64::from(CHUNK_BYTES) + u64::from(bytes);
                break;
            }
        }
        let Ok(geometry) = Geometry::new(payload_bytes) else { return };
        for index in 0..u64::from(geometry.mask_count()) {
            if let Some(offset) = mask_slot_offset(&geometry, index) {
                let slot = Slot { class: ShareClass::Mask, index };
                self.take_up(slot, offset, CHUNK_BYTES, &mut buffer);
            }
        }
    }

    /// Counts a slot if it stands at `offset` whole with this length; whether it did.
    fn take_up(&mut self, slot: Slot, offset: u64, bytes: u32, buffer: &mut Block) -> bool {
        let attempt = self.whole_slot(slot, offset, &mut buffer[..bytes as usize + PAGE]);
        if let Some(attempt) = attempt {
            self.written.insert(slot, WrittenSlot { attempt, bytes });
            if slot.class == ShareClass::Data {
                self.payload_bytes += u64::from(bytes);
            }
        }
        attempt.is_some()
    }

    /// The attempt of the slot at `offset` if it is whole; `buffer` has room for just the slot.
    fn whole_slot(&mut self, slot: Slot, offset: u64, buffer: &mut [u8]) -> Option<u32> {
        let at_once = buffer.len() == CHUNK_BYTES as usize + PAGE;
        if at_once {
            self.upload.read_at(offset, buffer).ok()?;
        }
        let (content, page) = buffer.split_last_chunk_mut::<PAGE>()?;
        if !at_once {
            // One of many lengths that it may have.
            self.upload.read_at(offset + content.len() as u64, page).ok()?;
            if page[..8] != *b"WARIFUSL" {
                return None;
            }
            self.upload.read_at(offset, content).ok()?;
        }
        let foot = Foot::decode(content, page).ok()?;
        let fits = (Some(foot.class), foot.index) == (slot_class(slot.class), slot.index);
        fits.then_some(foot.attempt)
    }

    /// What the share was begun as.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Slots that it holds.
    pub fn written(&self) -> &BTreeMap<Slot, WrittenSlot> {
        &self.written
    }

    /// Writes a slot; a later attempt replaces an earlier one, which may have had another length
    /// only for a piece of the capsule. `blind` is not used for these, which have none. The content
    /// is handed on without a copy; a failure to write it may come with a later call.
    ///
    /// # Errors
    /// Where the slot doesn't fit, an equal or later attempt is there, or the store fails.
    pub fn put(
        &mut self,
        slot: Slot,
        attempt: u32,
        blind: &[u8; 16],
        content: Bytes,
    ) -> Result<(), ShareError> {
        let bytes = content.len();
        let offset = self.place(slot, bytes)?;
        if let Some(held) = self.written.get(&slot) {
            let misfit = |why| ShareError::Misfit { slot, bytes, why };
            if held.attempt >= attempt {
                return Err(misfit("the same or a later attempt is there already"));
            }
            // The capsule names attempts, so that it changes with them.
            if held.bytes as usize != bytes && slot.class != ShareClass::Capsule {
                return Err(misfit("an attempt never changes the length"));
            }
        }
        let content_bytes = bytes as u32;
        let foot = slot_class(slot.class).map(|class| {
            let foot = Foot { class, attempt, index: slot.index, content_bytes, blind: *blind };
            foot.encode(&content)
        });
        self.upload.write_at(offset, content)?;
        self.unsynced_bytes += bytes as u64;
        if let Some(foot) = foot {
            self.upload.write_at(offset + bytes as u64, foot.into_bytes())?;
        }
        if self.unsynced_bytes >= SYNC_STEP_BYTES {
            self.upload.sync()?;
            self.unsynced_bytes = 0;
        }
        let before = self.written.insert(slot, WrittenSlot { attempt, bytes: content_bytes });
        if before.is_none() && slot.class == ShareClass::Data {
            self.payload_bytes += bytes as u64;
        }
        Ok(())
    }

    /// Where a slot belongs, if it fits: data in order with only the last one short, then masks,
    /// then the capsule.
    fn place(&self, slot: Slot, bytes: usize) -> Result<u64, ShareError> {
        let misfit = |why| Err(ShareError::Misfit { slot, bytes, why });
        let full = bytes == CHUNK_BYTES as usize;
        if bytes == 0 || bytes > CHUNK_BYTES as usize {
            return misfit("a slot has 1 byte to 1 MiB");
        }
        match slot.class {
            ShareClass::Data => {
                if !bytes.is_multiple_of(PAYLOAD_STEP as usize) {
                    return misfit("a chunk is a multiple of 4096 bytes");
                }
                let written = self.payload_bytes.div_ceil(u64::from(CHUNK_BYTES));
                if slot.index >= written + MISSING_BEFORE_LAST_MAX {
                    return misfit("too many chunks before it are missing");
                }
                data_slot_offset(slot.index).map_or(misfit("no object has so many chunks"), Ok)
            }
            ShareClass::Mask if !full => misfit("a mask has 1 MiB"),
            ShareClass::Mask => mask_slot_offset(&self.geometry(slot, bytes)?, slot.index)
                .map_or(misfit("no share has so many masks"), Ok),
            ShareClass::Capsule => {
                let masks = self.count(ShareClass::Mask);
                let start = mask_slot_offset(&self.geometry(slot, bytes)?, masks);
                let into = slot.index.checked_mul(u64::from(CHUNK_BYTES));
                let offset = start.zip(into).and_then(|(start, into)| start.checked_add(into));
                match offset.filter(|_| slot.index < CAPSULE_PIECES_MAX) {
                    Some(offset) => Ok(offset),
                    None => misfit("no capsule has so many pieces"),
                }
            }
        }
    }

    fn geometry(&self, slot: Slot, bytes: usize) -> Result<Geometry, ShareError> {
        let why = "masks and capsule come after the data";
        Geometry::new(self.payload_bytes).map_err(|_| ShareError::Misfit { slot, bytes, why })
    }

    fn count(&self, class: ShareClass) -> u64 {
        self.written.keys().filter(|slot| slot.class == class).count() as u64
    }

    /// Checks that all is there in the attempts named, writes the header, and publishes the share
    /// durably. Whole or nothing.
    ///
    /// # Errors
    /// Where a slot is missing or of another attempt, or the store fails; the share is then not
    /// published.
    pub fn commit(mut self, order: &CommitOrder<'_>) -> Result<(), ShareError> {
        self.expect_whole(order)?;
        let header = ShareHeader {
            x: self.draft.x,
            threshold: self.draft.threshold,
            role: self.draft.role,
            object: self.draft.object,
            link: self.draft.link,
            geometry: order.geometry,
            masks: order.masks,
            capsule: order.capsule,
        };
        self.seal_capsule(&header)?;
        let mut page = Block::zeroed(PAGE);
        page.copy_from_slice(&header.encode());
        self.upload.write_at(0, page.into_bytes())?;
        self.upload.commit()?;
        Ok(())
    }

    /// Waits for what is on its way to the store, and keeps no buffer, ring or room while nothing
    /// comes.
    ///
    /// # Errors
    /// Where an earlier write failed; the share can then only be given up or taken up anew.
    pub fn settle(&mut self) -> Result<(), ShareError> {
        Ok(self.upload.settle()?)
    }

    /// Gives the share up; nothing of it remains.
    ///
    /// # Errors
    /// Where the store can't remove it.
    pub fn abandon(self) -> Result<(), ShareError> {
        Ok(self.upload.abandon()?)
    }

    /// Checks that all is there that `order` names, and nothing else.
    ///
    /// # Errors
    /// Where a slot is missing, of another attempt or length, or one is too many.
    pub fn expect_whole(&self, order: &CommitOrder<'_>) -> Result<(), ShareError> {
        let data = (0..order.geometry.chunk_count())
            .map(|index| (ShareClass::Data, index, order.geometry.chunk_bytes(index)));
        let masks = (0..u64::from(order.masks))
            .map(|index| (ShareClass::Mask, index, CHUNK_BYTES as usize));
        for (class, index, bytes) in data.chain(masks) {
            let slot = Slot { class, index };
            let expected = order.attempts.get(&slot).copied().unwrap_or(0);
            let held = self.written.get(&slot);
            let held_attempt = held.map(|held| held.attempt);
            if held_attempt != Some(expected) {
                return Err(ShareError::WrongAttempt { slot, expected, held: held_attempt });
            }
            if held.is_some_and(|held| held.bytes as usize != bytes) {
                let why = "its length is not what the commit's payload length asks";
                return Err(ShareError::Misfit { slot, bytes, why });
            }
        }
        let slots = order.geometry.chunk_count() + u64::from(order.masks);
        let held = self.count(ShareClass::Data) + self.count(ShareClass::Mask);
        match held == slots {
            true => self.expect_capsule(order),
            false => Err(ShareError::Misfit {
                slot: Slot { class: ShareClass::Data, index: slots },
                bytes: 0,
                why: "the share holds more slots than the commit names",
            }),
        }
    }

    fn expect_capsule(&self, order: &CommitOrder<'_>) -> Result<(), ShareError> {
        let total = order.capsule.capsule_bytes(self.draft.threshold);
        let piece_bytes = u64::from(CHUNK_BYTES);
        for index in 0..total.div_ceil(piece_bytes) {
            let slot = Slot { class: ShareClass::Capsule, index };
            let bytes = (total - index * piece_bytes).min(piece_bytes);
            let held = self.written.get(&slot).ok_or(ShareError::NoSuchSlot { slot })?;
            if held.attempt >> 16 != order.capsule_generation {
                let (expected, held) = (order.capsule_generation << 16, Some(held.attempt));
                return Err(ShareError::WrongAttempt { slot, expected, held });
            }
            if u64::from(held.bytes) != bytes {
                return Err(ShareError::NoSuchSlot { slot });
            }
        }
        Ok(())
    }

    /// Closes the capsule area: its checksum, and zeros up to the page.
    fn seal_capsule(&mut self, header: &ShareHeader) -> Result<(), ShareError> {
        let start = header.capsule_offset();
        let total = header.capsule_bytes();
        let mut share = Block::zeroed(total as usize);
        self.upload.read_at(start, &mut share)?;
        let area = capsule_area(&share).into_bytes();
        self.upload.write_at(start + total, area.slice(total as usize..))?;
        // A longer capsule of an earlier attempt, or zeros that a crash has left.
        self.upload.truncate(header.file_bytes())?;
        Ok(())
    }
}

/// What the first page of an unfinished share says of its owner.
enum FirstPage {
    /// Nothing was written yet.
    Empty,
    /// A draft's page.
    Draft { page: Box<[u8; PAGE]>, owner: Option<LinkId> },
    /// The header of a share that was about to be published.
    Header { owner: Option<LinkId> },
    /// Neither: it was being written when the power was cut, and says nothing any more.
    Torn,
    /// The store can't tell.
    Unreadable,
}

fn first_page(upload: &mut dyn Upload) -> FirstPage {
    let mut page = [0; PAGE];
    match upload.read_at(0, &mut page) {
        Ok(()) if page == [0; PAGE] => return FirstPage::Empty,
        Err(warifu_backend::Error::Truncated { .. }) => return FirstPage::Empty,
        Ok(()) => {}
        Err(_) => return FirstPage::Unreadable,
    }
    if let Ok(header) = ShareHeader::decode(&page) {
        return FirstPage::Header { owner: header.link };
    }
    let stored = page.last_chunk().copied().map_or(0, u64::from_le_bytes);
    if page[..8] != *DRAFT_MAGIC || stored != crc64(&[&page[..PAGE - 8]]) {
        return FirstPage::Torn;
    }
    let owner = page[32..48].first_chunk().copied().filter(|link| *link != [0; 16]);
    FirstPage::Draft { page: Box::new(page), owner: owner.map(LinkId::from_bytes) }
}

fn slot_class(class: ShareClass) -> Option<SlotClass> {
    match class {
        ShareClass::Data => Some(SlotClass::Data),
        ShareClass::Mask => Some(SlotClass::Mask),
        ShareClass::Capsule => None,
    }
}
