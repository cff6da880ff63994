//! Slots for chunks: made a few at a time, recycled for ever, zero whenever they are at home.

use crate::{ALIGNMENT, account};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of one slot: a chunk of 1 MiB, and 16 KiB for what stands before and after it.
pub const SLOT_BYTES: usize = (1 << 20) + (16 << 10);

/// Most slots that the pool ever makes.
pub const SLOTS_MAX: usize = 1024;

/// From one slot to the next, which is what a slot takes of memory: 5 pages more than a MiB, so
/// that streams in neighbouring slots do not all fall into the same lines of a cache.
pub const SLOT_PITCH_BYTES: usize = SLOT_BYTES + ALIGNMENT;
const _: () = assert!(!SLOT_PITCH_BYTES.is_multiple_of(64 << 10), "neighbours share their sets");

/// Slots that are made together.
const SLAB_SLOTS: usize = 8;

static POOL: Mutex<Pool> = Mutex::new(Pool { at_home: Vec::new(), made: 0 });
static ADDRESSES: [AtomicUsize; SLOTS_MAX] = [const { AtomicUsize::new(0) }; SLOTS_MAX];

struct Pool {
    /// Every byte of them is zero.
    at_home: Vec<&'static mut [u8]>,
    made: usize,
}

/// A slot of the pool. Its memory is neither freed nor moved as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its number, below [`SLOTS_MAX`].
    pub index: usize,
    /// Its first byte: an exposed address.
    pub address: usize,
    /// Its length in bytes.
    pub bytes: usize,
}

/// The slot in which all of `bytes` lies, if it is one.
#[must_use]
pub fn slot_of(bytes: &[u8]) -> Option<Slot> {
    let (first, made) = (bytes.as_ptr().addr(), slots());
    let holds = |start: usize| {
        let into = first.checked_sub(start)?;
        (into + bytes.len() <= SLOT_BYTES).then_some(start)
    };
    ADDRESSES[..made].iter().enumerate().find_map(|(index, address)| {
        let address = holds(address.load(Relaxed))?;
        Some(Slot { index, address, bytes: SLOT_BYTES })
    })
}

/// How many slots were made so far.
pub(crate) fn slots() -> usize {
    pool().made
}

/// A slot, all zeros; `None` where the limit admits no more of them.
pub(crate) fn take() -> Option<&'static mut [u8]> {
    let mut pool = pool();
    if pool.at_home.is_empty() {
        pool.grow();
    }
    pool.at_home.pop()
}

/// Takes a slot back. Every byte of it is zero.
pub(crate) fn give_back(slot: &'static mut [u8]) {
    debug_assert!(slot.iter().all(|byte| *byte == 0), "a slot came home unwiped");
    pool().at_home.push(slot);
}

impl Pool {
    fn grow(&mut self) {
        let made = self.made + SLAB_SLOTS;
        if made > SLOTS_MAX || (made * SLOT_PITCH_BYTES) as u64 > account::limit_bytes() {
            return;
        }
        let slab = vec![0; SLAB_SLOTS * SLOT_PITCH_BYTES + ALIGNMENT].leak();
        let unaligned = slab.as_ptr().align_offset(ALIGNMENT);
        self.at_home.reserve(made);
        for slot in slab[unaligned..].chunks_exact_mut(SLOT_PITCH_BYTES) {
            let slot = &mut slot[..SLOT_BYTES];
            ADDRESSES[self.made].store(slot.as_mut_ptr().expose_provenance(), Relaxed);
            self.made += 1;
            self.at_home.push(slot);
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    // Changed in single steps: what a panic leaves is whole.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}
