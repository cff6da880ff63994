//! The beginning of a payload: magic, version, and the attributes.

use super::{ATTRIBUTE_BYTES_MAX, Attributes, PROLOGUE_BYTES, PayloadError};
use crate::format::{Fields, Writer};
use warifu_buffers::Block;

const PROLOGUE_MAGIC: &[u8; 8] = b"WARIFUPL";

/// The first bytes of a payload with these attributes: prologue and attributes. The data follows.
///
/// # Errors
/// Where the name is one that [`Attributes::decode`] refuses.
pub fn prologue(attributes: &Attributes) -> Result<Block, PayloadError> {
    let mut block = Block::zeroed(PROLOGUE_BYTES as usize + attributes.encoded_bytes()?);
    write_prologue(attributes, &mut block)?;
    Ok(block)
}

/// Writes the same at the start of `target`, which holds zeros; how many bytes it takes.
///
/// # Errors
/// As [`prologue`].
///
/// # Panics
/// Where `target` is shorter. Any prologue fits into 64 KiB.
pub fn write_prologue(attributes: &Attributes, target: &mut [u8]) -> Result<usize, PayloadError> {
    let attribute_bytes = attributes.encoded_bytes()?;
    let mut writer = Writer::new(target);
    writer.put(PROLOGUE_MAGIC).put(&1_u16.to_le_bytes()).skip(2);
    writer.put(&(attribute_bytes as u32).to_le_bytes()).skip(48);
    attributes.write(&mut writer);
    Ok(writer.at())
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
        fields.zeros(2)?;
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
