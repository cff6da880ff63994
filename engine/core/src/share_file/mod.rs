//! One share of one object as a file: header, slots of chunks and masks, capsule area.

mod slot;

pub use slot::{Foot, SlotClass, capsule_area, capsule_area_bytes, decode_capsule_area};

use crate::checksum::crc64;
use crate::format::{Fields, FormatError, Writer};
use crate::geometry::{CHUNK_BYTES, Geometry, PAYLOAD_BYTES_MAX};
use crate::id::{LinkId, ObjectId};
use crate::role::Role;
use crate::threshold::{Threshold, XCoord};

/// Bytes of the header, of a foot, and the step of every offset in a share file.
pub const PAGE_BYTES: u64 = 4096;

/// The most masks that a share may carry.
pub const MASKS_MAX: u32 = 65_535;

/// The most bytes that the head part of a capsule may take.
pub const HEAD_BYTES_MAX: u32 = 1 << 24;

/// Bytes from the start of one full slot to the start of the next.
pub(crate) const SLOT_BYTES: u64 = CHUNK_BYTES as u64 + PAGE_BYTES;

const HEADER_MAGIC: &[u8; 8] = b"WARIFUSH";
const CHECKSUM_OFFSET: usize = PAGE_BYTES as usize - 8;
/// What is stored in place of a link where there is none.
pub(crate) const NO_LINK: [u8; 16] = [0; 16];

const NAME_SUFFIX: &str = ".share";

/// The lengths of the parts of a capsule, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct CapsuleShape {
    /// Bytes of the head part, code included.
    pub head_bytes: u32,
    /// Bytes of each of the `n` verdict parts, code included.
    pub verdict_bytes: u32,
}

impl CapsuleShape {
    /// The shape of a capsule whose head part has `head_bytes`: the verdicts follow from the
    /// object's cut.
    ///
    /// # Errors
    /// Where there are more than [`MASKS_MAX`] masks, or where no head part has that length.
    pub fn new(head_bytes: u32, geometry: &Geometry, masks: u32) -> Result<Self, FormatError> {
        let fields = Fields::new("capsule shape", &[]);
        fields.require(masks <= MASKS_MAX, "the number of masks")?;
        let blocks = head_bytes / 16;
        let is_part = head_bytes.is_multiple_of(16) && blocks % 2 == 1 && blocks >= 3;
        fields.require(is_part && head_bytes <= HEAD_BYTES_MAX, "the length of the head")?;
        let hashes = geometry.chunk_count() as usize + masks as usize;
        let verdict_bytes = part_bytes(32 + 16 * hashes) as u32;
        Ok(Self { head_bytes, verdict_bytes })
    }

    /// Bytes of the whole capsule of an object with `n` shares, and of each share of it.
    #[must_use]
    pub fn capsule_bytes(&self, threshold: Threshold) -> u64 {
        u64::from(self.head_bytes) + threshold.n() as u64 * u64::from(self.verdict_bytes)
    }
}

/// Bytes of the capsule part that holds `content_bytes`: an odd number of blocks, and two for the
/// code.
pub(crate) const fn part_bytes(content_bytes: usize) -> usize {
    ((content_bytes.div_ceil(16) | 1) + 2) * 16
}

/// What the first page of a share file says. All of it is public.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareHeader {
    /// The share's x-coordinate.
    pub x: XCoord,
    /// The object's scheme.
    pub threshold: Threshold,
    /// Whether the share was drawn or computed.
    pub role: Role,
    /// Whose share it is.
    pub object: ObjectId,
    /// The link over which it came, if any. All zeros are no link.
    pub link: Option<LinkId>,
    /// The cut into chunks.
    pub geometry: Geometry,
    /// Audit masks that the share carries, at most [`MASKS_MAX`].
    pub masks: u32,
    /// The lengths of the capsule's parts.
    pub capsule: CapsuleShape,
}

impl ShareHeader {
    /// The header page.
    #[must_use]
    pub fn encode(&self) -> [u8; PAGE_BYTES as usize] {
        let mut page = [0; PAGE_BYTES as usize];
        let mut writer = Writer::new(&mut page);
        writer.put(HEADER_MAGIC).put(&1_u16.to_le_bytes());
        writer.put(&[self.x.get(), self.threshold.k_byte(), self.threshold.n_byte()]);
        writer.put(&[self.role.to_byte()]).skip(2).put(self.object.bytes());
        writer.put(&self.link.map_or(NO_LINK, |link| *link.bytes()));
        writer.put(&self.geometry.payload_bytes().to_le_bytes());
        writer.put(&CHUNK_BYTES.to_le_bytes()).put(&self.masks.to_le_bytes());
        writer.put(&self.capsule.head_bytes.to_le_bytes());
        writer.put(&self.capsule.verdict_bytes.to_le_bytes());
        let checksum = crc64(&[&page[..CHECKSUM_OFFSET]]);
        page[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Reads a header page.
    ///
    /// # Errors
    /// Where magic, version, checksum or a field is not what it must be.
    pub fn decode(page: &[u8; PAGE_BYTES as usize]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("share header", page);
        fields.magic(HEADER_MAGIC)?;
        fields.version()?;
        let checksum = crc64(&[&page[..CHECKSUM_OFFSET]]);
        if page[CHECKSUM_OFFSET..] != checksum.to_le_bytes() {
            return Err(FormatError::Checksum { what: "share header" });
        }
        let x = XCoord::new(fields.u8()?);
        let x = fields.some(x, "x-coordinate 0")?;
        let (k, n) = (fields.u8()?, fields.u8()?);
        let threshold = Threshold::new(k.into(), n.into()).ok();
        let threshold = fields.some(threshold, "the threshold")?;
        let role = Role::from_byte(fields.u8()?);
        let role = fields.some(role, "the role")?;
        fields.zeros(2)?;
        let object = ObjectId::from_bytes(fields.array()?);
        let link = Some(fields.array()?).filter(|link| *link != NO_LINK).map(LinkId::from_bytes);
        let geometry = Geometry::new(fields.u64()?).ok();
        let geometry = fields.some(geometry, "the payload's length")?;
        let chunk_bytes = fields.u32()?;
        fields.require(chunk_bytes == CHUNK_BYTES, "the length of a chunk")?;
        let masks = fields.u32()?;
        let capsule = CapsuleShape::new(fields.u32()?, &geometry, masks)?;
        let verdict_bytes = fields.u32()?;
        fields.require(verdict_bytes == capsule.verdict_bytes, "the length of a verdict")?;
        fields.zeros(fields.rest().len() - 8)?;
        Ok(Self { x, threshold, role, object, link, geometry, masks, capsule })
    }

    /// Content bytes of a chunk or mask, or `None` where the share has no such slot.
    #[must_use]
    pub fn content_bytes(&self, class: SlotClass, index: u64) -> Option<u64> {
        match class {
            SlotClass::Data if index < self.geometry.chunk_count() => {
                Some(self.geometry.chunk_bytes(index) as u64)
            }
            SlotClass::Mask if index < u64::from(self.masks) => Some(u64::from(CHUNK_BYTES)),
            SlotClass::Data | SlotClass::Mask => None,
        }
    }

    /// Where the content of a chunk or mask begins in the file, in bytes, or `None` where the
    /// share has no such slot.
    #[must_use]
    pub fn slot_offset(&self, class: SlotClass, index: u64) -> Option<u64> {
        self.content_bytes(class, index)?;
        match class {
            SlotClass::Data => data_slot_offset(index),
            SlotClass::Mask => mask_slot_offset(&self.geometry, index),
        }
    }

    /// Where the foot of a chunk or mask begins in the file, in bytes, or `None` where the share
    /// has no such slot.
    #[must_use]
    pub fn foot_offset(&self, class: SlotClass, index: u64) -> Option<u64> {
        Some(self.slot_offset(class, index)? + self.content_bytes(class, index)?)
    }

    /// Where the capsule area begins in the file, in bytes.
    #[must_use]
    pub const fn capsule_offset(&self) -> u64 {
        masks_offset(&self.geometry) + self.masks as u64 * SLOT_BYTES
    }

    /// Bytes of this share's share of the capsule.
    #[must_use]
    pub fn capsule_bytes(&self) -> u64 {
        self.capsule.capsule_bytes(self.threshold)
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.capsule_offset() + capsule_area_bytes(self.capsule_bytes())
    }
}

/// Where the content of data chunk `index` begins in a share file, in bytes: known before the
/// payload's length is. `None` where no object has such a chunk.
#[must_use]
pub fn data_slot_offset(index: u64) -> Option<u64> {
    let exists = index < PAYLOAD_BYTES_MAX / u64::from(CHUNK_BYTES);
    exists.then(|| PAGE_BYTES + index * SLOT_BYTES)
}

/// Where the content of mask `index` begins in a share file of this geometry, in bytes. `None`
/// where no share has such a mask.
#[must_use]
pub fn mask_slot_offset(geometry: &Geometry, index: u64) -> Option<u64> {
    (index < u64::from(MASKS_MAX)).then(|| masks_offset(geometry) + index * SLOT_BYTES)
}

const fn masks_offset(geometry: &Geometry) -> u64 {
    PAGE_BYTES + geometry.payload_bytes() + PAGE_BYTES * geometry.chunk_count()
}

/// The name of a share's file: the object and x in hexadecimal.
#[must_use]
pub fn share_file_name(object: ObjectId, x: XCoord) -> String {
    format!("{object}-{:02x}{NAME_SUFFIX}", x.get())
}

/// The share whose file has this name, or `None` where [`share_file_name`] gives no such name.
#[must_use]
pub fn parse_share_file_name(name: &str) -> Option<(ObjectId, XCoord)> {
    let (object, x) = name.strip_suffix(NAME_SUFFIX)?.split_once('-')?;
    let object = object.parse().ok()?;
    let x = XCoord::new(u8::from_str_radix(x, 16).ok()?)?;
    (share_file_name(object, x) == name).then_some((object, x))
}
