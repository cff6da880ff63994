//! One record of a ledger: 64 bytes, FORMAT section 8.

use crc_fast::{CrcAlgorithm, checksum};
use warifu_core::id::Incarnation;
use warifu_core::{Direction, KeyRange};

/// Bytes of every record.
pub(crate) const RECORD_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"WLDG";

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Created,
    SegmentAdded,
    Granted,
    Accepted,
    Released,
    Burned,
    PeerSeen,
    Opened,
    Confirmed,
    Zeroised,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Created,
        Self::SegmentAdded,
        Self::Granted,
        Self::Accepted,
        Self::Released,
        Self::Burned,
        Self::PeerSeen,
        Self::Opened,
        Self::Confirmed,
        Self::Zeroised,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// A record, parsed. `start` and `end` are a range of positions, except where the kind says else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) direction: Direction,
    pub(crate) sequence: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The writer's; kind 1: the segment; kind 5: the lease's; kind 6: the peer's.
    pub(crate) incarnation: Incarnation,
    pub(crate) epoch: u64,
}

impl Record {
    /// The positions it speaks of.
    pub(crate) const fn range(&self) -> KeyRange {
        KeyRange::between(self.start, self.end)
    }

    pub(crate) fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = self.direction.to_byte();
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.start.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.end.to_le_bytes());
        bytes[32..48].copy_from_slice(self.incarnation.bytes());
        bytes[48..56].copy_from_slice(&self.epoch.to_le_bytes());
        let sum = checksum(CrcAlgorithm::Crc64Nvme, &bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<Self, &'static str> {
        if checksum(CrcAlgorithm::Crc64Nvme, &bytes[..56]) != u64_at(bytes, 56) {
            return Err("wrong checksum");
        }
        if bytes[..4] != MAGIC || bytes[6..8] != [0; 2] {
            return Err("no record");
        }
        let mut incarnation = [0; 16];
        incarnation.copy_from_slice(&bytes[32..48]);
        Ok(Self {
            kind: Kind::from_byte(bytes[4]).ok_or("unknown kind")?,
            direction: Direction::from_byte(bytes[5]).ok_or("unknown direction")?,
            sequence: u64_at(bytes, 8),
            start: u64_at(bytes, 16),
            end: u64_at(bytes, 24),
            incarnation: Incarnation::from_bytes(incarnation),
            epoch: u64_at(bytes, 48),
        })
    }
}

/// The little-endian number at `at`.
///
/// # Panics
/// Where fewer than 8 bytes are there: a slip of the caller, not of the data.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips_and_any_flip_is_found(
            kind in 0u8..10, direction in 0u8..2, start: u64, end: u64, sequence: u64,
            incarnation: [u8; 16], epoch: u64, flip in 0usize..512,
        ) {
            let record = Record {
                kind: Kind::from_byte(kind).unwrap(),
                direction: Direction::from_byte(direction).unwrap(),
                sequence, start, end, epoch,
                incarnation: Incarnation::from_bytes(incarnation),
            };
            let mut bytes = record.encode();
            prop_assert_eq!(Record::decode(&bytes), Ok(record));
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(Record::decode(&bytes).is_err());
        }
    }

    #[test]
    fn reads_as_the_format_says() {
        let record = Record {
            kind: Kind::Accepted,
            direction: Direction::BToA,
            sequence: 7,
            start: 0x0102,
            end: 0x0304,
            incarnation: Incarnation::from_bytes([9; 16]),
            epoch: 5,
        };
        let bytes = record.encode();
        assert_eq!(&bytes[..8], b"WLDG\x03\x01\0\0");
        assert_eq!(&bytes[8..26], &[7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 4, 3]);
        assert_eq!(checksum(CrcAlgorithm::Crc64Nvme, b"123456789"), 0xAE8B_1486_0A79_9888);
    }
}
