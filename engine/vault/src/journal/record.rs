//! What is written while a backup runs: records of one length, each with its checksum.

use warifu_core::checksum::crc64;
use warifu_core::geometry::PAYLOAD_BYTES_MAX;
use warifu_core::{Geometry, KeyClass, ObjectId};
use warifu_link::ShareClass;
use warifu_pipeline::backup::weave::Slot;

/// Bytes of a record before what it says of each share, and of its checksum.
const FIXED_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;

/// Bytes that a record has for each share.
const SHARE_BYTES: usize = 16;

/// What sites are asked to complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sealed {
    /// The payload as it turned out.
    pub(crate) geometry: Geometry,
    /// Bytes of the capsule's head part.
    pub(crate) head_bytes: u32,
    /// What is claimed of all key that went into it.
    pub(crate) class: KeyClass,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Record {
    /// A process took the backup in hand; a barrier. Attempts from `generation << 16` are its own.
    Opened { generation: u16, class: KeyClass },
    /// Data chunks below `end` may be sent; a barrier.
    Admitted { end: u64 },
    /// All sites acknowledged a slot: its at-rest hash at each, by x.
    Done { slot: Slot, attempt: u32, class: KeyClass, hashes: Vec<[u8; 16]> },
    /// Spent so far: key and bytes sent, for each share by x.
    Spent { random_bytes: u64, shares: Vec<(u64, u64)> },
    /// All is stored and the sites are about to be asked to complete their shares; a barrier.
    Sealed(Sealed),
}

impl Record {
    /// Length of every record of an object with `shares` shares.
    pub(crate) fn bytes(shares: usize) -> usize {
        FIXED_BYTES + SHARE_BYTES * shares + CHECKSUM_BYTES
    }

    /// Whether it is durable, and all before it, before what it allows is done.
    pub(crate) fn is_barrier(&self) -> bool {
        match self {
            Self::Opened { .. } | Self::Admitted { .. } | Self::Sealed(_) => true,
            Self::Done { .. } | Self::Spent { .. } => false,
        }
    }

    /// The record as it is written, the `sequence`th of the journal of `object`.
    pub(crate) fn encode(&self, object: &ObjectId, sequence: u64, shares: usize) -> Vec<u8> {
        let zero = KeyClass::InformationTheoretic;
        let (kind, slot_class, class, number, index) = match self {
            Self::Opened { generation, class } => (1, 0, *class, u32::from(*generation), 0),
            Self::Admitted { end } => (2, 0, zero, 0, *end),
            Self::Done { slot, attempt, class, .. } => {
                (3, slot.class.number(), *class, *attempt, slot.index)
            }
            Self::Spent { random_bytes, .. } => (4, 0, zero, 0, *random_bytes),
            Self::Sealed(Sealed { geometry, head_bytes, class }) => {
                (5, 0, *class, *head_bytes, geometry.payload_bytes())
            }
        };
        let mut bytes = Vec::with_capacity(Self::bytes(shares));
        bytes.extend_from_slice(&[kind, slot_class, class.to_byte(), 0]);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&sequence.to_le_bytes());
        match self {
            Self::Done { hashes, .. } => hashes.iter().for_each(|hash| bytes.extend(hash)),
            Self::Spent { shares, .. } => shares.iter().for_each(|(key_bytes, sent_bytes)| {
                bytes.extend(key_bytes.to_le_bytes());
                bytes.extend(sent_bytes.to_le_bytes());
            }),
            Self::Opened { .. } | Self::Admitted { .. } | Self::Sealed(_) => {}
        }
        bytes.resize(Self::bytes(shares) - CHECKSUM_BYTES, 0);
        let checksum = crc64(&[object.bytes(), &bytes]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a record; `None` where it is not what `encode` gives for any.
    pub(crate) fn decode(bytes: &[u8], object: &ObjectId, sequence: u64) -> Option<Self> {
        let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if u64::from_le_bytes(*checksum) != crc64(&[object.bytes(), content]) {
            return None;
        }
        let (fixed, of_shares) = content.split_first_chunk::<FIXED_BYTES>()?;
        let [kind, slot_class, class, zero, ..] = *fixed;
        let number = u32::from_le_bytes(*fixed[4..].first_chunk()?);
        let index = u64::from_le_bytes(*fixed[8..].first_chunk()?);
        let class = KeyClass::from_byte(class)?;
        if u64::from_le_bytes(*fixed[16..].first_chunk()?) != sequence || zero != 0 {
            return None;
        }
        let record = match kind {
            1 => Self::Opened { generation: u16::try_from(number).ok()?, class },
            2 => Self::Admitted { end: index },
            3 => {
                let slot = Slot { class: ShareClass::from_number(slot_class)?, index };
                let hashes = of_shares.as_chunks().0.to_vec();
                Self::Done { slot, attempt: number, class, hashes }
            }
            4 => {
                let shares = of_shares.as_chunks::<SHARE_BYTES>().0.iter().map(two_numbers);
                Self::Spent { random_bytes: index, shares: shares.collect() }
            }
            5 => {
                let geometry = Geometry::new(index.min(PAYLOAD_BYTES_MAX + 1)).ok()?;
                Self::Sealed(Sealed { geometry, head_bytes: number, class })
            }
            _ => return None,
        };
        let shares = of_shares.len() / SHARE_BYTES;
        (record.encode(object, sequence, shares) == bytes).then_some(record)
    }
}

fn two_numbers(bytes: &[u8; SHARE_BYTES]) -> (u64, u64) {
    let number = u128::from_le_bytes(*bytes);
    (number as u64, (number >> 64) as u64)
}
