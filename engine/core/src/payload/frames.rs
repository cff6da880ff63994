//! The frame table: where each compressed frame ends. Only lengths of what is inside the payload
//! stand in it, and those depend on the plaintext, so it is wiped like plaintext.

use super::{Encoding, PayloadError, PayloadLayout};
use std::ops::Range;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of data in every frame but the last: 1 MiB.
pub const FRAME_BYTES: u64 = 1 << 20;

/// Bytes of one entry of the table.
pub(super) const FRAME_ENTRY_BYTES: u64 = 8;

/// Consecutive frames of a payload whose place and length are known and plausible.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Frames {
    #[zeroize(skip)]
    layout: PayloadLayout,
    first: u64,
    /// Where the frames begin, and then where each ends, counted from the first byte of the
    /// encoded data.
    ends: Vec<u64>,
}

impl Frames {
    /// The frames that hold the `data` range of the data as given.
    #[must_use]
    pub const fn covering(data: &Range<u64>) -> Range<u64> {
        data.start / FRAME_BYTES..data.end.div_ceil(FRAME_BYTES)
    }

    /// Where in the payload the entries stand that [`Frames::decode`] needs for `frames`.
    ///
    /// # Panics
    /// Where there are no such frames.
    #[must_use]
    pub fn entries(layout: &PayloadLayout, frames: &Range<u64>) -> Range<u64> {
        assert!(frames.start < frames.end && frames.end <= layout.frame_count());
        let table = layout.table().start;
        table + FRAME_ENTRY_BYTES * frames.start.saturating_sub(1)
            ..table + FRAME_ENTRY_BYTES * frames.end
    }

    /// Reads the entries that [`Frames::entries`] names.
    ///
    /// # Errors
    /// Where a frame would be empty, longer than what it holds, or outside of the data: no reader
    /// can be made to hold more than a frame.
    pub fn decode(
        layout: &PayloadLayout,
        frames: Range<u64>,
        entries: &[u8],
    ) -> Result<Self, PayloadError> {
        let (entries, rest) = entries.as_chunks::<{ FRAME_ENTRY_BYTES as usize }>();
        let wanted = frames.end.saturating_sub(frames.start.saturating_sub(1));
        let fits = frames.start < frames.end
            && frames.end <= layout.frame_count()
            && layout.encoding == Encoding::ZstdFrames
            && rest.is_empty()
            && entries.len() as u64 == wanted;
        if !fits {
            return Err(PayloadError::FrameTable);
        }
        let mut ends = Vec::with_capacity(entries.len() + 1);
        if frames.start == 0 {
            ends.push(0);
        }
        ends.extend(entries.iter().map(|entry| u64::from_le_bytes(*entry)));
        let found = Self { layout: *layout, first: frames.start, ends };
        if found.is_plausible() { Ok(found) } else { Err(PayloadError::FrameTable) }
    }

    fn is_plausible(&self) -> bool {
        let frames = self.frames();
        let lengths =
            self.ends.array_windows::<2>().zip(frames.clone()).all(|([from, to], frame)| {
                to.checked_sub(*from).is_some_and(|bytes| {
                    bytes != 0 && bytes <= self.data_of(frame).end - self.data_of(frame).start
                })
            });
        let (Some(from), Some(to)) = (self.ends.first(), self.ends.last()) else { return false };
        // Every frame before takes a byte at least and its data at most, and so does every frame
        // behind.
        let before = self.first..=self.first * FRAME_BYTES;
        let behind = self.layout.frame_count() - frames.end;
        let data_behind = self.layout.data_bytes - self.data_of(frames.end - 1).end;
        let left = self.layout.encoded_bytes.checked_sub(*to);
        lengths
            && before.contains(from)
            && left.is_some_and(|left| (behind..=data_behind).contains(&left))
    }

    /// Which frames these are.
    #[must_use]
    pub fn frames(&self) -> Range<u64> {
        self.first..self.first + (self.ends.len() as u64).saturating_sub(1)
    }

    /// Where `frame` lies in the payload.
    ///
    /// # Panics
    /// Where it is none of these.
    #[must_use]
    pub fn place(&self, frame: u64) -> Range<u64> {
        let at = (frame - self.first) as usize;
        let offset = self.layout.data_offset;
        offset + self.ends[at]..offset + self.ends[at + 1]
    }

    /// Which bytes of the data as given `frame` holds.
    #[must_use]
    pub fn data_of(&self, frame: u64) -> Range<u64> {
        let start = frame * FRAME_BYTES;
        start..(start + FRAME_BYTES).min(self.layout.data_bytes)
    }

    /// Bytes of the table of so many frames.
    #[must_use]
    pub const fn table_bytes(frame_count: usize) -> usize {
        FRAME_ENTRY_BYTES as usize * frame_count
    }

    /// Writes the table of all frames, of these encoded lengths.
    ///
    /// # Panics
    /// Where `target` has another length than [`Frames::table_bytes`].
    pub fn encode(lengths: &[u32], target: &mut [u8]) {
        assert_eq!(target.len(), Self::table_bytes(lengths.len()));
        let mut end = 0;
        for (length, entry) in lengths.iter().zip(target.as_chunks_mut().0) {
            end += u64::from(*length);
            *entry = end.to_le_bytes();
        }
    }
}
