//! Page-aligned memory for key, shares and plaintext, overwritten with zeros when it is let go.
//!
//! A [`Block`] has a fixed length for its whole life, so a secret is never left behind by a
//! growing vector. It is neither `Clone` nor `Debug` nor comparable.

#![forbid(unsafe_code)]

use aligned_vec::{AVec, ConstAlign};
use std::ops::{Deref, DerefMut};
use zeroize::Zeroize;

/// Alignment of every [`Block`], in bytes: one page, what `O_DIRECT` asks for.
pub const ALIGNMENT: usize = 4096;

/// An owned, page-aligned, fixed-length run of bytes that is zeroised on drop.
///
/// It dereferences to a slice. There is no way to grow, clone, print or compare one.
pub struct Block {
    bytes: AVec<u8, ConstAlign<ALIGNMENT>>,
}

impl Block {
    /// A block of `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut bytes = AVec::with_capacity(ALIGNMENT, len);
        bytes.resize(len, 0);
        Self { bytes }
    }

    /// A block that holds a copy of `source`. Meant for small values and tests; the data path
    /// reads straight into a zeroed block.
    #[must_use]
    pub fn copy_of(source: &[u8]) -> Self {
        let mut block = Self::zeroed(source.len());
        block.copy_from_slice(source);
        block
    }

    /// Shortens the block to `len` bytes; the rest is zeroised now. Longer values change nothing.
    pub fn truncate(&mut self, len: usize) {
        if len < self.bytes.len() {
            self.bytes[len..].zeroize();
            self.bytes.truncate(len);
        }
    }

    /// Gives the block away as [`bytes::Bytes`] without copying; it is zeroised when the last
    /// handle goes.
    #[must_use]
    pub fn into_bytes(self) -> bytes::Bytes {
        bytes::Bytes::from_owner(self)
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.bytes.as_mut_slice().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_zero() {
        for len in [0, 1, 4095, 4096, 4097, 1 << 20] {
            let block = Block::zeroed(len);
            assert_eq!(block.len(), len);
            assert_eq!(block.as_ptr().align_offset(ALIGNMENT), 0);
            assert!(block.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn truncate_shortens_and_bytes_share_the_memory() {
        let mut block = Block::copy_of(b"hello world");
        block.truncate(5);
        block.truncate(9);
        let address = block.as_ptr();
        let bytes = block.into_bytes();
        assert_eq!(&bytes[..], b"hello");
        assert_eq!(bytes.as_ptr(), address);
    }
}
