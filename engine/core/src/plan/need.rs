//! What one share costs at one site: key in both directions, random bytes, room.
//!
//! The figures follow FORMAT.md sections 5, 6 and 9. They are exact but for an allowance for
//! handshakes, leases and refused requests, so a plan that fits is never short later.

use super::Need;
use crate::geometry::{CHUNK_BYTES, Geometry};
use crate::role::{Channel, Role};
use crate::threshold::Threshold;

/// Most bytes that the public label and the card binding of an object may have together.
/// The planner counts them as used, so whoever writes a capsule keeps to it.
pub const CAPSULE_TEXT_BYTES_MAX: u64 = 4096;

/// Key of a frame besides its payload: `r` and `m`.
const TAG_KEY_BYTES: u64 = 32;
/// The header of a message.
const MESSAGE_BYTES: u64 = 64;
/// A frame without a body: a request to read, an answer without content.
const BARE_FRAME_BYTES: u64 = TAG_KEY_BYTES + MESSAGE_BYTES;
/// An answer to a request of a backup, receipt and all.
const RECEIPT_FRAME_BYTES: u64 = 160;
const BLIND_BYTES: u64 = 16;
/// A kept blind block and receipt key.
const KEEP_EXTRA_BYTES: u64 = 32;
const MASK_BYTES: u64 = CHUNK_BYTES as u64;
/// Key that every need allows one session in each direction, in bytes: handshake, pings, leases and
/// what is left of them.
pub const SESSION_BYTES: u64 = 16 << 10;
/// One part in this many is lost where a lease ends and at lease requests.
const LEASE_SLACK_DIVISOR: u64 = 1024;
/// Chunks that the smallest lease for answers carries.
const CHUNKS_PER_LEASE_MIN: u64 = 3;
/// Bytes of a page in a share file.
const PAGE_BYTES: u64 = 4096;
/// A name and its length byte in a share entry.
const NAME_BYTES_MAX: u64 = 65;
const INDIVIDUAL_BYTES_MAX: u64 = 64;
/// An exception in the list of attempts.
const ATTEMPT_BYTES: u64 = 12;

/// What one share of an object of this geometry costs at a site.
///
/// Every figure is an upper bound. Those of the channels `local` and `tls` are equal.
#[must_use]
pub fn need(threshold: Threshold, geometry: Geometry, role: Role, channel: Channel) -> Need {
    let shape = Shape::of(threshold, geometry);
    match channel {
        Channel::Otp => shape.over_link(role),
        Channel::Local | Channel::Tls => shape.without_link(role),
    }
}

/// Bytes from the `random` pool that an object takes besides what its shares take: the points of
/// the capsule's codes, one for the head and one for each verdict.
#[must_use]
pub(super) fn capsule_random_bytes(threshold: Threshold) -> u64 {
    16 * (threshold.n() as u64 + 1)
}

/// The quantities that all shares of an object have in common.
struct Shape {
    payload: u64,
    chunks: u64,
    masks: u64,
    /// Upper bound of the whole capsule, in bytes.
    capsule: u64,
    /// Capsule pieces of 2^20 bytes.
    pieces: u64,
    /// Upper bound of the list of attempts, in bytes.
    attempts: u64,
}

impl Shape {
    fn of(threshold: Threshold, geometry: Geometry) -> Self {
        let n = threshold.n() as u64;
        let (chunks, masks) = (geometry.chunk_count(), u64::from(geometry.mask_count()));
        let attempts = ATTEMPT_BYTES * (chunks + masks);
        let entries = n * (20 + 3 * NAME_BYTES_MAX);
        let texts = INDIVIDUAL_BYTES_MAX + CAPSULE_TEXT_BYTES_MAX;
        let head = coded_bytes(64 + texts + entries + 4 + attempts);
        let verdict = coded_bytes(32 + 16 * (chunks + masks));
        let capsule = head + n * verdict;
        let pieces = capsule.div_ceil(u64::from(CHUNK_BYTES));
        Self { payload: geometry.payload_bytes(), chunks, masks, capsule, pieces, attempts }
    }

    fn over_link(&self, role: Role) -> Need {
        // Sealed or kept, content costs its length; keeping needs more beside it.
        let (per_chunk, per_piece) = match role {
            Role::Pad => (BARE_FRAME_BYTES + KEEP_EXTRA_BYTES, BARE_FRAME_BYTES + KEEP_EXTRA_BYTES),
            Role::Computed => (BARE_FRAME_BYTES + BLIND_BYTES, BARE_FRAME_BYTES),
        };
        let sent = self.payload
            + self.chunks * per_chunk
            + self.masks * (BARE_FRAME_BYTES + MASK_BYTES + KEEP_EXTRA_BYTES)
            + self.capsule
            + self.pieces * per_piece
            + 2 * BARE_FRAME_BYTES
            + 8
            + self.attempts;
        let requests = self.chunks + self.masks + self.pieces + 2;
        let reads = self.chunks + self.pieces;
        let returned = self.payload
            + self.chunks * (BARE_FRAME_BYTES + BLIND_BYTES)
            + self.capsule
            + self.pieces * BARE_FRAME_BYTES;
        let leases = self.chunks.div_ceil(CHUNKS_PER_LEASE_MIN) + self.pieces;
        let reserve_to_site_bytes =
            allowing(reads * BARE_FRAME_BYTES + leases * (BARE_FRAME_BYTES + 16));
        let reserve_from_site_bytes = allowing(returned);
        Need {
            to_site_bytes: allowing(sent) + reserve_to_site_bytes,
            from_site_bytes: allowing(requests * RECEIPT_FRAME_BYTES) + reserve_from_site_bytes,
            reserve_to_site_bytes,
            reserve_from_site_bytes,
            random_bytes: 16,
            store_bytes: self.store_bytes(),
        }
    }

    fn without_link(&self, role: Role) -> Need {
        let drawn = match role {
            Role::Pad => self.payload + self.capsule,
            Role::Computed => 0,
        };
        let blinds = (self.chunks + self.masks) * BLIND_BYTES;
        Need {
            to_site_bytes: 0,
            from_site_bytes: 0,
            reserve_to_site_bytes: 0,
            reserve_from_site_bytes: 0,
            random_bytes: 16 + drawn + blinds + self.masks * MASK_BYTES,
            store_bytes: self.store_bytes(),
        }
    }

    /// Length of the share file.
    fn store_bytes(&self) -> u64 {
        let slots = self.payload + self.chunks * PAGE_BYTES;
        let masks = self.masks * (MASK_BYTES + PAGE_BYTES);
        PAGE_BYTES + slots + masks + (self.capsule + 8).next_multiple_of(PAGE_BYTES)
    }
}

/// Length of a capsule part whose content has `content_bytes`: an odd number of blocks, two more.
const fn coded_bytes(content_bytes: u64) -> u64 {
    let blocks = content_bytes.div_ceil(16);
    16 * (blocks + (1 - blocks % 2)) + 32
}

const fn allowing(bytes: u64) -> u64 {
    bytes + bytes / LEASE_SLACK_DIVISOR + SESSION_BYTES
}
