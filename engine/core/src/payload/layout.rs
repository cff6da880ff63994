//! Where the parts of a payload lie, and how long it is made.

use super::frames::{FRAME_BYTES, FRAME_ENTRY_BYTES};
use super::{ATTRIBUTE_BYTES_MAX, DATA_BYTES_MAX, PROLOGUE_BYTES, PayloadError, TRAILER_BYTES};
use crate::geometry::{Geometry, PAYLOAD_BYTES_MAX, PAYLOAD_STEP};
use std::ops::Range;

/// The smallest step to which a padded payload is rounded up, in bytes.
const PADDED_STEP_MIN: u64 = 1 << 16;

/// How the data stands in a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// As it was given.
    AsGiven,
    /// Cut into frames of [`FRAME_BYTES`], each compressed with zstd by itself.
    ZstdFrames,
}

impl Encoding {
    /// Its number in the trailer.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::AsGiven => 0,
            Self::ZstdFrames => 1,
        }
    }
}

/// What is done to a stream besides sharing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// How the data is to stand in the payload.
    pub encoding: Encoding,
    /// Whether the length is rounded up coarsely. What is compressed always is.
    pub pad: bool,
}

impl Shape {
    /// The data as it is, its length rounded up to a page only.
    pub const PLAIN: Self = Self { encoding: Encoding::AsGiven, pad: false };

    const fn is_padded(self) -> bool {
        self.pad || matches!(self.encoding, Encoding::ZstdFrames)
    }
}

/// `bytes` rounded up coarsely, so that what is left to see of a length is its order of magnitude
/// and the next few bits: Padmé (Nikitin et al., 2019), in steps of at least 64 KiB.
///
/// With `e` the binary logarithm of `bytes`, the step is 2^(e - s), where `s` has as many bits as
/// `e`: from 2 MiB on at most 1/32 is added, from 4 GiB on 1/64. Up to 2^40 bytes give no more
/// than 2^40.
#[must_use]
pub const fn padded_bytes(bytes: u64) -> Option<u64> {
    let step = match bytes.checked_ilog2() {
        None | Some(0) => PADDED_STEP_MIN,
        Some(exponent) => {
            let kept_bits = exponent.ilog2() + 1;
            let step = 1 << exponent.saturating_sub(kept_bits);
            if step > PADDED_STEP_MIN { step } else { PADDED_STEP_MIN }
        }
    };
    bytes.checked_next_multiple_of(step)
}

/// Where the parts of a payload lie. All in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadLayout {
    /// How the data is encoded.
    pub encoding: Encoding,
    /// Where the encoded data begins.
    pub data_offset: u64,
    /// Bytes of data as given.
    pub data_bytes: u64,
    /// Bytes of data as encoded; no more than as given.
    pub encoded_bytes: u64,
    /// Bytes of the whole payload: a multiple of 4096.
    pub payload_bytes: u64,
}

impl PayloadLayout {
    /// The layout of `data_bytes` of data that take `encoded_bytes`.
    ///
    /// # Errors
    /// Where the attributes exceed 65,472 bytes, or data or payload would exceed 2^40.
    pub fn new(
        attribute_bytes: u64,
        data_bytes: u64,
        encoded_bytes: u64,
        shape: Shape,
    ) -> Result<Self, PayloadError> {
        if attribute_bytes > ATTRIBUTE_BYTES_MAX {
            return Err(PayloadError::Attributes { attribute_bytes });
        }
        let too_long = PayloadError::TooLong { data_bytes };
        if data_bytes > DATA_BYTES_MAX || encoded_bytes > data_bytes {
            return Err(too_long);
        }
        let encoding = shape.encoding;
        let data_offset = PROLOGUE_BYTES + attribute_bytes;
        let table_bytes = table_bytes(encoding, data_bytes);
        let needed = data_offset + encoded_bytes + table_bytes + TRAILER_BYTES;
        let whole = if shape.is_padded() { padded_bytes(needed) } else { Some(needed) };
        let payload_bytes = whole
            .and_then(|bytes| bytes.checked_next_multiple_of(PAYLOAD_STEP))
            .filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX)
            .ok_or(too_long)?;
        Ok(Self { encoding, data_offset, data_bytes, encoded_bytes, payload_bytes })
    }

    /// The longest layout that so much data may get: where nothing of it can be compressed.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn longest(
        attribute_bytes: u64,
        data_bytes: u64,
        shape: Shape,
    ) -> Result<Self, PayloadError> {
        Self::new(attribute_bytes, data_bytes, data_bytes, shape)
    }

    /// Whether the parts lie within the payload and do not overlap.
    pub(super) fn is_sound(&self) -> bool {
        let attributes = PROLOGUE_BYTES..=PROLOGUE_BYTES + ATTRIBUTE_BYTES_MAX;
        let encoded = match self.encoding {
            Encoding::AsGiven => self.encoded_bytes == self.data_bytes,
            Encoding::ZstdFrames => self.encoded_bytes <= self.data_bytes,
        };
        attributes.contains(&self.data_offset)
            && self.data_bytes <= DATA_BYTES_MAX
            && encoded
            && Geometry::new(self.payload_bytes).is_ok()
            && self.payload_bytes
                >= self.data_offset + self.encoded_bytes + self.table_bytes() + TRAILER_BYTES
    }

    /// Where the encoded data lies.
    #[must_use]
    pub const fn data(&self) -> Range<u64> {
        self.data_offset..self.data_offset + self.encoded_bytes
    }

    /// Where zeros must lie, behind the data. It may be empty.
    #[must_use]
    pub const fn zeros(&self) -> Range<u64> {
        self.data_offset + self.encoded_bytes..self.table_offset()
    }

    /// Where the frame table lies. It is empty where the data is not compressed.
    #[must_use]
    pub const fn table(&self) -> Range<u64> {
        self.table_offset()..self.trailer_offset()
    }

    /// Number of frames: none where the data is not compressed.
    #[must_use]
    pub const fn frame_count(&self) -> u64 {
        frame_count(self.encoding, self.data_bytes)
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

    const fn table_offset(&self) -> u64 {
        self.trailer_offset() - self.table_bytes()
    }

    pub(super) const fn table_bytes(&self) -> u64 {
        table_bytes(self.encoding, self.data_bytes)
    }
}

const fn frame_count(encoding: Encoding, data_bytes: u64) -> u64 {
    match encoding {
        Encoding::AsGiven => 0,
        Encoding::ZstdFrames => data_bytes.div_ceil(FRAME_BYTES),
    }
}

const fn table_bytes(encoding: Encoding, data_bytes: u64) -> u64 {
    FRAME_ENTRY_BYTES * frame_count(encoding, data_bytes)
}
