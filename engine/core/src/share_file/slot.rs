//! The foot that follows the content of a slot, and the area that holds the capsule's share.

use super::PAGE_BYTES;
use crate::checksum::crc64;
use crate::format::{Fields, FormatError, Writer};
use crate::geometry::CHUNK_BYTES;
use warifu_buffers::Block;
use zeroize::{Zeroize, ZeroizeOnDrop};

const FOOT_MAGIC: &[u8; 8] = b"WARIFUSL";
const CHECKED_BYTES: usize = 48;

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum SlotClass {
    /// A chunk of the share.
    Data,
    /// An audit mask.
    Mask,
}

impl SlotClass {
    /// The byte by which it is stored.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Mask => 1,
        }
    }

    /// The class stored as `byte`, or `None`.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Data),
            1 => Some(Self::Mask),
            _ => None,
        }
    }
}

/// What follows the content of a slot. The blind block is secret, so that a foot can't be printed
/// or cloned, and is zeroised.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Foot {
    /// What the slot holds.
    #[zeroize(skip)]
    pub class: SlotClass,
    /// Which drawing of the chunk this is, from 0.
    pub attempt: u32,
    /// Index of the chunk, or of the mask.
    pub index: u64,
    /// Content bytes: a positive multiple of 4096, at most 2^20.
    pub content_bytes: u32,
    /// The blind block.
    pub blind: [u8; 16],
}

impl Foot {
    /// The foot page for `content`, checksum included.
    ///
    /// # Panics
    /// Where `content` is not `content_bytes` long.
    #[must_use]
    pub fn encode(&self, content: &[u8]) -> Block {
        assert_eq!(content.len(), self.content_bytes as usize, "a foot for other content");
        let mut page = Block::zeroed(PAGE_BYTES as usize);
        let mut writer = Writer::new(&mut page);
        writer.put(FOOT_MAGIC).put(&[self.class.to_byte()]).skip(3);
        writer.put(&self.attempt.to_le_bytes()).put(&self.index.to_le_bytes());
        writer.put(&self.content_bytes.to_le_bytes()).skip(4).put(&self.blind);
        debug_assert_eq!(writer.at(), CHECKED_BYTES);
        let checksum = crc64(&[content, &page[..CHECKED_BYTES]]);
        page[CHECKED_BYTES..CHECKED_BYTES + 8].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Reads a foot page and verifies it and `content` by the checksum.
    ///
    /// # Errors
    /// Where magic, a field or the checksum is not what it must be, or `content` has another
    /// length than the foot says.
    pub fn decode(content: &[u8], page: &[u8; PAGE_BYTES as usize]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("slot foot", page);
        fields.magic(FOOT_MAGIC)?;
        let class = SlotClass::from_byte(fields.u8()?);
        let class = fields.some(class, "the class")?;
        fields.zeros(3)?;
        let (attempt, index, content_bytes) = (fields.u32()?, fields.u64()?, fields.u32()?);
        let fits = (1..=CHUNK_BYTES).contains(&content_bytes)
            && u64::from(content_bytes).is_multiple_of(PAGE_BYTES)
            && content_bytes as usize == content.len();
        fields.require(fits, "the length of the content")?;
        fields.zeros(4)?;
        let foot = Self { class, attempt, index, content_bytes, blind: fields.array()? };
        let stored = fields.u64()?;
        fields.zeros(fields.rest().len())?;
        match stored == crc64(&[content, &page[..CHECKED_BYTES]]) {
            true => Ok(foot),
            false => Err(FormatError::Checksum { what: "slot" }),
        }
    }
}

/// Bytes of the capsule area around `capsule_bytes` of capsule share.
///
/// # Panics
/// Where `capsule_bytes` is within a page of `u64::MAX`; no capsule is.
#[must_use]
pub const fn capsule_area_bytes(capsule_bytes: u64) -> u64 {
    (capsule_bytes + 8).next_multiple_of(PAGE_BYTES)
}

/// The capsule area: this share's share of the capsule, its checksum, zeros up to a page.
#[must_use]
pub fn capsule_area(share: &[u8]) -> Block {
    let mut area = Block::zeroed(capsule_area_bytes(share.len() as u64) as usize);
    Writer::new(&mut area).put(share).put(&crc64(&[share]).to_le_bytes());
    area
}

/// The share of the capsule, of `capsule_bytes`, within its area.
///
/// # Errors
/// Where the area has another length, its checksum differs, or the rest is not zero.
pub fn decode_capsule_area(area: &[u8], capsule_bytes: u64) -> Result<&[u8], FormatError> {
    let what = "capsule area";
    let share_bytes = usize::try_from(capsule_bytes).map_err(|_| FormatError::Length { what })?;
    let mut fields = Fields::new(what, area);
    let share = fields.slice(share_bytes)?;
    let stored = fields.u64()?;
    if area.len() as u64 != capsule_area_bytes(capsule_bytes) {
        return Err(FormatError::Length { what });
    }
    fields.zeros(fields.rest().len())?;
    match stored == crc64(&[share]) {
        true => Ok(share),
        false => Err(FormatError::Checksum { what }),
    }
}
