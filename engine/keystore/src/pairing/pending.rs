//! A pending segment: key that was delivered and is not known to be the same at both ends. Its key
//! lies in a file of its own, and a list beside it says what it is; FORMAT section 14.

use super::gathering::{DELIVERED_KEYS_MAX, DELIVERED_SEGMENT_BYTES_MAX};
use crate::delivery::{KEY_ID_BYTES, KeyId};
use crate::error::KeyError;
use crate::medium::Medium;
use crate::pool::{get_file, put_file};
use crate::record::u64_at;
use crate::segment::{SOURCE_BYTES_MAX, source_name};
use crc_fast::{CrcAlgorithm, checksum};
use std::path::{Path, PathBuf};
use warifu_core::{Direction, KeyClass, PoolId, SegmentId};

const MAGIC: [u8; 8] = *b"WARIFUKN";
const VERSION: [u8; 2] = [1, 0];
const HEAD_BYTES: usize = 128;
const SUM_BYTES: usize = 8;
const LIST_BYTES_MAX: u64 =
    (HEAD_BYTES + SUM_BYTES) as u64 + DELIVERED_KEYS_MAX * KEY_ID_BYTES as u64;

/// What ends the name of a list.
pub(super) const LIST_SUFFIX: &str = ".names";

/// What ends the name of the file of its key.
pub(crate) const KEY_SUFFIX: &str = ".pending";

/// What is known of a pending segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its direction, told once and never changed.
    pub direction: Direction,
    /// What is claimed of its key.
    pub class: KeyClass,
    /// Bytes of each key.
    pub key_bytes: u64,
    /// The deliverer.
    pub source: String,
    /// The names of its keys, in their order.
    pub names: Vec<KeyId>,
}

impl PendingSegment {
    /// Bytes of key.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.key_bytes * self.names.len() as u64
    }

    /// Writes the list, durably. The key must have been synced: with its list it counts.
    pub(super) fn write(
        &self,
        medium: &dyn Medium,
        folder: &Path,
        pool: PoolId,
    ) -> Result<(), KeyError> {
        let name = list_name(self.segment);
        put_file(medium, folder, &name, &self.encode(pool))
            .map_err(KeyError::io("write", folder.join(name)))
    }

    /// Reads a list.
    pub(super) fn read(
        medium: &dyn Medium,
        folder: &Path,
        pool: PoolId,
        segment: SegmentId,
    ) -> Result<Self, KeyError> {
        let path = folder.join(list_name(segment));
        let bytes = get_file(medium, &path, LIST_BYTES_MAX);
        let bytes = bytes.map_err(KeyError::io("read", &path))?;
        let known = Self::decode(&bytes, pool).filter(|one| one.segment == segment);
        known.ok_or(KeyError::NamesDamaged { path })
    }

    fn encode(&self, pool: PoolId) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION);
        bytes[10] = self.direction.to_byte();
        bytes[11] = self.class.to_byte();
        bytes[16..32].copy_from_slice(self.segment.bytes());
        bytes[32..48].copy_from_slice(pool.bytes());
        bytes[48..56].copy_from_slice(&self.key_bytes.to_le_bytes());
        bytes[56..64].copy_from_slice(&(self.names.len() as u64).to_le_bytes());
        let source = source_name(&self.source);
        bytes[64] = u8::try_from(source.len()).unwrap_or(0);
        bytes[65..65 + source.len()].copy_from_slice(source.as_bytes());
        self.names.iter().for_each(|name| bytes.extend_from_slice(name.bytes()));
        let sum = checksum(CrcAlgorithm::Crc64Nvme, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], pool: PoolId) -> Option<Self> {
        let body_end = bytes.len().checked_sub(SUM_BYTES).filter(|end| *end >= HEAD_BYTES)?;
        if checksum(CrcAlgorithm::Crc64Nvme, &bytes[..body_end]) != u64_at(bytes, body_end) {
            return None;
        }
        let head = &bytes[..HEAD_BYTES];
        let source_end = 65 + usize::from(head[64]);
        let is_ours = head[..8] == MAGIC
            && head[8..10] == VERSION
            && head[12..16] == [0; 4]
            && head[32..48] == *pool.bytes()
            && source_end <= 65 + SOURCE_BYTES_MAX
            && head[source_end..].iter().all(|byte| *byte == 0);
        let (names, rest) = bytes[HEAD_BYTES..body_end].as_chunks::<KEY_ID_BYTES>();
        let (key_bytes, count) = (u64_at(head, 48), u64_at(head, 56));
        let fits = (1..=DELIVERED_KEYS_MAX).contains(&count)
            && key_bytes
                .checked_mul(count)
                .is_some_and(|bytes| (1..=DELIVERED_SEGMENT_BYTES_MAX).contains(&bytes));
        if !is_ours || !fits || !rest.is_empty() || names.len() as u64 != count {
            return None;
        }
        let source = str::from_utf8(&head[65..source_end]).ok()?;
        if source.chars().any(char::is_control) {
            return None;
        }
        let segment = SegmentId::from_bytes(*head[16..].first_chunk()?);
        Some(Self {
            segment,
            direction: Direction::from_byte(head[10])?,
            class: KeyClass::from_byte(head[11])?,
            key_bytes,
            source: source.to_owned(),
            names: names.iter().map(|name| KeyId::from_bytes(*name)).collect(),
        })
    }
}

pub(super) fn list_name(segment: SegmentId) -> String {
    format!("{segment}{LIST_SUFFIX}")
}

pub(super) fn key_path(folder: &Path, segment: SegmentId) -> PathBuf {
    folder.join(format!("{segment}{KEY_SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POOL: PoolId = PoolId::from_bytes([7; 16]);

    proptest! {
        #[test]
        fn a_list_reads_as_it_was_written_and_any_flip_is_found(
            names in prop::collection::vec(any::<[u8; 16]>(), 1..40),
            key_bytes in 1u64..1 << 20,
            source in "[a-zé: ]{0,31}",
            flip: prop::sample::Index,
        ) {
            let list = PendingSegment {
                segment: SegmentId::from_bytes([1; 16]),
                direction: Direction::BToA,
                class: KeyClass::Computational,
                key_bytes,
                source,
                names: names.into_iter().map(KeyId::from_bytes).collect(),
            };
            let mut bytes = list.encode(POOL);
            prop_assert_eq!(PendingSegment::decode(&bytes, POOL), Some(list));
            prop_assert_eq!(PendingSegment::decode(&bytes, PoolId::from_bytes([8; 16])), None);
            let at = flip.index(bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(PendingSegment::decode(&bytes, POOL), None);
        }

        #[test]
        fn a_right_checksum_excuses_nothing(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(PendingSegment::decode(&bytes, POOL).is_none());
            let sum = checksum(CrcAlgorithm::Crc64Nvme, &bytes);
            bytes.extend_from_slice(&sum.to_le_bytes());
            prop_assert!(PendingSegment::decode(&bytes, POOL).is_none());
        }
    }
}
