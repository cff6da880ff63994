//! The end of a payload: where everything lies, and what the data must prove to be.

use super::frames::FRAME_BYTES;
use super::{Encoding, PayloadError, PayloadLayout, TRAILER_BYTES};
use crate::format::{Fields, Writer};
use zeroize::{Zeroize, ZeroizeOnDrop};

const TRAILER_MAGIC: &[u8; 8] = b"WARIFUPT";

/// The end of a payload. It holds a digest of plaintext.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Trailer {
    /// Where everything lies.
    #[zeroize(skip)]
    pub layout: PayloadLayout,
    /// BLAKE3-256 of the data as given.
    pub digest: [u8; 32],
}

impl Trailer {
    /// The last bytes of the payload.
    #[must_use]
    pub fn encode(&self) -> [u8; TRAILER_BYTES as usize] {
        let layout = &self.layout;
        let (frame_bytes, table) = frames(layout);
        let mut bytes = [0; TRAILER_BYTES as usize];
        let mut writer = Writer::new(&mut bytes);
        writer.put(TRAILER_MAGIC).put(&[layout.encoding.byte()]).skip(3);
        writer.put(&frame_bytes.to_le_bytes());
        for field in [layout.data_offset, layout.data_bytes, layout.encoded_bytes] {
            writer.put(&field.to_le_bytes());
        }
        writer.put(&table.0.to_le_bytes()).put(&table.1.to_le_bytes()).put(&self.digest);
        bytes
    }

    /// Reads the last bytes of a payload of `payload_bytes`.
    ///
    /// # Errors
    /// Where they are no trailer, or what they say has no room in this payload.
    pub fn decode(
        bytes: &[u8; TRAILER_BYTES as usize],
        payload_bytes: u64,
    ) -> Result<Self, PayloadError> {
        let mut fields = Fields::new("payload trailer", bytes);
        fields.magic(TRAILER_MAGIC)?;
        let encoding = match fields.u8()? {
            0 => Some(Encoding::AsGiven),
            1 => Some(Encoding::ZstdFrames),
            _ => None,
        };
        let encoding = fields.some(encoding, "the encoding")?;
        fields.zeros(3)?;
        let found_frame_bytes = fields.u32()?;
        let layout = PayloadLayout {
            encoding,
            data_offset: fields.u64()?,
            data_bytes: fields.u64()?,
            encoded_bytes: fields.u64()?,
            payload_bytes,
        };
        if !layout.is_sound() {
            return Err(PayloadError::Contradiction);
        }
        let (frame_bytes, table) = frames(&layout);
        fields.require(found_frame_bytes == frame_bytes, "the length of frames")?;
        let found_table = (fields.u64()?, fields.u64()?);
        fields.require(found_table == table, "the place of the frame table")?;
        let digest = fields.array()?;
        fields.zeros(8)?;
        Ok(Self { layout, digest })
    }
}

/// What a trailer says of frames: their length, and where their table lies and how long it is. All
/// are 0 where there is none.
fn frames(layout: &PayloadLayout) -> (u32, (u64, u64)) {
    match layout.encoding {
        Encoding::AsGiven => (0, (0, 0)),
        Encoding::ZstdFrames => (FRAME_BYTES as u32, (layout.table().start, layout.table_bytes())),
    }
}
