//! Memory for many streams, apart from one another as the pipeline's buffers are.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

/// Which memory the streams of a case fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The first cache: 24 KiB in all.
    L1,
    /// The second cache: 512 KiB in all.
    L2,
    /// Memory: 1 GiB in all, more than any third cache that one core gets.
    Dram,
}

impl Level {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::Dram => "DRAM",
        }
    }

    /// Bytes of each of so many streams: whole vectors.
    #[must_use]
    pub const fn stream_bytes(self, streams: usize) -> usize {
        let total = match self {
            Self::L1 => 24 << 10,
            Self::L2 => 512 << 10,
            Self::Dram => 1 << 30,
        };
        total / streams / 256 * 256
    }
}

/// Pages of 2 MiB where the system has them, cut into streams that begin on a cache line, no two
/// at the same place of a page.
pub struct Arena {
    start: NonNull<u8>,
    bytes: usize,
}

/// Bytes between two streams besides their own, so that no two stand in the same sets of a cache:
/// 4 KiB and five lines.
pub const STAGGER_BYTES: usize = 4096 + 320;

impl Arena {
    /// Room for `streams` of `len` bytes, written once so that the pages are there. `None` where
    /// the system has none.
    #[must_use]
    pub fn new(streams: usize, len: usize) -> Option<Self> {
        const HUGE: usize = 2 << 20;
        let bytes = (streams * pitch(len) + HUGE).next_multiple_of(HUGE);
        // SAFETY: a new mapping at an address of the system's choice overlaps nothing.
        let start = unsafe {
            mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let start = NonNull::new(start.ok()?)?;
        // SAFETY: the mapping was just made; the advice changes no byte. It is only a wish, so
        // that it may be refused.
        let _ = unsafe { madvise(start.as_ptr(), bytes, Advice::LinuxHugepage) };
        let mut arena = Self { start: start.cast(), bytes };
        arena.fill();
        Some(arena)
    }

    /// The first `streams` streams of `len` bytes, the first `targets` of them to be written.
    ///
    /// # Panics
    /// If they don't fit.
    pub fn streams(
        &mut self,
        streams: usize,
        targets: usize,
        len: usize,
    ) -> (Vec<&mut [u8]>, Vec<&[u8]>) {
        let mut rest = self.as_mut();
        let mut cut = Vec::new();
        for _ in 0..streams {
            let (stream, others) = rest.split_at_mut(pitch(len));
            cut.push(&mut stream[..len]);
            rest = others;
        }
        let sources = cut.split_off(targets);
        (cut, sources.into_iter().map(|source| &*source).collect())
    }

    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is ours alone, and so many bytes long.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// Bytes that repeat nowhere near.
    fn fill(&mut self) {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        for word in self.as_mut().chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: no borrow of the mapping outlives the arena.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours");
    }
}

const fn pitch(len: usize) -> usize {
    len.next_multiple_of(64) + STAGGER_BYTES
}
