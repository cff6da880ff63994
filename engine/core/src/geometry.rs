//! How a payload is cut into chunks.

/// Payload bytes of every chunk but the last, 1 MiB.
pub const CHUNK_BYTES: u32 = 1 << 20;

/// Every payload length is a multiple of this, so that slots stay page-aligned.
pub const PAYLOAD_STEP: u64 = 4096;

/// Objects of at least this many chunks carry one audit mask per share.
pub const MASKED_CHUNKS_MIN: u64 = 64;

/// The largest payload that the formats admit: 2^40 bytes.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 40;

/// The cut of one object: payload length and chunk length, from which the rest follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    payload_bytes: u64,
}

/// Why a payload length is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payload of {payload_bytes} bytes is refused: it must be a positive multiple of 4096, at \
     most 2^40"
)]
pub struct GeometryError {
    /// The length given.
    pub payload_bytes: u64,
}

impl Geometry {
    /// The geometry of a payload of `payload_bytes` bytes.
    ///
    /// # Errors
    /// Where the length is 0, no multiple of 4096, or above 2^40.
    pub fn new(payload_bytes: u64) -> Result<Self, GeometryError> {
        let fits = (1..=PAYLOAD_BYTES_MAX).contains(&payload_bytes);
        match fits && payload_bytes.is_multiple_of(PAYLOAD_STEP) {
            true => Ok(Self { payload_bytes }),
            false => Err(GeometryError { payload_bytes }),
        }
    }

    /// Payload bytes of the whole object, padding included.
    #[must_use]
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Number of data chunks, at least 1.
    #[must_use]
    pub const fn chunk_count(&self) -> u64 {
        self.payload_bytes.div_ceil(CHUNK_BYTES as u64)
    }

    /// Payload bytes of chunk `index`.
    ///
    /// # Panics
    /// Where there is no such chunk.
    #[must_use]
    pub fn chunk_bytes(&self, index: u64) -> usize {
        assert!(index < self.chunk_count(), "chunk {index} of {}", self.chunk_count());
        let rest = self.payload_bytes - index * u64::from(CHUNK_BYTES);
        rest.min(u64::from(CHUNK_BYTES)) as usize
    }

    /// Audit masks that each share of this object carries.
    #[must_use]
    pub const fn mask_count(&self) -> u32 {
        if self.chunk_count() >= MASKED_CHUNKS_MIN { 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_payload() {
        for payload in [4096, 1 << 20, (1 << 20) + 4096, 64 << 20, (64 << 20) - 4096] {
            let geometry = Geometry::new(payload).unwrap();
            let total: u64 =
                (0..geometry.chunk_count()).map(|c| geometry.chunk_bytes(c) as u64).sum();
            assert_eq!(total, payload);
        }
        assert_eq!(Geometry::new(64 << 20).unwrap().mask_count(), 1);
        assert_eq!(Geometry::new(63 << 20).unwrap().mask_count(), 0);
        for bad in [0, 1, 4095, PAYLOAD_BYTES_MAX + 4096] {
            assert!(Geometry::new(bad).is_err());
        }
    }
}
