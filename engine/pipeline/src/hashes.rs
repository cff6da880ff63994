//! The at-rest hashes of one share while it is made.

use crate::backup::weave::Slot;
use std::collections::BTreeMap;
use warifu_core::XCoord;
use warifu_core::capsule::Verdict;
use warifu_core::sharing::chunk_hash;
use warifu_kernels::{Isa, PolyHash};
use warifu_link::ShareClass;
use zeroize::Zeroizing;

/// The secret `r` of one share, and the hash of every chunk and mask under it so far.
pub struct ShareHashes {
    x: XCoord,
    r: Zeroizing<[u8; 16]>,
    key: PolyHash,
    by_slot: BTreeMap<Slot, [u8; 16]>,
}

impl ShareHashes {
    /// No hash yet, under the fresh uniform `r`.
    #[must_use]
    pub fn new(isa: Isa, x: XCoord, r: [u8; 16]) -> Self {
        let key = PolyHash::new(isa, &r);
        Self { x, r: Zeroizing::new(r), key, by_slot: BTreeMap::new() }
    }

    /// Hashes a slot; a later attempt replaces the earlier one.
    pub fn record(&mut self, slot: Slot, content: &[u8], blind: &[u8; 16]) {
        self.by_slot.insert(slot, chunk_hash(&self.key, content, blind));
    }

    /// As [`record`](Self::record), for content that is gone before its blind block is known:
    /// the hash is linear, so the blind block's term may be added later.
    #[must_use]
    pub fn begin(&self, content: &[u8]) -> [u8; 16] {
        chunk_hash(&self.key, content, &[0; 16])
    }

    /// Adds the blind block's term `b * r^2` to what [`begin`](Self::begin) gave.
    pub fn finish(&mut self, slot: Slot, begun: [u8; 16], blind: &[u8; 16]) {
        let term = self.key.poly(&[&[0; 16], blind]);
        self.by_slot.insert(slot, std::array::from_fn(|at| begun[at] ^ term[at]));
    }

    /// Takes over the hash of a slot from an earlier process, made under the same `r`.
    pub fn restore(&mut self, slot: Slot, hash: [u8; 16]) {
        self.by_slot.insert(slot, hash);
    }

    /// The hash of a slot; zero for what has none, such as a piece of the capsule.
    #[must_use]
    pub fn of(&self, slot: Slot) -> [u8; 16] {
        self.by_slot.get(&slot).copied().unwrap_or_default()
    }

    /// The verdict over `chunks` data chunks and `masks` masks.
    ///
    /// # Panics
    /// Where one of them was never recorded.
    #[must_use]
    pub fn verdict(&self, chunks: u64, masks: u32) -> Verdict {
        let of =
            |class, count| (0..count).map(|index| self.by_slot[&Slot { class, index }]).collect();
        Verdict {
            x: self.x,
            r: *self.r,
            hashes: of(ShareClass::Data, chunks),
            masks: of(ShareClass::Mask, u64::from(masks)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blind_block_may_come_later() {
        let x = XCoord::new(3).unwrap();
        let slot = Slot { class: ShareClass::Data, index: 0 };
        let content = [0x5a; 4096];
        let blind = [0xc3; 16];
        let mut at_once = ShareHashes::new(Isa::best(), x, [7; 16]);
        at_once.record(slot, &content, &blind);
        let mut later = ShareHashes::new(Isa::best(), x, [7; 16]);
        let begun = later.begin(&content);
        later.finish(slot, begun, &blind);
        assert!(at_once.verdict(1, 0).hashes == later.verdict(1, 0).hashes);
    }
}
