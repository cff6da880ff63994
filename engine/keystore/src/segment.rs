//! A segment file: a header of 4096 bytes, then the key (FORMAT section 7).

use crate::error::SegmentRefusal;
use crate::medium::MediumFile;
use crate::record::u64_at;
use crc_fast::{CrcAlgorithm, checksum};
use std::sync::Arc;
use warifu_core::{Direction, KeyClass, KeyRange, PoolId, SegmentId};

/// Bytes before the key.
pub(crate) const HEADER_BYTES: usize = 4096;

/// The most bytes that a source's name has.
pub(crate) const SOURCE_BYTES_MAX: usize = 63;

const MAGIC: [u8; 8] = *b"WARIFUKS";
const VERSION: [u8; 2] = [1, 0];
const CHECKED: usize = 4088;

/// How a segment came to both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Made at end A, and carried to end B where it is a link's.
    Made = 0,
    /// Delivered to both ends, and compared.
    Delivered = 1,
}

/// What a segment says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) direction: Direction,
    pub(crate) class: KeyClass,
    pub(crate) origin: Origin,
    pub(crate) segment: SegmentId,
    pub(crate) pool: PoolId,
    /// The positions that it fills.
    pub(crate) range: KeyRange,
    pub(crate) source: String,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION);
        bytes[10] = self.direction.to_byte();
        bytes[11] = self.class.to_byte();
        bytes[12] = self.origin as u8;
        bytes[16..32].copy_from_slice(self.segment.bytes());
        bytes[32..48].copy_from_slice(self.pool.bytes());
        bytes[48..56].copy_from_slice(&self.range.start().to_le_bytes());
        bytes[56..64].copy_from_slice(&self.range.len().to_le_bytes());
        let name = source_name(&self.source);
        bytes[64] = u8::try_from(name.len()).unwrap_or(0);
        bytes[65..65 + name.len()].copy_from_slice(name.as_bytes());
        let sum = checksum(CrcAlgorithm::Crc64Nvme, &bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, SegmentRefusal> {
        let refused = SegmentRefusal::BadHeader;
        if bytes[..8] != MAGIC || bytes[8..10] != VERSION {
            return Err(refused);
        }
        if checksum(CrcAlgorithm::Crc64Nvme, &bytes[..CHECKED]) != u64_at(bytes, CHECKED) {
            return Err(SegmentRefusal::Checksum);
        }
        let name_end = 65 + usize::from(bytes[64]);
        if name_end > 65 + SOURCE_BYTES_MAX {
            return Err(refused);
        }
        let zero = bytes[13..16].iter().chain(&bytes[name_end..CHECKED]).all(|&byte| byte == 0);
        let source = str::from_utf8(&bytes[65..name_end]).map_err(|_| refused)?;
        let range = KeyRange::new(u64_at(bytes, 48), u64_at(bytes, 56)).ok_or(refused)?;
        if !zero || range.is_empty() || source.chars().any(char::is_control) {
            return Err(refused);
        }
        Ok(Self {
            direction: Direction::from_byte(bytes[10]).ok_or(refused)?,
            class: KeyClass::from_byte(bytes[11]).ok_or(refused)?,
            origin: match bytes[12] {
                0 => Origin::Made,
                1 => Origin::Delivered,
                _ => return Err(refused),
            },
            segment: SegmentId::from_bytes(bytes_at(bytes, 16)),
            pool: PoolId::from_bytes(bytes_at(bytes, 32)),
            range,
            source: source.to_owned(),
        })
    }
}

/// The part of a name that fits, without control characters.
pub(crate) fn source_name(name: &str) -> String {
    let mut fitting = String::new();
    for character in name.chars().filter(|character| !character.is_control()) {
        if fitting.len() + character.len_utf8() > SOURCE_BYTES_MAX {
            break;
        }
        fitting.push(character);
    }
    fitting
}

fn bytes_at(bytes: &[u8], at: usize) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    id
}

/// What a segment is said to come from whose key this end has lost.
pub(crate) const LOST_SOURCE: &str = "lost";

/// A segment whose file is open.
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn MediumFile>,
}

impl Segment {
    /// Reads the header of `file` and checks that the file is as long as it says.
    pub(crate) fn of(file: Arc<dyn MediumFile>) -> std::io::Result<Result<Self, SegmentRefusal>> {
        let length = file.length()?;
        if length < HEADER_BYTES as u64 {
            return Ok(Err(SegmentRefusal::Length));
        }
        let mut bytes = [0; HEADER_BYTES];
        file.read_at(0, &mut bytes)?;
        Ok(Header::decode(&bytes).and_then(|header| {
            if length - HEADER_BYTES as u64 == header.range.len() {
                Ok(Self { header, file })
            } else {
                Err(SegmentRefusal::Length)
            }
        }))
    }

    /// Whether it is positions of which this end has lost the key: it never held any.
    pub(crate) fn is_lost(&self) -> bool {
        self.header.origin == Origin::Delivered && self.header.source == LOST_SOURCE
    }

    /// Where in the file the key of position `start` stands. `start` lies in the segment.
    pub(crate) const fn offset(&self, start: u64) -> u64 {
        HEADER_BYTES as u64 + (start - self.header.range.start())
    }
}

/// The file name of a segment.
pub(crate) fn file_name(segment: SegmentId) -> String {
    format!("{segment}.segment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(base: u64, bytes: u64, source: &str) -> Header {
        Header {
            direction: Direction::BToA,
            class: KeyClass::Computational,
            origin: Origin::Made,
            segment: SegmentId::from_bytes([1; 16]),
            pool: PoolId::from_bytes([2; 16]),
            range: KeyRange::new(base, bytes).unwrap(),
            source: source.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn round_trips_and_any_flip_is_found(
            base in 0u64..1 << 60, bytes in 1u64..1 << 60, source in "[a-zé ]{0,31}",
            flip in 0usize..HEADER_BYTES * 8,
        ) {
            let header = header(base, bytes, &source);
            let mut encoded = header.encode();
            prop_assert_eq!(Header::decode(&encoded), Ok(header));
            encoded[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(Header::decode(&encoded).is_err());
        }

        #[test]
        fn a_valid_checksum_excuses_nothing(noise: Vec<u8>, at in 0usize..200) {
            let mut encoded = header(0, 1, "x").encode();
            for (target, byte) in encoded[at..CHECKED].iter_mut().zip(&noise) {
                *target = *byte;
            }
            let sum = checksum(CrcAlgorithm::Crc64Nvme, &encoded[..CHECKED]);
            encoded[CHECKED..].copy_from_slice(&sum.to_le_bytes());
            if let Ok(header) = Header::decode(&encoded) {
                prop_assert_eq!(header.encode(), encoded);
            }
        }
    }

    #[test]
    fn a_base_that_overflows_is_refused_and_a_long_name_is_cut() {
        let mut encoded = header(1 << 60, 1, "x").encode();
        encoded[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
        let sum = checksum(CrcAlgorithm::Crc64Nvme, &encoded[..CHECKED]);
        encoded[CHECKED..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&encoded), Err(SegmentRefusal::BadHeader));
        let long = header(0, 1, &"é".repeat(40)).encode();
        assert_eq!(Header::decode(&long).unwrap().source, "é".repeat(31));
    }
}
