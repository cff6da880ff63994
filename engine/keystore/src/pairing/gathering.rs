//! Delivered key on its way to a segment: answer by answer, each looked at before it is taken.

use crate::delivery::{DeliveredKeys, KeyId};
use crate::spent::reads_as_zeros;
use std::collections::HashSet;
use warifu_buffers::Block;
use warifu_core::SegmentId;
use warifu_kernels::{Isa, PolyHash};
use zeroize::Zeroizing;

/// Longest segment of delivered key, in bytes.
pub const DELIVERED_SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Most keys in one segment: their names fit into one frame.
pub const DELIVERED_KEYS_MAX: u64 = 65_535;

/// Key that is written and hashed at a time, in bytes.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Why an answer of a deliverer is thrown away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnswerRefusal {
    /// It has no key, or more than a segment takes, or its bytes are not names times length.
    #[error("its length is not what was asked for")]
    Length,
    /// A name was delivered before, here or in this very answer.
    #[error("it repeats a key that was delivered before")]
    Repeated,
    /// A key holds runs of zeros, and would mask nothing.
    #[error("it holds key that reads as zeros")]
    Zeros,
}

/// Key of one segment, as far as it was delivered. It lives in memory, zeroised on drop: what is
/// not kept by a [`Pairing`](super::Pairing) is no key.
pub struct Gathering {
    pub(super) segment: SegmentId,
    pub(super) key_bytes: usize,
    pub(super) answers: Vec<DeliveredKeys>,
    names: HashSet<KeyId>,
}

impl Gathering {
    /// Nothing yet, of keys of `key_bytes` bytes each.
    #[must_use]
    pub fn new(segment: SegmentId, key_bytes: usize) -> Self {
        Self { segment, key_bytes, answers: Vec::new(), names: HashSet::new() }
    }

    /// The segment.
    #[must_use]
    pub const fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Bytes of each key.
    #[must_use]
    pub const fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Keys so far.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.names.len() as u64
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.keys() * self.key_bytes as u64
    }

    /// Takes an answer, or throws it away.
    ///
    /// # Errors
    /// [`AnswerRefusal`]; whether a name was ever delivered before this segment shows when it is
    /// kept.
    pub fn add(&mut self, answer: DeliveredKeys) -> Result<(), AnswerRefusal> {
        let count = answer.names.len();
        let bytes = count.checked_mul(self.key_bytes).ok_or(AnswerRefusal::Length)?;
        let all = self.bytes().saturating_add(bytes as u64);
        if bytes == 0
            || answer.key_bytes != self.key_bytes
            || answer.material.len() != bytes
            || all > DELIVERED_SEGMENT_BYTES_MAX
            || self.keys() + count as u64 > DELIVERED_KEYS_MAX
        {
            return Err(AnswerRefusal::Length);
        }
        if answer.material.chunks_exact(self.key_bytes).any(reads_as_zeros) {
            return Err(AnswerRefusal::Zeros);
        }
        let mut own = HashSet::with_capacity(count);
        let repeats = |name: &KeyId| self.names.contains(name) || !own.insert(*name);
        if answer.names.iter().any(repeats) {
            return Err(AnswerRefusal::Repeated);
        }
        self.names.extend(answer.names.iter().copied());
        self.answers.push(answer);
        Ok(())
    }

    /// The hash of [`Pairing::hash`](super::Pairing::hash), of key that is still in memory.
    #[must_use]
    pub fn hash(&self, isa: Isa, r: &[u8; 16], s: &[u8; 16]) -> [u8; 16] {
        let mut hash = PieceHash::new(isa, r, self.bytes());
        let Ok(()) = self.pieces(|piece| {
            hash.add(piece);
            Ok::<(), std::convert::Infallible>(())
        });
        hash.finish(s)
    }

    /// Hands on all key in pieces of [`PIECE_BYTES`], the last one shorter: from where it was
    /// delivered to, or put together where deliveries are cut otherwise.
    pub(super) fn pieces<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut joined: Option<Block> = None;
        let mut filled = 0;
        for answer in &self.answers {
            let mut rest = &*answer.material;
            while !rest.is_empty() {
                if filled == 0 && rest.len() >= PIECE_BYTES {
                    let (piece, after) = rest.split_at(PIECE_BYTES);
                    take(piece)?;
                    rest = after;
                    continue;
                }
                let piece = joined.get_or_insert_with(|| Block::zeroed(PIECE_BYTES));
                let len = rest.len().min(PIECE_BYTES - filled);
                piece[filled..filled + len].copy_from_slice(&rest[..len]);
                (filled, rest) = (filled + len, &rest[len..]);
                if filled == PIECE_BYTES {
                    take(piece)?;
                    filled = 0;
                }
            }
        }
        match joined.filter(|_| filled > 0) {
            Some(piece) => take(&piece[..filled]),
            None => Ok(()),
        }
    }

    /// All names, sorted.
    pub(super) fn sorted_names(&self) -> Vec<KeyId> {
        let mut names: Vec<KeyId> = self.names.iter().copied().collect();
        names.sort_unstable();
        names
    }

    /// Throws away every answer that holds one of `names`, which are sorted.
    pub(super) fn drop_answers_with(&mut self, names: &[KeyId]) {
        let is_clean = |answer: &DeliveredKeys| {
            !answer.names.iter().any(|name| names.binary_search(name).is_ok())
        };
        self.answers.retain(is_clean);
        self.names = self.answers.iter().flat_map(|answer| answer.names.iter().copied()).collect();
    }
}

/// A polynomial hash over GF(2^128) of a length and of the hashes of pieces.
pub(super) struct PieceHash {
    isa: Isa,
    inner: PolyHash,
    list: Zeroizing<Vec<u8>>,
}

impl PieceHash {
    /// Of so many bytes, whose pieces are hashed under `r`.
    pub(super) fn new(isa: Isa, r: &[u8; 16], bytes: u64) -> Self {
        let length = u128::from(bytes).to_le_bytes();
        // As long as it will be, so that it never grows and leaves no copy behind.
        let pieces = usize::try_from(bytes).unwrap_or(0).div_ceil(PIECE_BYTES);
        let mut list = Zeroizing::new(Vec::with_capacity((pieces + 1) * length.len()));
        list.extend_from_slice(&length);
        Self { isa, inner: PolyHash::new(isa, r), list }
    }

    /// Takes the next piece.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.list.extend_from_slice(&self.inner.poly(&[piece]));
    }

    /// The hash of the list under `s`.
    pub(super) fn finish(self, s: &[u8; 16]) -> [u8; 16] {
        PolyHash::new(self.isa, s).poly(&[&self.list])
    }
}
