//! Where in its grants a session's next frame may start.

use crate::error::FrameError;
use crate::header::FRAME_KEY_BYTES;
use crate::message::MESSAGE_HEADER_BYTES;
use warifu_core::KeyRange;

/// Every grant starts at a multiple of this many positions.
pub const GRANT_STEP_BYTES: u64 = 512;

/// Most grants of one direction that a session has open at a time.
pub const GRANTS_MAX: usize = 4096;

/// Below this no grant is worth it: `r`, `m` and a message header. (A frame that is not masked
/// takes `r` and `m` only.)
const FRAME_KEY_BYTES_MIN: u64 = (FRAME_KEY_BYTES + MESSAGE_HEADER_BYTES) as u64;

/// The part of `range` that may be granted: its end, from the first multiple of
/// [`GRANT_STEP_BYTES`] on. An end that wants to grant `b` bytes asks its ledger for up to 511
/// more, and grants this part of what it gets; the rest is never used. Empty where `range` holds
/// no such position.
#[must_use]
pub const fn aligned_grant(range: KeyRange) -> KeyRange {
    match range.start().checked_next_multiple_of(GRANT_STEP_BYTES) {
        Some(start) if start <= range.end() => KeyRange::between(start, range.end()),
        Some(_) | None => KeyRange::between(range.end(), range.end()),
    }
}

/// What is left of a grant that only the shortest control frames could use, and fewer.
const TAIL_BYTES: u64 = 2048;

/// Grants of which the sending end keeps even such a tail: the newest so many.
pub const TAILS_KEPT_SEALING: usize = 8;

/// The receiving end keeps more, so that it never forgets what the other end may still use.
pub(crate) const TAILS_KEPT_OPENING: usize = 64;

/// What is left of each grant of one direction. A frame takes from the front of one.
pub(crate) struct Grants {
    left: Vec<KeyRange>,
    tails_kept: usize,
}

impl Grants {
    /// None yet; of older ones than the newest `tails_kept`, tails are forgotten.
    pub(crate) const fn keeping(tails_kept: usize) -> Self {
        Self { left: Vec::new(), tails_kept }
    }

    /// Adds a grant.
    pub(crate) fn add(&mut self, range: KeyRange) -> Result<(), FrameError> {
        let refused = |reason| Err(FrameError::Grant { range, reason });
        if !range.start().is_multiple_of(GRANT_STEP_BYTES) {
            return refused("it starts at no multiple of 512");
        }
        if range.len() < FRAME_KEY_BYTES_MIN {
            return refused("no frame fits into it");
        }
        if self.left.iter().any(|left| !left.intersection(&range).is_empty()) {
            return refused("it overlaps another grant of the session");
        }
        let old = self.left.len().saturating_sub(self.tails_kept);
        let mut at = 0;
        self.left.retain(|left| {
            at += 1;
            at > old || left.len() >= TAIL_BYTES
        });
        if self.left.len() >= GRANTS_MAX {
            return refused("the session has too many grants open");
        }
        self.left.push(range);
        Ok(())
    }

    /// Whether a frame may use `range`: it starts where one grant goes on, and lies in it.
    pub(crate) fn check(&self, range: &KeyRange) -> Result<(), FrameError> {
        match self.position(range) {
            Some(_) => Ok(()),
            None => Err(FrameError::KeyStart { range: *range }),
        }
    }

    /// Takes `range` off the front of its grant. Where no such range may be taken, nothing is.
    pub(crate) fn advance(&mut self, range: &KeyRange) {
        let Some(at) = self.position(range) else { return };
        let left = KeyRange::between(range.end(), self.left[at].end());
        if left.len() < FRAME_KEY_BYTES as u64 {
            self.left.remove(at);
        } else {
            self.left[at] = left;
        }
    }

    fn position(&self, range: &KeyRange) -> Option<usize> {
        let goes_on = |left: &KeyRange| left.start() == range.start() && left.contains(range);
        self.left.iter().position(goes_on)
    }
}
