//! Reads one committed share file, checking the site's own checksums.

use super::ShareError;
use crate::backup::weave::Slot;
use warifu_backend::{ShareName, ShareStore};
use warifu_buffers::Block;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::share_file::{
    Foot, PAGE_BYTES, ShareHeader, SlotClass, capsule_area_bytes, decode_capsule_area,
    parse_share_file_name,
};
use warifu_link::ShareClass;
use zeroize::{Zeroize, Zeroizing};

const PAGE: usize = PAGE_BYTES as usize;

/// A chunk or mask as it was stored.
pub struct ReadChunk {
    /// Which attempt it was.
    pub attempt: u32,
    /// Its blind block.
    pub blind: Zeroizing<[u8; 16]>,
    /// Bytes of content, which stand at the start of the target that was given.
    pub bytes: usize,
}

/// A committed share file.
pub struct ShareReader<'a> {
    store: &'a dyn ShareStore,
    name: ShareName,
    header: ShareHeader,
}

impl<'a> ShareReader<'a> {
    /// Opens the share `name` and checks its header against its name.
    ///
    /// # Errors
    /// Where there is none, it is damaged, or the store fails.
    pub fn open(store: &'a dyn ShareStore, name: &ShareName) -> Result<Self, ShareError> {
        let mut page = [0; PAGE];
        store.read_at(name, 0, &mut page)?;
        let header = ShareHeader::decode(&page)?;
        if parse_share_file_name(name.as_str()) != Some((header.object, header.x)) {
            return Err(ShareError::OtherShare { what: "its header names another share" });
        }
        Ok(Self { store, name: name.clone(), header })
    }

    /// What its header says.
    pub fn header(&self) -> &ShareHeader {
        &self.header
    }

    /// Bytes of content of `slot`.
    ///
    /// # Errors
    /// Where the share has no such slot.
    pub fn slot_bytes(&self, slot: Slot) -> Result<usize, ShareError> {
        let geometry = self.header.geometry;
        match slot.class {
            ShareClass::Data if slot.index < geometry.chunk_count() => {
                Ok(geometry.chunk_bytes(slot.index))
            }
            ShareClass::Mask if slot.index < u64::from(self.header.masks) => {
                Ok(CHUNK_BYTES as usize)
            }
            _ => Err(ShareError::NoSuchSlot { slot }),
        }
    }

    /// Reads a chunk or mask into the start of `target`. Where `target` has room for a page more,
    /// the slot is read at once, by way of that room, which is zero afterwards.
    ///
    /// # Errors
    /// Where there is no such slot, its checksum is wrong, or the store fails.
    ///
    /// # Panics
    /// Where `target` is shorter than the slot.
    pub fn chunk(&self, slot: Slot, target: &mut [u8]) -> Result<ReadChunk, ShareError> {
        let bytes = self.slot_bytes(slot)?;
        let class = match slot.class {
            ShareClass::Mask => SlotClass::Mask,
            _ => SlotClass::Data,
        };
        let offset = self.header.slot_offset(class, slot.index);
        let offset = offset.ok_or(ShareError::NoSuchSlot { slot })?;
        let mut foot_page = Zeroizing::new([0; PAGE]);
        let foot = if target.len() >= bytes + PAGE {
            let whole = &mut target[..bytes + PAGE];
            self.store.read_at(&self.name, offset, whole)?;
            let (content, behind) = whole.split_at_mut(bytes);
            foot_page.copy_from_slice(behind);
            behind.zeroize();
            Foot::decode(content, &foot_page)?
        } else {
            let content = &mut target[..bytes];
            self.store.read_at(&self.name, offset, content)?;
            self.store.read_at(&self.name, offset + bytes as u64, &mut foot_page[..])?;
            Foot::decode(content, &foot_page)?
        };
        if (foot.class, foot.index) != (class, slot.index) {
            return Err(ShareError::NoSuchSlot { slot });
        }
        let mut blind = Zeroizing::new([0; 16]);
        blind.copy_from_slice(&foot.blind);
        Ok(ReadChunk { attempt: foot.attempt, blind, bytes })
    }

    /// Fills `target` from the capsule share at `offset` within it. The whole capsule's checksum is
    /// not looked at: the capsule proves itself by its code.
    ///
    /// # Errors
    /// Where the range lies outside the capsule, or the store fails.
    pub fn capsule(&self, offset: u64, target: &mut [u8]) -> Result<(), ShareError> {
        let end = offset.checked_add(target.len() as u64);
        if end.is_none_or(|end| end > self.header.capsule_bytes()) {
            let slot = Slot { class: ShareClass::Capsule, index: offset };
            return Err(ShareError::NoSuchSlot { slot });
        }
        let at = self.header.capsule_offset() + offset;
        Ok(self.store.read_at(&self.name, at, target)?)
    }

    /// Checks the length of the whole file, and the site's checksum over the capsule area.
    ///
    /// # Errors
    /// Where it is wrong, or the store fails.
    pub fn scrub_capsule(&self) -> Result<(), ShareError> {
        if self.store.len(&self.name)? != self.header.file_bytes() {
            return Err(ShareError::OtherShare { what: "it is not as long as its header says" });
        }
        let total = self.header.capsule_bytes();
        let mut area = Block::zeroed(capsule_area_bytes(total) as usize);
        self.store.read_at(&self.name, self.header.capsule_offset(), &mut area)?;
        decode_capsule_area(&area, total)?;
        Ok(())
    }
}
