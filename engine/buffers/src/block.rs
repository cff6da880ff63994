//! The block.

use crate::{ALIGNMENT, Bytes, SLOT_BYTES, account, pool};
use aligned_vec::{AVec, ConstAlign};
use std::ops::{Deref, DerefMut, Range};
use zeroize::Zeroize;

/// Blocks longer than this, up to a slot, come from the pool.
const POOLED_BYTES_MIN: usize = 512 << 10;

/// An owned, page-aligned run of bytes that is zeroised on drop.
///
/// It dereferences to a slice. There is no way to clone, print or compare one, and it never moves
/// to other memory.
pub struct Block {
    memory: Memory,
    start: usize,
    len: usize,
}

enum Memory {
    /// From the pool.
    Slot(&'static mut [u8]),
    /// Of its own.
    Own(AVec<u8, ConstAlign<ALIGNMENT>>),
}

impl Block {
    /// A block of `len` zero bytes that begins on a page.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self::within(0, len, 0)
    }

    /// A block of `len` zero bytes in which the byte at index `at` stands on a page, with room for
    /// another page behind the end ([`Block::lengthen`]): what stands from `at` on can go to a
    /// medium, or come from it, past the system's cache.
    #[must_use]
    pub fn aligned_at(len: usize, at: usize) -> Self {
        Self::within((ALIGNMENT - at % ALIGNMENT) % ALIGNMENT, len, ALIGNMENT)
    }

    /// A block that holds a copy of `source`, counted by [`copied_bytes`](crate::copied_bytes).
    /// Meant for small values and tests; the data path reads straight into a zeroed block.
    #[must_use]
    pub fn copy_of(source: &[u8]) -> Self {
        let mut block = Self::zeroed(source.len());
        account::copy_payload(&mut block, source);
        block
    }

    fn within(start: usize, len: usize, room: usize) -> Self {
        let all = start + len + room;
        let of_pool = (POOLED_BYTES_MIN..=SLOT_BYTES).contains(&all);
        let memory = of_pool.then(pool::take).flatten().map_or_else(
            || {
                let mut own = AVec::with_capacity(ALIGNMENT, all);
                own.resize(all, 0);
                Memory::Own(own)
            },
            Memory::Slot,
        );
        account::taken(memory.bytes().len());
        Self { memory, start, len }
    }

    /// Shortens the block to `len` bytes; the rest is zeroised now. Longer values change nothing.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self[len..].zeroize();
            self.len = len;
        }
    }

    /// Lengthens the block to `len` bytes, within the room behind it; what is added is zero.
    /// Shorter values change nothing.
    ///
    /// # Panics
    /// Where there is no room for so many.
    pub fn lengthen(&mut self, len: usize) {
        assert!(self.start + len <= self.memory.bytes().len(), "a block has no room for {len}");
        self.len = self.len.max(len);
    }

    /// Gives the block away as [`Bytes`] without copying; it is zeroised, and goes home to the
    /// pool, when the last handle goes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Slot(slot) => slot,
            Self::Own(own) => own,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Slot(slot) => slot,
            Self::Own(own) => own,
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[self.range()]
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        let range = self.range();
        &mut self.memory.bytes_mut()[range]
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // What lies outside the range was never written, or zeroised when it was cut off.
        self.zeroize();
        account::given_back(self.memory.bytes().len());
        if let Memory::Slot(slot) = &mut self.memory {
            pool::give_back(std::mem::take(slot));
        }
    }
}
