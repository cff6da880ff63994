//! What is shared: `prologue, attributes, data, zeros, trailer`. The file's name, times and digest
//! live in here and nowhere else.

use crate::format::{Fields, FormatError, Writer, all_zero};
use crate::geometry::{Geometry, PAYLOAD_BYTES_MAX, PAYLOAD_STEP};
use std::collections::BTreeSet;
use std::ops::Range;
use warifu_buffers::Block;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the prologue, before the attributes.
pub const PROLOGUE_BYTES: u64 = 64;

/// Bytes of the trailer, which ends the payload.
pub const TRAILER_BYTES: u64 = 96;

/// The most bytes that attributes may take.
pub const ATTRIBUTE_BYTES_MAX: u64 = 65_472;

/// The longest file name, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 1024;

const PROLOGUE_MAGIC: &[u8; 8] = b"WARIFUPL";
const TRAILER_MAGIC: &[u8; 8] = b"WARIFUPT";
const TAG_NAME: u16 = 1;
const TAG_MODIFIED: u16 = 2;
const TAG_MODE: u16 = 3;
const RECORD_HEADER_BYTES: usize = 6;

/// Why a payload is refused or can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes are not a payload's.
    #[error("the payload can't be read")]
    Format(#[from] FormatError),
    /// More than the formats admit.
    #[error("{data_bytes} bytes of data do not fit in a payload of at most 2^40 bytes")]
    TooLong {
        /// Bytes of data given.
        data_bytes: u64,
    },
    /// More attributes than the prologue can announce.
    #[error("{attribute_bytes} bytes of attributes exceed 65,472")]
    Attributes {
        /// Bytes of attributes given.
        attribute_bytes: u64,
    },
    /// A file name that no file may get at a restore.
    #[error("a file name must have 1 to 1,024 bytes, no '/' and no zero byte, nor be '.' or '..'")]
    FileName,
    /// Prologue, trailer and length contradict each other.
    #[error("the trailer does not describe this payload")]
    Contradiction,
}

/// What is known of the stored file besides its bytes. Plaintext: neither printable nor cloneable.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Attributes {
    /// Its name without directories, as the file system gave it.
    pub name: Option<Vec<u8>>,
    /// When it was last changed, in nanoseconds since 1970 UTC.
    pub modified_ns: Option<i64>,
    /// Its permission bits.
    pub mode: Option<u32>,
}

impl Attributes {
    /// The records, in the order of their tags.
    ///
    /// # Errors
    /// Where the name is one that [`Attributes::decode`] refuses.
    pub fn encode(&self) -> Result<Block, PayloadError> {
        let mut block = Block::zeroed(self.encoded_bytes()?);
        self.write(&mut Writer::new(&mut block));
        Ok(block)
    }

    /// The attributes in `bytes`, which hold nothing else. Unknown tags are skipped.
    ///
    /// # Errors
    /// Where a record is cut short, has the wrong length, occurs twice, or names a directory.
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut fields = Fields::new("attributes", bytes);
        let mut attributes = Self::default();
        let mut seen = BTreeSet::new();
        while !fields.rest().is_empty() {
            let tag = fields.u16()?;
            fields.require(seen.insert(tag), "a tag that occurs twice")?;
            let value_bytes = fields.u32()?;
            let value = fields.slice(value_bytes as usize)?;
            let mut value_fields = Fields::new("attribute", value);
            match tag {
                TAG_NAME => {
                    require_file_name(value)?;
                    attributes.name = Some(value.to_vec());
                    continue;
                }
                TAG_MODIFIED => {
                    attributes.modified_ns = Some(i64::from_le_bytes(value_fields.array()?));
                }
                TAG_MODE => attributes.mode = Some(value_fields.u32()?),
                _ => continue,
            }
            value_fields.end()?;
        }
        Ok(attributes)
    }

    fn encoded_bytes(&self) -> Result<usize, PayloadError> {
        self.name.as_deref().map_or(Ok(()), require_file_name)?;
        let name = self.name.as_ref().map(|name| name.len());
        let values = [name, self.modified_ns.map(|_| 8), self.mode.map(|_| 4)];
        Ok(values.iter().flatten().map(|value| RECORD_HEADER_BYTES + value).sum())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let mut record = |tag: u16, value: &[u8]| {
            let value_bytes = value.len() as u32;
            writer.put(&tag.to_le_bytes()).put(&value_bytes.to_le_bytes()).put(value);
        };
        if let Some(name) = &self.name {
            record(TAG_NAME, name);
        }
        if let Some(modified_ns) = self.modified_ns {
            record(TAG_MODIFIED, &modified_ns.to_le_bytes());
        }
        if let Some(mode) = self.mode {
            record(TAG_MODE, &mode.to_le_bytes());
        }
    }
}

fn require_file_name(name: &[u8]) -> Result<(), PayloadError> {
    let plain = (1..=FILE_NAME_BYTES_MAX).contains(&name.len())
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
        && !matches!(name, b"." | b"..");
    if plain { Ok(()) } else { Err(PayloadError::FileName) }
}

/// The first bytes of a payload with these attributes: prologue and attributes. The data follows.
///
/// # Errors
/// Where the name is one that [`Attributes::decode`] refuses.
pub fn prologue(attributes: &Attributes) -> Result<Block, PayloadError> {
    let attribute_bytes = attributes.encoded_bytes()?;
    let mut block = Block::zeroed(PROLOGUE_BYTES as usize + attribute_bytes);
    let mut writer = Writer::new(&mut block);
    writer.put(PROLOGUE_MAGIC).put(&1_u16.to_le_bytes()).skip(2);
    writer.put(&(attribute_bytes as u32).to_le_bytes()).skip(48);
    attributes.write(&mut writer);
    Ok(block)
}

/// What the first bytes of a payload say.
pub struct Prologue {
    /// The attributes.
    pub attributes: Attributes,
    /// Bytes that the attributes take, unknown ones included.
    pub attribute_bytes: u64,
}

impl Prologue {
    /// Reads prologue and attributes off the front of `first`, which may go on behind them. The
    /// first chunk always holds them whole.
    ///
    /// # Errors
    /// Where `first` is no payload's beginning, or ends before the attributes do.
    pub fn decode(first: &[u8]) -> Result<Self, PayloadError> {
        let mut fields = Fields::new("payload prologue", first);
        fields.magic(PROLOGUE_MAGIC)?;
        fields.version()?;
        let encoding = fields.u8()?;
        fields.require(encoding == 0, "the encoding")?;
        fields.zeros(1)?;
        let attribute_bytes = fields.u32()?;
        let fits = u64::from(attribute_bytes) <= ATTRIBUTE_BYTES_MAX;
        fields.require(fits, "the length of the attributes")?;
        fields.zeros(48)?;
        let attributes = Attributes::decode(fields.slice(attribute_bytes as usize)?)?;
        Ok(Self { attributes, attribute_bytes: u64::from(attribute_bytes) })
    }

    /// Where the data begins in the payload.
    #[must_use]
    pub const fn data_offset(&self) -> u64 {
        PROLOGUE_BYTES + self.attribute_bytes
    }
}

/// Where the parts of a payload lie. All in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadLayout {
    /// Where the data begins.
    pub data_offset: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes of the whole payload: a multiple of 4096.
    pub payload_bytes: u64,
}

impl PayloadLayout {
    /// The layout for so many bytes of attributes and of data.
    ///
    /// # Errors
    /// Where the attributes exceed 65,472 bytes or the payload would exceed 2^40.
    pub fn new(attribute_bytes: u64, data_bytes: u64) -> Result<Self, PayloadError> {
        if attribute_bytes > ATTRIBUTE_BYTES_MAX {
            return Err(PayloadError::Attributes { attribute_bytes });
        }
        let data_offset = PROLOGUE_BYTES + attribute_bytes;
        let payload_bytes = data_bytes
            .checked_add(data_offset + TRAILER_BYTES)
            .and_then(|bytes| bytes.checked_next_multiple_of(PAYLOAD_STEP))
            .filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX)
            .ok_or(PayloadError::TooLong { data_bytes })?;
        Ok(Self { data_offset, data_bytes, payload_bytes })
    }

    /// The layout of a received payload of `payload_bytes`, once prologue and trailer are known.
    ///
    /// # Errors
    /// Where the three contradict each other.
    pub fn of_received(
        prologue: &Prologue,
        trailer: &Trailer,
        payload_bytes: u64,
    ) -> Result<Self, PayloadError> {
        let layout = Self::new(prologue.attribute_bytes, trailer.data_bytes)?;
        let agrees =
            layout.payload_bytes == payload_bytes && layout.data_offset == trailer.data_offset;
        if agrees { Ok(layout) } else { Err(PayloadError::Contradiction) }
    }

    /// Where the data lies.
    #[must_use]
    pub const fn data(&self) -> Range<u64> {
        self.data_offset..self.data_offset + self.data_bytes
    }

    /// Where zeros must lie, between data and trailer. It may be empty.
    #[must_use]
    pub const fn zeros(&self) -> Range<u64> {
        self.data_offset + self.data_bytes..self.trailer_offset()
    }

    /// Where the trailer begins; it ends the payload.
    #[must_use]
    pub const fn trailer_offset(&self) -> u64 {
        self.payload_bytes - TRAILER_BYTES
    }

    /// The cut into chunks.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a layout is only made with a length that fits")]
    pub fn geometry(&self) -> Geometry {
        Geometry::new(self.payload_bytes).expect("the length of a layout fits")
    }
}

/// The end of a payload: what the data must prove to be. It holds a digest of plaintext.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Trailer {
    /// Where the data begins in the payload.
    pub data_offset: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// BLAKE3-256 of the data.
    pub digest: [u8; 32],
}

impl Trailer {
    /// The last bytes of the payload.
    #[must_use]
    pub fn encode(&self) -> [u8; TRAILER_BYTES as usize] {
        let mut bytes = [0; TRAILER_BYTES as usize];
        let mut writer = Writer::new(&mut bytes);
        writer.put(TRAILER_MAGIC).put(&self.data_offset.to_le_bytes());
        writer.put(&self.data_bytes.to_le_bytes()).put(&self.data_bytes.to_le_bytes());
        writer.skip(16).put(&self.digest);
        bytes
    }

    /// Reads the last bytes of a payload.
    ///
    /// # Errors
    /// Where they are not a trailer of encoding 0.
    pub fn decode(bytes: &[u8; TRAILER_BYTES as usize]) -> Result<Self, PayloadError> {
        let mut fields = Fields::new("payload trailer", bytes);
        fields.magic(TRAILER_MAGIC)?;
        let (data_offset, data_bytes, encoded_bytes) =
            (fields.u64()?, fields.u64()?, fields.u64()?);
        fields.require(encoded_bytes == data_bytes, "the length as encoded")?;
        let table = fields.slice(16)?;
        fields.require(all_zero(table), "a frame table")?;
        let digest = fields.array()?;
        fields.zeros(16)?;
        Ok(Self { data_offset, data_bytes, digest })
    }
}
