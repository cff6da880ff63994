//! Name, time and mode of a stored file: they travel inside the payload and stand nowhere else.

use super::{FILE_NAME_BYTES_MAX, PayloadError};
use crate::format::{Fields, Writer};
use std::collections::BTreeSet;
use warifu_buffers::Block;
use zeroize::{Zeroize, ZeroizeOnDrop};

const TAG_NAME: u16 = 1;
const TAG_MODIFIED: u16 = 2;
const TAG_MODE: u16 = 3;
const RECORD_HEADER_BYTES: usize = 6;

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

    pub(super) fn encoded_bytes(&self) -> Result<usize, PayloadError> {
        self.name.as_deref().map_or(Ok(()), require_file_name)?;
        let name = self.name.as_ref().map(|name| name.len());
        let values = [name, self.modified_ns.map(|_| 8), self.mode.map(|_| 4)];
        Ok(values.iter().flatten().map(|value| RECORD_HEADER_BYTES + value).sum())
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
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
