//! The public header of a frame.

use crate::error::FrameError;
use crate::fields::{Fields, Layout};
use crate::hello::SessionId;
use crate::message::MESSAGE_HEADER_BYTES;
use warifu_core::direction::Direction;
use warifu_core::{KeyRange, LinkId};

/// Bytes of a frame before its ciphertext.
pub const FRAME_HEADER_BYTES: usize = 64;
/// Bytes of a frame after its ciphertext.
pub const TAG_BYTES: usize = 16;
/// Bytes of key that a frame takes besides payload and kept bytes: `r`, then `m`.
pub const FRAME_KEY_BYTES: usize = 32;
/// Longest payload in bytes: a chunk, and room for headers and lists.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 20) + 65_536;
/// Most bytes of key that a frame may have both ends keep.
pub const KEPT_BYTES_MAX: usize = (1 << 20) + 64;

/// The flag of a frame whose payload is not masked.
const OPEN: u16 = 1;

const MAGIC: [u8; 4] = *b"WFRM";
const VERSION: u8 = 1;

/// What stands in front of a ciphertext, readable by everybody and covered by the tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Whose key is used.
    pub link: LinkId,
    /// Which connection the frame belongs to.
    pub session: SessionId,
    /// Which end sealed it.
    pub direction: Direction,
    /// Number of the frame in its session and direction, from 0.
    pub sequence: u64,
    /// First position of key used.
    pub key_start: u64,
    /// Bytes of payload, message header included: 64 to [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes: u32,
    /// Bytes of key that both ends keep, at most [`KEPT_BYTES_MAX`].
    pub kept_bytes: u32,
    /// Whether the payload stands in the clear: it is under the tag all the same, and takes no key.
    pub is_open: bool,
}

impl FrameHeader {
    /// The 64 bytes as sent.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        Layout::new()
            .put(&MAGIC)
            .put(&[VERSION, self.direction.to_byte()])
            .put_u16(if self.is_open { OPEN } else { 0 })
            .put(self.link.bytes())
            .put(self.session.bytes())
            .put_u64(self.sequence)
            .put_u64(self.key_start)
            .put_u32(self.payload_bytes)
            .put_u32(self.kept_bytes)
            .finish()
    }

    /// Reads 64 bytes from outside. Whether the frame belongs here is
    /// [`Session::expect`](crate::Session::expect)'s question.
    ///
    /// # Errors
    /// Where magic, version, a zero field, the direction or a length is not as the format says,
    /// or the range would pass the last position.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, FrameError> {
        let mut fields = Fields::of(bytes);
        if fields.array()? != MAGIC {
            return Err(FrameError::BadMagic);
        }
        match fields.u8()? {
            VERSION => {}
            version => return Err(FrameError::BadVersion { version }),
        }
        let direction = Direction::from_byte(fields.u8()?);
        let direction = direction.ok_or(FrameError::Malformed { field: "direction" })?;
        let is_open = match fields.u16()? {
            0 => false,
            OPEN => true,
            _ => return Err(FrameError::Malformed { field: "flags" }),
        };
        let header = Self {
            link: LinkId::from_bytes(fields.array()?),
            session: SessionId::from_bytes(fields.array()?),
            direction,
            sequence: fields.u64()?,
            key_start: fields.u64()?,
            payload_bytes: fields.u32()?,
            kept_bytes: fields.u32()?,
            is_open,
        };
        header.check_lengths()?;
        Ok(header)
    }

    /// The positions that the frame uses: `r`, `m`, payload (unless it is open), kept. Where they would pass the last
    /// position, which no decoded header does, the range is cut there.
    #[must_use]
    pub const fn key_range(&self) -> KeyRange {
        KeyRange::between(self.key_start, self.key_start.saturating_add(self.key_bytes()))
    }

    /// Length of the whole frame in bytes: header, ciphertext, tag.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload_bytes as usize + TAG_BYTES
    }

    /// Refuses lengths beyond the limits and ranges beyond the last position.
    pub(crate) fn check_lengths(&self) -> Result<(), FrameError> {
        let payload = MESSAGE_HEADER_BYTES..=PAYLOAD_BYTES_MAX;
        if !payload.contains(&(self.payload_bytes as usize)) {
            return Err(FrameError::Malformed { field: "payload bytes" });
        }
        if self.kept_bytes as usize > KEPT_BYTES_MAX || self.is_open && self.kept_bytes > 0 {
            return Err(FrameError::Malformed { field: "kept bytes" });
        }
        match KeyRange::new(self.key_start, self.key_bytes()) {
            Some(_) => Ok(()),
            None => Err(FrameError::Malformed { field: "key start" }),
        }
    }

    const fn key_bytes(&self) -> u64 {
        FRAME_KEY_BYTES as u64 + self.masked_bytes() as u64 + self.kept_bytes as u64
    }

    /// Bytes of payload that are masked: all of it, or none.
    pub(crate) const fn masked_bytes(&self) -> usize {
        if self.is_open { 0 } else { self.payload_bytes as usize }
    }
}
