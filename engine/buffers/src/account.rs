//! The process's books of memory and of copies.

use crate::pool;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Ceiling until [`set_limit`] says otherwise, in bytes.
const LIMIT_BYTES: u64 = 256 << 20;

static LIMIT: AtomicU64 = AtomicU64::new(LIMIT_BYTES);
static RESERVED: AtomicU64 = AtomicU64::new(0);
static OUT: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
static COPIED: AtomicU64 = AtomicU64::new(0);

/// Memory in blocks, at one moment. Threads that take and give back meanwhile may show in one
/// figure and not in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in blocks that exist now.
    pub out_bytes: u64,
    /// The most that `out_bytes` ever was.
    pub peak_bytes: u64,
    /// Bytes reserved now.
    pub reserved_bytes: u64,
    /// The ceiling for reservations and for the pool.
    pub limit_bytes: u64,
    /// Slots that the pool has made, out or at home.
    pub slots: usize,
}

/// What the books say now.
#[must_use]
pub fn stats() -> Stats {
    Stats {
        out_bytes: OUT.load(Relaxed),
        peak_bytes: PEAK.load(Relaxed),
        reserved_bytes: RESERVED.load(Relaxed),
        limit_bytes: limit_bytes(),
        slots: pool::slots(),
    }
}

/// Sets the process's ceiling for [`reserve`] and for the memory that the pool keeps. What is
/// reserved or in the pool already stays so.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Relaxed);
}

pub(crate) fn limit_bytes() -> u64 {
    LIMIT.load(Relaxed)
}

/// A part of the process's memory that a job may use; given back when it is dropped.
///
/// It is a promise among jobs, not a check: blocks are made without one too.
#[must_use = "dropping it gives the memory back"]
#[derive(Debug)]
pub struct Reservation {
    bytes: u64,
}

impl Reservation {
    /// How much it is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.bytes, Relaxed);
    }
}

/// Reserves `bytes` under the process's limit, or `None` while others hold too much of it.
pub fn reserve(bytes: u64) -> Option<Reservation> {
    let fits = |reserved: u64| reserved.checked_add(bytes).filter(|&all| all <= limit_bytes());
    RESERVED.fetch_update(Relaxed, Relaxed, fits).ok().map(|_| Reservation { bytes })
}

pub(crate) fn taken(bytes: usize) {
    let out = OUT.fetch_add(bytes as u64, Relaxed) + bytes as u64;
    PEAK.fetch_max(out, Relaxed);
}

pub(crate) fn given_back(bytes: usize) {
    OUT.fetch_sub(bytes as u64, Relaxed);
}

/// Bytes of payload, share content or key kept as a share that this process has copied from one
/// buffer to another.
///
/// It counts copies between buffers of this process by [`copy_payload`]: of what is not compressed
/// nothing at all, whichever way it goes; of what is compressed each frame once where it is cut
/// into chunks, those that lie in two chunks once more on the way back, and the frame table. What
/// it does not count: what the system copies for `read` and `write`, what a computation writes
/// (shares, joined chunks, ciphertext, compressed frames), and capsules and headers, which hold no
/// payload.
#[must_use]
pub fn copied_bytes() -> u64 {
    COPIED.load(Relaxed)
}

/// Copies payload, share content or key kept as a share where it can't be handed on. Everybody
/// who must copy such bytes does it by this function, so that it is counted.
///
/// # Panics
/// Where the lengths differ.
pub fn copy_payload(target: &mut [u8], source: &[u8]) {
    target.copy_from_slice(source);
    COPIED.fetch_add(source.len() as u64, Relaxed);
}
